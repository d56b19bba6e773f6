"""A maintainer's word against a check: accepted for one head commit, shown, and never making anything worse."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Sequence

from headway.gates.model import Check, CheckState, Override

_ACCEPTABLE = (CheckState.FAILED, CheckState.MISSING, CheckState.CANNOT_TELL)


def apply_overrides(
    checks: Sequence[Check],
    overrides: Iterable[Override],
    *,
    head_sha: str,
) -> tuple[tuple[Check, ...], tuple[str, ...]]:
    """The checks with the overrides of this head commit in force, and a note for each that names nothing."""
    result = list(checks)
    notes = []
    for override in sorted(overrides, key=lambda each: (each.check, each.actor, each.reason)):
        if not head_sha or override.head_sha != head_sha:
            continue
        named = [position for position, check in enumerate(result) if names(override.check, check)]
        if not named:
            notes.append(_unknown(override, checks))
        for position in named:
            if result[position].state in _ACCEPTABLE and result[position].judged:
                result[position] = dataclasses.replace(
                    result[position],
                    state=CheckState.OVERRIDDEN,
                    overridden_by=override.actor,
                    override_reason=override.reason,
                )
    return tuple(result), tuple(notes)


def names(word: str, check: Check) -> bool:
    """By the check's id, by its rule's id (all its slices), or by the slice alone."""
    return word in (check.id, rule_of(check)) or (bool(check.slice) and word in (check.slice, quote(check.slice)))


def rule_of(check: Check) -> str:
    """The id of the rule that a check belongs to."""
    suffix = f":{quote(check.slice)}"
    return check.id.removesuffix(suffix) if check.slice else check.id


def quote(text: str) -> str:
    """A slice as one word of a comment: what would end a word or hide in it is written as %XX."""
    return "".join(
        each if each.isalnum() or each in "=._-+/:~" else "".join(f"%{byte:02X}" for byte in each.encode())
        for each in text
    )


def _unknown(override: Override, checks: Sequence[Check]) -> str:
    near = difflib.get_close_matches(override.check, [each.id for each in checks], n=1, cutoff=0)
    hint = f"; the nearest is {near[0]}" if near else ""
    return f"the override of {override.check} by {override.actor} names no check{hint}"
