"""Buttons and the command line of a page: each makes a Command, exactly as a comment does."""

from __future__ import annotations

from starlette.responses import Response

from headway.api.admit import admit_to
from headway.auth.belongs import Kind
from headway.auth.roles import Action, check_allowed
from headway.commands.grammar import parse_comment
from headway.commands.model import Answer, Command, CommandState, Origin, ParsedCommand, Verb
from headway.commands.store import CommandStore
from headway.db import schema
from headway.errors import Conflict, UsageError
from headway.flow.present import command_text
from headway.flow.projects import aliases, resolve
from headway.flow.repos import forge_of, get_repo
from headway.ids import new_id
from headway.jobs.store import JobStore
from headway.web.visit import Visit

_ACTIONS = {
    Verb.DEPLOY: Action.DEPLOY,
    Verb.ROLLBACK: Action.DEPLOY,
    Verb.APPROVE: Action.APPROVE,
    Verb.OVERRIDE: Action.OVERRIDE,
    Verb.WHY: Action.READ,
    Verb.HELP: Action.READ,
}


def give(visit: Visit) -> Response:
    """Record a command; the worker carries it out, and the page that follows shows what became of it."""
    principal = admit_to(visit.app, visit.principal, Kind.REPO, name=visit.form.get("repo", ""))
    repo = get_repo(visit.app, visit.form.get("repo", ""))
    change = _change_number(visit.form.get("change", ""))
    branch, words = "", {}
    if change is not None:
        at = forge_of(visit.app, repo.id).get_change(repo.id, change)
        head = at.head_sha
        words = aliases(visit.app, repo.id, at.base_sha)
        seen = visit.form.get("head", head)
        if seen != head:
            # What was approved or deployed must be what the page showed.
            raise Conflict(
                f"change {change} has moved to {head[:7]}",
                cause=f"the page showed {seen[:7]}",
                hint="look at it again, then repeat the command",
            )
    else:
        branch = repo.default_branch
        head = resolve(visit.app, repo, branch)
    commands = []
    for parsed in _parsed(visit.form.get("text", ""), words):
        check_allowed(principal, _ACTIONS.get(parsed.verb, Action.TRAIN))
        if parsed.sha and not head.startswith(parsed.sha):
            raise Conflict(f"commit {parsed.sha} is not the head: that is {head[:16]}", hint="look at it again")
        params = dict(parsed.params)
        if parsed.verb is Verb.ROLLBACK and visit.form.get("version", "").isdigit():
            params["version"] = visit.form["version"]
        commands.append(
            Command(
                id=new_id(),
                verb=parsed.verb,
                origin=Origin.WEB,
                repo_id=repo.id,
                actor=visit.principal.user,
                at=visit.app.clock.now(),
                project=parsed.project,
                change=change,
                head_sha=head,
                branch=branch,
                arguments=parsed.arguments,
                environment=parsed.environment,
                params=params,
                reason=parsed.reason,
                dry_run=parsed.dry_run,
            ),
        )
    with visit.app.database.write() as tx:
        kept = [CommandStore(tx).add(command) for command in commands]
    visit.app.nudge()
    if change is not None:
        return visit.go(f"/changes/{repo.id}/{change}#commands")
    return visit.go(f"/commands/{kept[-1].id}")


def _change_number(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise UsageError(f"change {text!r} is no number")
    return int(text)


def _parsed(text: str, words: dict[str, str]) -> list[ParsedCommand]:
    line = text.strip()
    found = parse_comment(line, words)
    if not found:
        raise UsageError(f"{line[:80]!r} is no command", hint="/train lr=0.1, or /help")
    for each in found:
        if isinstance(each, Answer):
            raise UsageError(each.text)
    return [each for each in found if isinstance(each, ParsedCommand)]


def show(visit: Visit) -> Response:
    """Show one command and what became of it; the page follows it until it has ended."""
    with visit.app.database.read() as tx:
        command = CommandStore(tx).get(visit.path["command"])
        jobs = JobStore(tx).find(schema.job.c.command_id == command.id)
    return visit.page(
        "command_live.html" if visit.is_part else "command.html",
        command=command,
        text=command_text(command),
        jobs=jobs,
        is_live=command.state in (CommandState.ACCEPTED, CommandState.NEEDS_APPROVAL),
    )
