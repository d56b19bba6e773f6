"""What a comment asks for, line by line, and what speaks against it; nothing is done here.

The inbox acts on it, and a rehearsal only shows it: both by the same rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headway.app import App
from headway.commands.grammar import has_command, parse_comment
from headway.commands.model import Answer, Command, CommandState, Origin, ParsedCommand, Verb
from headway.commands.refusals import copyable
from headway.flow.projects import aliases
from headway.flow.repos import forge_of
from headway.flow.standing import doubtful_head, unnamed_production, wrong_commit
from headway.forges.model import Change, CommentCreated
from headway.ids import new_id

# What still makes sense when a change is merged or closed.
_AFTER = frozenset({Verb.DEPLOY, Verb.APPROVE, Verb.ROLLBACK, Verb.WHY, Verb.HELP, Verb.STOP})


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a comment: a command, or what is said instead of it."""

    number: int
    command: Command | None = None
    answer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A comment as it is understood, on the change as it stands."""

    change: Change
    lines: tuple[Line, ...] = ()


def asks(event: CommentCreated) -> bool:
    """Whether a comment may be for us at all: what else is said needs no question to the forge."""
    return not event.comment.is_ours and has_command(event.comment.body)


def understand(app: App, event: CommentCreated, received_at: datetime) -> Said:
    """Return what every line of a comment comes to; the forge is asked for the change as it stands now."""
    fresh = forge_of(app, event.change.repo_id).get_change(event.change.repo_id, event.change.number)
    knows_head = bool(event.change.head_sha)
    # GitHub does not say at which commit a comment was made: what it may be for, the ledger says.
    change = event.change if knows_head else fresh
    parsed = parse_comment(event.comment.body, aliases(app, change.repo_id, change.base_sha))
    if not parsed:
        return Said(change=change)
    if fresh.state != "open" and not any(isinstance(each, ParsedCommand) and each.verb in _AFTER for each in parsed):
        text = f"Change {change.number} is {fresh.state}: only /deploy, /approve, /rollback and /why act now."
        text = f"`HW-CHANGE-CLOSED` {text}"
        return Said(change=change, lines=(Line(number=0, answer=text),))
    said_at = None if knows_head else min(event.comment.created_at, received_at)
    return Said(change=change, lines=tuple(_line(app, event, change, each, said_at=said_at) for each in parsed))


def _line(
    app: App, event: CommentCreated, change: Change, parsed: ParsedCommand | Answer, *, said_at: datetime | None
) -> Line:
    if isinstance(parsed, Answer):
        return Line(number=parsed.line, answer=f"`HW-USAGE` {parsed.text}")
    if said_at is not None:
        doubt = doubtful_head(app, change, parsed, said_at) or unnamed_production(change, parsed)
        if doubt:
            return Line(number=parsed.line, answer=doubt)
    wrong = wrong_commit(change, parsed)
    if wrong:
        return Line(number=parsed.line, answer=wrong + copyable(f"/{parsed.verb} @{change.head_sha}"))
    return Line(number=parsed.line, command=_command(event, change, parsed, app.clock.now()))


def _command(event: CommentCreated, change: Change, parsed: ParsedCommand, at: datetime) -> Command:
    return Command(
        id=new_id(),
        verb=parsed.verb,
        origin=Origin.COMMENT,
        repo_id=change.repo_id,
        actor=event.comment.author,
        at=at,
        project=parsed.project,
        change=change.number,
        head_sha=change.head_sha,  # as it stood when the comment was made
        arguments=parsed.arguments,
        environment=parsed.environment,
        params=parsed.params,
        reason=parsed.reason,
        dry_run=parsed.dry_run,
        comment_id=event.comment.id,
        line=parsed.line,
        state=CommandState.ACCEPTED,
    )
