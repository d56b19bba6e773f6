"""What a proved delivery tells: one of our events, or why it means nothing to us (rules 6 to 9 of the door)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from headway.errors import UsageError
from headway.forges.github.payloads import (
    CheckRun,
    CheckSuite,
    Comment,
    Issue,
    Label,
    Pull,
    User,
    change_of,
    comment_of,
    login,
    repo_id,
    to_type,
    unknown_change,
)
from headway.forges.github.webhook import Hook, repository_of
from headway.forges.model import (
    BranchPushed,
    ChangeLabelled,
    ChangeMoved,
    ChangeState,
    CheckPressed,
    CommentCreated,
    Dispatched,
    Event,
    QueueEntered,
)

NO_COMMIT = "0" * 40
COMMENT_LIVES = timedelta(hours=24)
_PULL_ACTIONS = {
    "opened": "opened",
    "reopened": "reopened",
    "ready_for_review": "opened",
    "synchronize": "pushed",
    "closed": "closed",
}
_BUTTONS = frozenset({"rerun", "deploy", "approve"})


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing for us, and why."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads deliveries as one server's App does: what that App wrote is not for it."""

    app_id: int
    bot: str

    def read(self, hook: Hook, now: datetime) -> Event | Ignored:
        """Return what a delivery tells.

        The change of a comment has no commit ("" until the forge is asked): GitHub does not say it there.

        Raises:
            UsageError: it lacks what its kind always has.
        """
        reader = _READERS.get(hook.event)
        if reader is None:
            return Ignored(f"{hook.event} is not an event that anything here follows from")
        repo = repository_of(hook)
        if repo is None:
            return Ignored(f"this {hook.event} is about no repository")
        try:
            return reader(_Told(hook=hook, repo=repo_id(repo.id), reader=self, now=now))
        except KeyError as error:
            raise UsageError(f"GitHub's {hook.event} delivery lacks {error}") from None

    def is_ours(self, comment: Comment) -> bool:
        """Whether our App wrote a comment."""
        via = comment.performed_via_github_app
        return (via is not None and via.id == self.app_id) or (bool(self.bot) and login(comment.user) == self.bot)


def refusal_of(comment: Comment, now: datetime) -> str:
    """Return why a comment is not one that a person just wrote; "" when it is: for webhooks and for polling."""
    if comment.user is None or comment.user.type == "Bot" or comment.performed_via_github_app is not None:
        return "a program wrote the comment"  # no loops of bots
    if now - comment.created_at > COMMENT_LIVES:
        return "the comment is more than 24 hours old"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    hook: Hook
    repo: str
    reader: Reader
    now: datetime

    @property
    def delivery(self) -> str:
        return self.hook.delivery

    @property
    def sender(self) -> User:
        return to_type(self.hook.data["sender"], User, "sender")

    def read(self, field: str, kind: type[Any]) -> Any:
        return to_type(self.hook.data[field], kind, f"{self.hook.event}.{field}")


def _comment(told: _Told) -> Event | Ignored:
    issue: Issue = told.read("issue", Issue)
    comment: Comment = told.read("comment", Comment)
    if told.hook.action != "created":
        # Anybody with write permission may edit another's comment.
        return Ignored(f"only a new comment counts, and this one was {told.hook.action[:40] or 'not created'}")
    if issue.pull_request is None:
        return Ignored("the comment is on an issue, not on a pull request")
    if told.reader.is_ours(comment):
        return Ignored("the comment is our own")
    refusal = refusal_of(comment, told.now)
    if refusal:
        return Ignored(refusal)
    if comment.user is None or told.sender.id != comment.user.id:
        return Ignored("who sent the comment is not who wrote it")
    merged = issue.pull_request.merged_at is not None
    state = ChangeState.MERGED if merged else ChangeState.OPEN if issue.state == "open" else ChangeState.CLOSED
    change = unknown_change(told.repo, issue.number, title=issue.title, author=login(issue.user), state=state)
    return CommentCreated(
        delivery=told.delivery,
        change=change,
        comment=comment_of(comment, told.repo, issue.number, told.reader.is_ours),
    )


def _pull(told: _Told) -> Event | Ignored:
    action = told.hook.action
    pull: Pull = told.read("pull_request", Pull)
    change = change_of(pull, told.repo)
    if action == "labeled":
        label: Label = told.read("label", Label)
        return ChangeLabelled(
            delivery=told.delivery,
            change=change,
            label=label.name,
            actor=told.sender.login,
            identity=told.hook.identity,
        )
    is_rebased = action == "edited" and "base" in _mapping(told.hook.data.get("changes"))
    ours = "opened" if is_rebased else _PULL_ACTIONS.get(action)
    if ours is None:
        return Ignored(f"a pull request that was {action[:40]} stands where it stood")
    before = told.hook.data.get("before")
    return ChangeMoved(
        delivery=told.delivery,
        action="merged" if change.state is ChangeState.MERGED and ours == "closed" else ours,
        change=change,
        actor=told.sender.login,
        before_sha=before if isinstance(before, str) else None,
        identity=told.hook.identity,
    )


def _push(told: _Told) -> Event | Ignored:
    ref, after, before = (told.hook.data[name] for name in ("ref", "after", "before"))
    if not isinstance(ref, str) or not ref.startswith("refs/heads/"):
        return Ignored("a tag was pushed, not a branch")
    if after == NO_COMMIT:
        return Ignored("the branch was deleted")
    return BranchPushed(
        delivery=told.delivery,
        repo_id=told.repo,
        branch=ref.removeprefix("refs/heads/"),
        before_sha=None if before == NO_COMMIT else str(before),
        after_sha=str(after),
        actor=told.sender.login,
        identity=told.hook.identity,
    )


def _check_run(told: _Told) -> Event | Ignored:
    run: CheckRun = told.read("check_run", CheckRun)
    if run.app is None or run.app.id != told.reader.app_id:
        return Ignored("the check is not ours")
    pressed = _mapping(told.hook.data.get("requested_action")).get("identifier")
    action = "rerun" if told.hook.action == "rerequested" else pressed
    if told.hook.action not in ("rerequested", "requested_action"):
        return Ignored(f"a check that was {told.hook.action[:40]} asks for nothing")
    if action not in _BUTTONS:
        return Ignored(f"the check has no button {str(action)[:40]!r}")
    return CheckPressed(
        delivery=told.delivery,
        repo_id=told.repo,
        sha=run.head_sha,
        action=str(action),
        external_id=run.external_id or "",
        actor=told.sender.login,
        number=run.pull_requests[0].number if run.pull_requests else None,
        identity=told.hook.identity,
    )


def _check_suite(told: _Told) -> Event | Ignored:
    suite: CheckSuite = told.read("check_suite", CheckSuite)
    if suite.app is None or suite.app.id != told.reader.app_id:
        return Ignored("the checks are not ours")
    if told.hook.action != "rerequested":
        return Ignored(f"checks that were {told.hook.action[:40]} ask for nothing")
    return CheckPressed(
        delivery=told.delivery,
        repo_id=told.repo,
        sha=suite.head_sha,
        action="rerun",
        external_id="",
        actor=told.sender.login,
        number=suite.pull_requests[0].number if suite.pull_requests else None,
        identity=told.hook.identity,
    )


class _Group(msgspec.Struct, frozen=True, kw_only=True):
    head_sha: str
    head_ref: str
    base_sha: str
    base_ref: str


def _merge_group(told: _Told) -> Event | Ignored:
    if told.hook.action != "checks_requested":
        return Ignored(f"a merge group that was {told.hook.action[:40]} waits for no check")
    group: _Group = told.read("merge_group", _Group)
    # gh-readonly-queue/main/pr-104-<sha>: the only place where GitHub names the change.
    digits = group.head_ref.rpartition("/pr-")[2].partition("-")[0]
    return QueueEntered(
        delivery=told.delivery,
        repo_id=told.repo,
        sha=group.head_sha,
        base_sha=group.base_sha,
        base_branch=group.base_ref.removeprefix("refs/heads/"),
        numbers=(int(digits),) if digits.isdigit() else (),
        actor=told.sender.login if told.hook.data.get("sender") else "",
        identity=told.hook.identity,
    )


def _dispatch(told: _Told) -> Event | Ignored:
    payload = _mapping(told.hook.data.get("client_payload"))
    return Dispatched(
        delivery=told.delivery,
        repo_id=told.repo,
        name=told.hook.action[:100],
        payload={str(name)[:100]: str(value)[:1000] for name, value in list(payload.items())[:50] if _is_flat(value)},
        actor=told.sender.login,
        identity=told.hook.identity,
    )


def _mapping(found: object) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}


def _is_flat(value: object) -> bool:
    return isinstance(value, str | int | float | bool)


_READERS = {
    "issue_comment": _comment,
    "pull_request": _pull,
    "push": _push,
    "check_run": _check_run,
    "check_suite": _check_suite,
    "merge_group": _merge_group,
    "repository_dispatch": _dispatch,
}
