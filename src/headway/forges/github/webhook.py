"""One delivery of GitHub's webhooks: proved by its signature, then read into an event or found to mean nothing.

The signature covers the body alone, so everything is taken from the body: a delivery's id and event name, which come
as headers, are checked against it. Source: GitHub's documentation of webhook events, and rules 1 to 8 of its door here.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from gidgethub import ValidationFailure, sansio

from headway.errors import Refused, UsageError
from headway.forges.github.payloads import (
    CheckRun,
    CheckSuite,
    Comment,
    Issue,
    Label,
    Pull,
    RepoRef,
    User,
    change_of,
    comment_of,
    login,
    repo_id,
    to_type,
    unknown_change,
)
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

NAME = "github"
NO_COMMIT = "0" * 40
_PULL_ACTIONS = {
    "opened": "opened",
    "reopened": "reopened",
    "ready_for_review": "opened",
    "synchronize": "pushed",
    "closed": "closed",
}
_BUTTONS = frozenset({"rerun", "deploy", "approve"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A delivery whose signature was right."""

    event: str
    delivery: str
    data: Mapping[str, Any]

    @property
    def action(self) -> str:
        """What happened to the event's subject; "" for events without one."""
        found = self.data.get("action")
        return found if isinstance(found, str) else ""


def open_delivery(headers: Mapping[str, str], body: bytes, secrets: tuple[str, ...]) -> Hook | None:
    """Return a delivery that one of the secrets signed; None when it is not GitHub's at all.

    Raises:
        Refused: no signature, or one of another secret.
        UsageError: signed, and yet no JSON object.
    """
    found = {name.lower(): value for name, value in headers.items()}
    event, delivery = found.get("x-github-event", ""), found.get("x-github-delivery", "")
    if not event or not delivery:
        return None
    if not _is_signed(found.get("x-hub-signature-256", ""), body, secrets):
        raise Refused(
            "the signature of this delivery is not right",
            cause="the webhook's secret at GitHub is another one, or somebody else sent it",
            hint="headway doctor --live OWNER/REPO compares them",
        )
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise UsageError("the delivery is no JSON", hint="set the webhook's content type to application/json") from None
    if not isinstance(data, dict):
        raise UsageError("the delivery is no JSON object")
    return Hook(event=event[:64], delivery=delivery[:128], data=data)


def sign(body: bytes, secret: str) -> str:
    """Return the signature header for a body: what GitHub sends, and what tests and rehearsals need."""
    return f"sha256={hmac.new(secret.encode(), body, 'sha256').hexdigest()}"


def _is_signed(signature: str, body: bytes, secrets: tuple[str, ...]) -> bool:
    is_right = False
    for secret in secrets:
        try:
            sansio.validate_event(body, signature=signature, secret=secret)
        except ValidationFailure:
            continue
        is_right = True
    return is_right


def repository_of(hook: Hook) -> RepoRef | None:
    """Return the repository that a delivery is about; None for those about installations."""
    found = hook.data.get("repository")
    return to_type(found, RepoRef, "repository") if isinstance(found, dict) else None


def installation_of(hook: Hook) -> int | None:
    """Return the number of the installation through which a delivery came; None for a repository's own webhook."""
    found = hook.data.get("installation")
    number = found.get("id") if isinstance(found, dict) else None
    return number if isinstance(number, int) else None


def read_event(hook: Hook, *, app_id: int, bot: str) -> Event | None:
    """Return what a delivery tells; None when it means nothing to us.

    The change of a comment has no commit ("" until the forge is asked): GitHub does not say it there.

    Raises:
        UsageError: it lacks what its kind always has.
    """
    reader = _READERS.get(hook.event)
    repo = repository_of(hook)
    if reader is None or repo is None:
        return None
    try:
        return reader(_Told(hook=hook, repo=repo_id(repo.id), app_id=app_id, bot=bot))
    except KeyError as error:
        raise UsageError(f"GitHub's {hook.event} delivery lacks {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    hook: Hook
    repo: str
    app_id: int
    bot: str

    @property
    def delivery(self) -> str:
        return self.hook.delivery

    @property
    def sender(self) -> User:
        return to_type(self.hook.data["sender"], User, "sender")

    def read(self, field: str, kind: type[Any]) -> Any:
        return to_type(self.hook.data[field], kind, f"{self.hook.event}.{field}")

    def is_ours(self, comment: Comment) -> bool:
        via = comment.performed_via_github_app
        return (via is not None and via.id == self.app_id) or (bool(self.bot) and login(comment.user) == self.bot)


def _comment(told: _Told) -> Event | None:
    issue: Issue = told.read("issue", Issue)
    comment: Comment = told.read("comment", Comment)
    if told.hook.action != "created" or issue.pull_request is None:
        return None  # edits never trigger: anybody with write permission may edit another's comment
    if told.is_ours(comment):
        return None
    if comment.user is None or comment.user.type == "Bot" or comment.performed_via_github_app is not None:
        return None  # no loops of bots
    if told.sender.id != comment.user.id:
        return None
    merged = issue.pull_request.merged_at is not None
    state = ChangeState.MERGED if merged else ChangeState.OPEN if issue.state == "open" else ChangeState.CLOSED
    change = unknown_change(told.repo, issue.number, title=issue.title, author=login(issue.user), state=state)
    return CommentCreated(
        delivery=told.delivery,
        change=change,
        comment=comment_of(comment, told.repo, issue.number, told.is_ours),
    )


def _pull(told: _Told) -> Event | None:
    action = told.hook.action
    pull: Pull = told.read("pull_request", Pull)
    change = change_of(pull, told.repo)
    if action == "labeled":
        label: Label = told.read("label", Label)
        return ChangeLabelled(delivery=told.delivery, change=change, label=label.name, actor=told.sender.login)
    is_rebased = action == "edited" and "base" in _mapping(told.hook.data.get("changes"))
    ours = "opened" if is_rebased else _PULL_ACTIONS.get(action)
    if ours is None:
        return None
    before = told.hook.data.get("before")
    return ChangeMoved(
        delivery=told.delivery,
        action="merged" if change.state is ChangeState.MERGED and ours == "closed" else ours,
        change=change,
        actor=told.sender.login,
        before_sha=before if isinstance(before, str) else None,
    )


def _push(told: _Told) -> Event | None:
    ref, after, before = (told.hook.data[name] for name in ("ref", "after", "before"))
    if not isinstance(ref, str) or not ref.startswith("refs/heads/") or after == NO_COMMIT:
        return None  # a tag, or a branch that is gone
    return BranchPushed(
        delivery=told.delivery,
        repo_id=told.repo,
        branch=ref.removeprefix("refs/heads/"),
        before_sha=None if before == NO_COMMIT else str(before),
        after_sha=str(after),
        actor=told.sender.login,
    )


def _check_run(told: _Told) -> Event | None:
    run: CheckRun = told.read("check_run", CheckRun)
    if run.app is None or run.app.id != told.app_id:
        return None
    pressed = _mapping(told.hook.data.get("requested_action")).get("identifier")
    action = "rerun" if told.hook.action == "rerequested" else pressed
    if told.hook.action not in ("rerequested", "requested_action") or action not in _BUTTONS:
        return None
    return CheckPressed(
        delivery=told.delivery,
        repo_id=told.repo,
        sha=run.head_sha,
        action=str(action),
        external_id=run.external_id or "",
        actor=told.sender.login,
        number=run.pull_requests[0].number if run.pull_requests else None,
    )


def _check_suite(told: _Told) -> Event | None:
    suite: CheckSuite = told.read("check_suite", CheckSuite)
    if told.hook.action != "rerequested" or suite.app is None or suite.app.id != told.app_id:
        return None
    return CheckPressed(
        delivery=told.delivery,
        repo_id=told.repo,
        sha=suite.head_sha,
        action="rerun",
        external_id="",
        actor=told.sender.login,
        number=suite.pull_requests[0].number if suite.pull_requests else None,
    )


class _Group(msgspec.Struct, frozen=True, kw_only=True):
    head_sha: str
    head_ref: str
    base_sha: str
    base_ref: str


def _merge_group(told: _Told) -> Event | None:
    if told.hook.action != "checks_requested":
        return None
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
    )


def _dispatch(told: _Told) -> Event | None:
    payload = _mapping(told.hook.data.get("client_payload"))
    return Dispatched(
        delivery=told.delivery,
        repo_id=told.repo,
        name=told.hook.action[:100],
        payload={str(name)[:100]: str(value)[:1000] for name, value in list(payload.items())[:50] if _is_flat(value)},
        actor=told.sender.login,
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
