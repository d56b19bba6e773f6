"""Which check an override means: its whole name, or any part of it that only one check has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headway.commands.grammar import shown
from headway.commands.model import Answer, Command, ParsedCommand
from headway.commands.nearest import nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedCheck:
    """The check that an override is about, and the reason that is left after its name."""

    check: str
    reason: str


def named_check(command: ParsedCommand | Command, checks: Sequence[str]) -> NamedCheck | Answer:
    """Return the one of `checks` that `/override` names, or the answer that lists what may be named.

    People rarely quote: in `/override val_auc by origin late data` the name ends where the longest
    known one does, and `country=BR` is enough while a single check holds it.
    """
    typed = command.arguments[0] if command.arguments else ""
    whole = f"{typed} {command.reason}".strip()
    for check in sorted(checks, key=len, reverse=True):
        if typed == check:
            return _with_reason(check, command.reason, line=command.line)
        rest = whole[len(check) :]
        if whole[: len(check)].casefold() == check.casefold() and (not rest or rest[0] in " :"):
            return _with_reason(check, rest.strip(" :-"), line=command.line)
    parts = [check for check in checks if typed and typed.casefold() in check.casefold()]
    if len(parts) == 1:
        return _with_reason(parts[0], command.reason, line=command.line)
    return Answer(text=_cannot_tell(typed, parts or list(checks), checks, is_known=bool(parts)), line=command.line)


def _with_reason(check: str, reason: str, *, line: int) -> NamedCheck | Answer:
    if reason:
        return NamedCheck(check=check, reason=reason)
    return Answer(text=f"An override of {shown(check)} needs a reason after the name: it is kept.", line=line)


def _cannot_tell(typed: str, choices: list[str], checks: Sequence[str], *, is_known: bool) -> str:
    if not checks:
        return "No check failed here: there is nothing to override."
    near = nearest(typed, checks, close=3)
    start = f"More than one check holds {shown(typed)}" if is_known else f"There is no check {shown(typed)}"
    meant = f", did you mean {shown(near)}?" if near and not is_known else "."
    return f"{start}{meant} Checks: {', '.join(shown(choice) for choice in choices[:10])}."
