"""What would follow from a forge's event, told without doing any of it."""

from __future__ import annotations

from dataclasses import dataclass

from headway.app import App
from headway.commands.grammar import format_command
from headway.commands.inbox import InboxStore
from headway.commands.model import Command, ParsedCommand
from headway.errors import HeadwayError
from headway.flow.said import asks, understand
from headway.flow.standing import check_standing
from headway.forges.model import CommentCreated, Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One line of a comment: the command, and what would be said against it ("" = it would be carried out)."""

    line: int
    command: str = ""
    refusal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What this server would make of an event."""

    came_before: bool
    head: str = ""  # the commit that commands would be for
    outcomes: tuple[Outcome, ...] = ()
    note: str = ""


def rehearse(app: App, event: Event, *, forge: str) -> Rehearsal:
    """Return what would follow from an event; the forge is asked, nothing is kept.

    Raises:
        Unreachable: the forge is away; then the event would wait.
    """
    with app.database.read() as tx:
        came_before = InboxStore(tx).has(event, forge=forge, at=app.clock.now())
    if not isinstance(event, CommentCreated):
        note = "who may do this is asked of the forge when it is carried out"
        return Rehearsal(came_before=came_before, note=note)
    if not asks(event):
        return Rehearsal(came_before=came_before, note="no line of the comment begins with a command")
    said = understand(app, event, app.clock.now())
    outcomes = tuple(
        Outcome(line=line.number, refusal=line.answer)
        if line.command is None
        else Outcome(line=line.number, command=_typed(line.command), refusal=_refusal(app, line.command))
        for line in said.lines
    )
    return Rehearsal(came_before=came_before, head=said.change.head_sha, outcomes=outcomes)


def _refusal(app: App, command: Command) -> str:
    try:
        check_standing(app, command)
    except HeadwayError as error:
        if error.retryable:
            raise
        return f"{error.message}: {error.cause}" if error.cause else error.message
    return ""


def _typed(command: Command) -> str:
    return format_command(
        ParsedCommand(
            verb=command.verb,
            arguments=command.arguments,
            params=command.params,
            project=command.project,
            environment=command.environment,
            reason=command.reason,
            dry_run=command.dry_run,
        )
    )
