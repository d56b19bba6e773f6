"""Which Python a project wants, from what it says in the ways people say it."""

from __future__ import annotations

import re

from headway.errors import UsageError

_MINORS = range(8, 21)
_CLAUSE = re.compile(r"\s*(===|==|~=|!=|>=|<=|>|<)?\s*(\d+)(?:\.(\d+|\*))?(?:\.(\d+|\*))?\S*\s*\Z")
_EXACT = re.compile(r"(?:cpython-?)?(\d+)\.(\d+)(?:\.\d+)?\Z")


def exact_python(text: str, *, where: str) -> str:
    """Return "3.12" for what a person wrote as a version: 3.12, 3.12.4, cpython-3.12.

    Raises:
        UsageError: it names no Python of the third major version with a minor one.
    """
    found = _EXACT.match(text.strip())
    if found is None or found[1] != "3":
        raise UsageError(f"{where} {text.strip()!r} is no Python version", hint='write it as "3.12", in quotes')
    return f"3.{found[2]}"


def choose_python(requires: str, *, default: str) -> str:
    """Return `default` where `requires` (PEP 440 clauses) admits it, else the nearest that it admits.

    Raises:
        UsageError: nothing is admitted, or the text cannot be read.
    """
    admitted = [minor for minor in _MINORS if _admits(requires, minor)]
    wanted = int(default.split(".")[1])
    if not admitted:
        raise UsageError(
            f"requires-python {requires!r} admits no Python between 3.{_MINORS[0]} and 3.{_MINORS[-1]}",
            hint='write for example requires-python = ">=3.11"',
        )
    return f"3.{min(admitted, key=lambda minor: (abs(minor - wanted), minor))}"


def _admits(requires: str, minor: int) -> bool:
    return all(_clause_admits(clause, minor) for clause in requires.split(",") if clause.strip())


def _clause_admits(clause: str, minor: int) -> bool:
    found = _CLAUSE.match(clause)
    if found is None:
        raise UsageError(f"requires-python has the unreadable part {clause.strip()!r}", hint='write ">=3.11"')
    operator, major, second, third = found.groups()
    # Only minors are chosen between, so a bound within a minor (3.11.4) admits that minor where any patch may do.
    whole_major = second in (None, "*")
    bound = (int(major), 0 if whole_major else int(second))
    has_patch = third not in (None, "*")
    this = (3, minor)
    if operator in ("==", "===", None):
        return this[0] == bound[0] if whole_major else this == bound
    if operator == "!=":
        return has_patch or whole_major or this != bound
    if operator == "~=":
        return this == bound if has_patch else this[0] == bound[0] and this >= bound
    if operator == ">":
        return this > bound or (has_patch and this == bound)
    if operator == "<":
        return this < bound or (has_patch and third != "0" and this == bound)
    return this >= bound if operator == ">=" else this <= bound
