"""`headway ci take`: may this comment start something, and what? The rules are those of the server's own door."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any

import typer

from headway.cli.ci_event import Told, read_told
from headway.cli.ci_github import AtGitHub, at_github
from headway.cli.ci_outputs import put, summarize
from headway.cli.options import Json
from headway.cli.output import note
from headway.clock import SystemClock
from headway.commands.grammar import format_command, has_command, parse_comment
from headway.commands.model import Answer, Command, Origin, ParsedCommand, Verb
from headway.commands.usage import permission_for
from headway.errors import HeadwayError, Refused, UsageError
from headway.flow.projects import aliases
from headway.flow.standing import check_standing, doubtful_head, unnamed_production, wrong_commit
from headway.forges.github.comments import ACTIONS_BOT
from headway.forges.github.reading import Ignored, Reader
from headway.forges.github.webhook import Hook
from headway.forges.model import Change, CommentCreated, Permission, WantedComment, WantedReaction
from headway.ids import new_id
from headway.logs import configure

ACTIONS_APP = 15368  # GitHub Actions itself, at github.com
_AFTER_THE_END = frozenset({Verb.DEPLOY, Verb.APPROVE, Verb.ROLLBACK, Verb.WHY, Verb.HELP})


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The outcome: a command to carry out, or why there is none."""

    state: str  # accepted | refused | ignored
    reason: str = ""
    command: ParsedCommand | None = None
    line: str = ""
    change: int | None = None
    sha: str = ""
    base: str = ""
    from_fork: bool = False
    actor: str = ""

    def outputs(self) -> dict[str, Any]:
        """What the next step reads."""
        found = self.command if self.state == "accepted" else None
        return {
            "accepted": self.state == "accepted",
            "state": self.state,
            "reason": self.reason,
            "verb": found.verb.value if found else "",
            "command": self.line if found else "",
            "project": (found.project or "") if found else "",
            "change": self.change,
            "sha": self.sha if found else "",
            "base": self.base,
            "from-fork": self.from_fork,
            "actor": self.actor,
        }


def take(
    *,
    comment: Annotated[
        str | None, typer.Option("--comment", help="The comment; the event's own when left out.")
    ] = None,
    change: Annotated[int | None, typer.Option("--change", help="Number of the pull request.")] = None,
    sha: Annotated[str | None, typer.Option("--sha", help="The commit that it is for.")] = None,
    actor: Annotated[str | None, typer.Option("--actor", help="Who wrote it.")] = None,
    role: Annotated[str | None, typer.Option("--role", help="Its standing, where no GitHub can be asked.")] = None,
    repository: Annotated[str | None, typer.Option("--repository", help="OWNER/REPO; as the CI says.")] = None,
    post: Annotated[bool, typer.Option(help="Answer under the comment: a sign, or the refusal.")] = True,
    as_json: Json = False,
) -> None:
    """Read a comment by the grammar and rules of Headway; the outputs say whether something is to be done, and what."""
    configure(process="ci")
    told = read_told(repository)
    if comment is not None:
        taken = _given(told, comment, change=change, sha=sha, actor=actor, role=role)
    elif told.event == "issue_comment":
        taken = _of_event(told, post=post)
    else:
        raise UsageError(
            f"there is no comment in the event {told.event!r}" if told.event else "there is no event",
            hint="on: issue_comment, or headway ci take --change N --sha SHA --comment '/train' --actor NAME",
        )
    put(taken.outputs(), as_json=as_json)
    if taken.state != "ignored":
        summarize(f"`{taken.line or 'comment'}` of change {taken.change}: {taken.state}\n\n{taken.reason}".rstrip())
    note(f"{taken.state}: {taken.reason}" if taken.reason else f"{taken.state}: {taken.line}")


# --- a comment that GitHub told of -----------------------------------------------------------------


def _of_event(told: Told, *, post: bool) -> Taken:
    if not told.has_github:
        raise UsageError(
            "GitHub cannot be asked who wrote this comment and for which commit",
            cause="GITHUB_TOKEN or GITHUB_REPOSITORY is not set",
            hint="env: {GITHUB_TOKEN: ${{ github.token }}}",
        )
    _check_same_repository(told)
    hook = Hook(event=told.event, delivery=told.delivery, data=told.data)
    read = Reader(app_id=ACTIONS_APP, bot=ACTIONS_BOT).read(hook, SystemClock().now())
    if not isinstance(read, CommentCreated):
        return Taken(state="ignored", reason=read.why if isinstance(read, Ignored) else "this is no comment")
    if not has_command(read.comment.body):
        # Most comments are people talking: nothing is asked of GitHub for them.
        return Taken(state="ignored", reason="there is no command in it")
    with at_github(told) as github:
        said, change = read.comment, github.change(read.change.number)
        taken = _decide(github, change, said.body, actor=said.author, said_at=said.created_at)
        if post:
            _answer(github, taken, read)
        return taken


def _check_same_repository(told: Told) -> None:
    found = told.data.get("repository")
    name = str(found.get("full_name", "")) if isinstance(found, dict) else ""
    if name.lower() != told.repository.lower():
        raise Refused(f"the event is of {name[:100]!r}, and this workflow of {told.repository!r}")


def _answer(github: AtGitHub, taken: Taken, read: CommentCreated) -> None:
    """Answer a comment as the server would: a sign when it is taken, a sentence when it is not."""
    if taken.state == "ignored":
        return
    said, number = read.comment, read.change.number
    content = "eyes" if taken.state == "accepted" else "confused"
    github.say(WantedReaction(repo_id=github.repo.id, number=number, comment_id=said.id, content=content))
    if taken.state == "refused":
        marker = f"<!-- headway:answer comment={said.id} line=0 -->"
        body = f"{marker}\n@{said.author} {taken.reason}"
        github.say(WantedComment(repo_id=github.repo.id, number=number, marker=marker, body=body, fresh=True))


# --- a comment that the CI gives by hand ------------------------------------------------------------


def _given(
    told: Told, comment: str, *, change: int | None, sha: str | None, actor: str | None, role: str | None
) -> Taken:
    if not sha or len(sha) not in (40, 64) or any(digit not in "0123456789abcdef" for digit in sha):
        raise UsageError(f"--sha {sha or ''!r} is not the full name of a commit", hint="--sha $(git rev-parse HEAD)")
    if not actor:
        raise UsageError("nobody is named who wrote the comment", hint="--actor NAME")
    if told.has_github and change is not None:
        with at_github(told) as github:
            found = github.change(change)
            if found.head_sha != sha:
                return Taken(
                    state="refused", reason=f"change {change} is at {found.head_sha} now, not at {sha}", change=change
                )
            return _decide(github, found, comment, actor=actor, said_at=None)
    return _by_role(comment, change=change, sha=sha, actor=actor, role=role)


def _by_role(comment: str, *, change: int | None, sha: str, actor: str, role: str | None) -> Taken:
    """Decide where no forge can be asked: who may what, the CI itself says."""
    known = {each.name.lower(): each for each in Permission}
    if role not in known:
        raise Refused(
            f"nobody says what @{actor} may do here",
            cause="without a GitHub to ask, the CI itself has to know: no standing is no permission",
            hint=f"--role {'|'.join(known)}, or GITHUB_TOKEN and --repository with --change",
        )
    taken = _one(parse_comment(comment), change=change, actor=actor, base="", from_fork=False)
    command = taken.command
    if command is None:
        return taken
    needed = permission_for(command.verb)
    if known[role] < needed:
        reason = f"@{actor} may not /{command.verb}: it needs {needed.name.lower()} permission"
        return Taken(state="refused", reason=reason, change=change, actor=actor)
    if command.sha is not None and command.sha != sha:
        return Taken(state="refused", reason=f"@{command.sha} is not the commit {sha}", change=change, actor=actor)
    return _accepted(taken, sha)


# --- the decision -----------------------------------------------------------------------------------


def _decide(github: AtGitHub, change: Change, body: str, *, actor: str, said_at: datetime | None) -> Taken:
    app = github.app
    taken = _one(
        parse_comment(body, aliases(app, change.repo_id, change.base_sha)),
        change=change.number,
        actor=actor,
        base=change.base_sha,
        from_fork=change.from_fork,
    )
    command = taken.command
    if command is None:
        return taken

    def refused(reason: str) -> Taken:
        return Taken(
            state="refused",
            reason=reason,
            line=taken.line,
            change=change.number,
            actor=actor,
            base=change.base_sha,
            from_fork=change.from_fork,
        )

    if change.state != "open" and command.verb not in _AFTER_THE_END:
        return refused(f"Change {change.number} is {change.state}.")
    if reason := _wrong(app, change, command, said_at):
        return refused(reason)
    try:
        check_standing(app, _recorded(app, change, command, actor))
    except HeadwayError as error:
        # Also when GitHub does not answer: what nobody vouches for is refused.
        return refused(". ".join(part for part in (error.message, error.cause) if part))
    return _accepted(taken, change.head_sha)


def _wrong(app: Any, change: Change, command: ParsedCommand, said_at: datetime | None) -> str:
    """Say why a command is not surely for the head of its change; a commit that the CI itself names is sure."""
    checks: list[Callable[[], str]] = [
        lambda: wrong_commit(change, command),
        lambda: unnamed_production(change, command),
        lambda: doubtful_head(app, change, command, said_at) if said_at is not None else "",
    ]
    return next((found for check in checks if (found := check())), "")


def _recorded(app: Any, change: Change, parsed: ParsedCommand, actor: str) -> Command:
    return Command(
        id=new_id(),
        verb=parsed.verb,
        origin=Origin.COMMENT,
        repo_id=change.repo_id,
        actor=actor,
        at=app.clock.now(),
        project=parsed.project,
        change=change.number,
        head_sha=change.head_sha,
        arguments=parsed.arguments,
        environment=parsed.environment,
        params=parsed.params,
    )


def _one(parsed: tuple[Any, ...], *, change: int | None, actor: str, base: str, from_fork: bool) -> Taken:
    """Return the one command of a comment; a step carries out one, so several are refused, not dropped."""
    facts: dict[str, Any] = {"change": change, "actor": actor, "base": base, "from_fork": from_fork}
    if not parsed:
        return Taken(state="ignored", reason="there is no command in it", **facts)
    wrong = next((each for each in parsed if isinstance(each, Answer)), None)
    if wrong is not None:
        return Taken(state="refused", reason=wrong.text, **facts)
    if len(parsed) > 1:
        return Taken(state="refused", reason="One command a comment, please: each is a workflow of its own.", **facts)
    return Taken(state="accepted", command=parsed[0], line=format_command(replace(parsed[0], sha=None)), **facts)


def _accepted(taken: Taken, sha: str) -> Taken:
    return Taken(
        state="accepted",
        command=taken.command,
        line=taken.line,
        change=taken.change,
        sha=sha,
        base=taken.base,
        from_fork=taken.from_fork,
        actor=taken.actor,
    )
