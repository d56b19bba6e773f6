"""The command line of a step: split once, filled in word by word, never given to a shell."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Mapping

from headway.errors import UsageError
from headway.pipelines.params import as_text
from headway.projects.model import ParamValue, StepSpec

_HOLE = re.compile(r"\$\{([^}]*)\}")
_SHELL_WORDS = frozenset({"&&", "||", "|", ";", "&", ">", ">>", "<", "2>", "2>&1"})


def split_command(step: StepSpec, *, params: Mapping[str, ParamValue], data: Mapping[str, str]) -> tuple[str, ...]:
    """Return the argument vector of a step; a value with blanks in it stays one argument.

    Raises:
        UsageError: unbalanced quotes, words that only a shell understands, or an unknown `${...}`.
    """
    try:
        words = shlex.split(step.run)
    except ValueError as error:
        raise UsageError(f"step {step.name!r}: `run: {step.run}` cannot be split into words: {error}") from None
    if not words:
        raise UsageError(f"step {step.name!r} has an empty `run:`", hint="write for example `run: python train.py`")
    shell = next((word for word in words if word in _SHELL_WORDS), None)
    if shell is not None:
        raise UsageError(
            f"step {step.name!r}: {shell!r} means something to a shell only, and `run:` is given to none",
            hint="put the commands into a script and run that, or make them steps of their own",
        )
    return tuple(_filled(word, step.name, params, data) for word in words)


def names_in(run: str, kind: str) -> frozenset[str]:
    """Return the names of one kind ("params" or "data") that a command line asks for."""
    holes = (hole.strip() for hole in _HOLE.findall(run))
    return frozenset(hole.removeprefix(f"{kind}.") for hole in holes if hole.startswith(f"{kind}."))


def _filled(word: str, step: str, params: Mapping[str, ParamValue], data: Mapping[str, str]) -> str:
    known = {f"params.{name}": as_text(value) for name, value in params.items()}
    known |= {f"data.{name}": uri for name, uri in data.items()}

    def fill(hole: re.Match[str]) -> str:
        name = hole[1].strip()
        if name in known:
            return known[name]
        close = difflib.get_close_matches(name, known, n=1)
        raise UsageError(
            f"step {step!r}: ${{{name}}} names nothing" + (f"; did you mean ${{{close[0]}}}?" if close else ""),
            cause="`run:` may use ${params.NAME} and ${data.NAME}; the program itself reads its environment",
            hint=f"known here: {', '.join(sorted(known)) or 'none'}",
        )

    return _HOLE.sub(fill, word)
