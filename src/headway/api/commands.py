"""Commands from the terminal: recorded like those of a comment, carried out by the same loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headway.api.answers import Call, WholeNumber
from headway.commands.grammar import parse_comment
from headway.commands.model import Answer, Command, Origin, ParsedCommand, Verb
from headway.commands.store import CommandStore
from headway.db import schema
from headway.errors import UsageError
from headway.flow import train
from headway.flow.projects import aliases, resolve
from headway.flow.repos import forge_of, get_repo
from headway.flow.standing import check_token, wrong_commit
from headway.ids import new_id
from headway.jobs.store import JobStore


@dataclass(frozen=True, kw_only=True)
class GiveCommand:
    """A command, and where it applies: a change, or a commit of a branch (or a snapshot)."""

    text: str  # "/train lr=0.1"
    change: WholeNumber | None = None
    sha: str | None = None
    branch: str = ""


def give(call: Call) -> Any:
    """Record a command of the terminal; the worker carries it out."""
    wanted = call.body(GiveCommand)
    repo_id = call.path["repo"]
    repo = get_repo(call.app, repo_id)
    main = resolve(call.app, repo, repo.default_branch)
    parsed = _only(wanted.text, aliases(call.app, repo_id, main))
    check_token(call.principal, parsed.verb)
    if wanted.change is not None:
        change = forge_of(call.app, repo_id).get_change(repo_id, wanted.change)
        sha = change.head_sha
        if wrong := wrong_commit(change, parsed):
            raise UsageError(wrong, hint=f"/{parsed.verb} @{sha}")
    else:
        sha = wanted.sha or (resolve(call.app, repo, wanted.branch) if wanted.branch else main)
        if parsed.sha is not None and not sha.startswith(parsed.sha):
            raise UsageError(f"@{parsed.sha} is not the commit that was asked for: {sha}", hint="leave one of them out")
    command = Command(
        id=new_id(),
        verb=parsed.verb,
        origin=Origin.CLI,
        repo_id=repo_id,
        actor=call.principal.user,
        at=call.app.clock.now(),
        project=parsed.project,
        change=wanted.change,
        head_sha=sha,
        branch=wanted.branch,
        arguments=parsed.arguments,
        environment=parsed.environment,
        params=parsed.params,
        reason=parsed.reason,
        dry_run=parsed.dry_run,
    )
    with call.app.database.write() as tx:
        kept = CommandStore(tx).add(command)
    call.app.nudge()
    return kept


def _only(text: str, words: Mapping[str, str]) -> ParsedCommand:
    parsed = parse_comment(text, words)
    if len(parsed) != 1:
        raise UsageError(f"{text!r} is not one command", hint="/train lr=0.1")
    if isinstance(parsed[0], Answer):
        raise UsageError(parsed[0].text)
    return parsed[0]


def show(call: Call) -> Any:
    """Return a command with the jobs that it started."""
    with call.app.database.read() as tx:
        command = CommandStore(tx).get(call.path["command"])
        started = JobStore(tx).find(schema.job.c.command_id == command.id)
    return {"command": command, "jobs": started}


@dataclass(frozen=True, kw_only=True)
class AskPlan:
    """What to plan for."""

    change: WholeNumber | None = None
    sha: str | None = None
    branch: str = ""
    project: str | None = None
    params: dict[str, str] = field(default_factory=dict)


def plan(call: Call) -> Any:
    """Return what `train` would do, without recording anything."""
    wanted = call.body(AskPlan)
    repo = get_repo(call.app, call.path["repo"])
    sha = wanted.sha
    if wanted.change is not None:
        sha = forge_of(call.app, repo.id).get_change(repo.id, wanted.change).head_sha
    command = Command(
        id=new_id(),
        verb=Verb.PLAN,
        origin=Origin.CLI,
        repo_id=repo.id,
        actor=call.principal.user,
        at=call.app.clock.now(),
        project=wanted.project,
        change=wanted.change,
        head_sha=sha or resolve(call.app, repo, wanted.branch or repo.default_branch),
        branch=wanted.branch,
        params=wanted.params,
    )
    return {"plans": [each.plan for each in train.plans_for(call.app, command)]}
