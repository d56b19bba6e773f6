"""Params: defaults of the project, then what the command says, each checked against the default's type."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping

from headway.errors import UsageError
from headway.projects.model import ParamValue


def merge_params(
    defaults: Mapping[str, ParamValue], overrides: Mapping[str, ParamValue], *, known: Mapping[str, ParamValue]
) -> dict[str, ParamValue]:
    """Return `defaults` with the overrides that it knows; `known` are all params that may be named.

    Raises:
        UsageError: an override that nobody knows, or one of another type.
    """
    for name in overrides:
        if name not in known:
            raise _unknown(name, known)
    return {
        name: _typed(name, overrides[name], default) if name in overrides else default
        for name, default in defaults.items()
    }


def as_text(value: ParamValue) -> str:
    """Return a param as it stands on a command line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _unknown(name: str, known: Mapping[str, ParamValue]) -> UsageError:
    close = difflib.get_close_matches(name, known, n=1)
    listed = ", ".join(sorted(known)) or "none"
    return UsageError(
        f"there is no param {name!r}" + (f"; did you mean {close[0]!r}?" if close else ""),
        cause=f"the project has: {listed}",
        hint=f"write {close[0]}=..." if close else f"add `{name}` with its default under `params:` in headway.yaml",
    )


def _typed(name: str, value: ParamValue, default: ParamValue) -> ParamValue:
    found = _read(value, default)
    if found is not None:
        return found
    kind = {bool: "true or false", int: "a whole number", float: "a number"}[type(default)]
    raise UsageError(
        f"param {name}={as_text(value)} is not {kind}",
        cause=f"its default in headway.yaml is {as_text(default)}",
        hint=f"write for example {name}={as_text(default)}",
    )


def _read(value: ParamValue, default: ParamValue) -> ParamValue | None:
    if isinstance(default, str):
        return as_text(value)
    if isinstance(default, bool):
        return value if isinstance(value, bool) else {"true": True, "false": False}.get(str(value).lower())
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
        if isinstance(default, float):
            return number if math.isfinite(number) else None
        # 2**53 and above would lose digits on the way through a float.
        return int(value) if isinstance(value, str) or number.is_integer() else None
    except (ValueError, OverflowError):
        return None
