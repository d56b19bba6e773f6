"""Commands that no comment gave: the one place where a happening becomes who asked for what, on which commit."""

from __future__ import annotations

from dataclasses import dataclass, field

from headway.app import App
from headway.commands.model import Command, Origin, Verb
from headway.commands.store import CommandStore
from headway.ids import new_id

LONGEST_ACTOR = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What happened, by whose doing; `once` is its `happening`, so that the same one acts once."""

    origin: Origin
    actor: str
    once: str
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What it is for: a project at a commit, of a change or of a branch."""

    repo_id: str
    project: str
    head_sha: str | None
    change: int | None = None
    branch: str = ""
    arguments: tuple[str, ...] = ()
    params: dict[str, str] = field(default_factory=dict)


def command_of(app: App, cause: Cause, aim: Aim, verb: Verb = Verb.TRAIN) -> Command:
    """Return the command; nothing is recorded yet."""
    return Command(
        id=new_id(),
        verb=verb,
        origin=cause.origin,
        repo_id=aim.repo_id,
        actor=cause.actor[:LONGEST_ACTOR],
        at=app.clock.now(),
        project=aim.project,
        change=aim.change,
        head_sha=aim.head_sha,
        branch=aim.branch,
        arguments=aim.arguments,
        params=aim.params,
        comment_id=cause.once,
        cause=cause.words,
    )


def give(app: App, cause: Cause, aim: Aim, verb: Verb = Verb.TRAIN) -> None:
    """Record the command; the dispatcher judges it like any other."""
    with app.database.write() as tx:
        CommandStore(tx).add(command_of(app, cause, aim, verb))
