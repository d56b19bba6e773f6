"""What of GitHub's JSON we read, as types: everything else in a payload or answer is ignored.

Sources: GitHub's OpenAPI description and webhook schemas; `tests/oracle/github` holds both.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec

from headway.errors import UsageError
from headway.forges.model import Change, ChangeState, PostedComment

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
Whole = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]  # what a database takes for a number
Instant = Annotated[datetime, msgspec.Meta(tz=True)]  # compared with our clock, which no time without a zone can be
GHOST = "ghost"  # GitHub's own name for an account that is gone


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A person, a bot or an organisation."""

    login: str
    id: int = 0
    type: str = "User"


class RepoRef(msgspec.Struct, frozen=True, kw_only=True):
    """A repository as events and answers name it."""

    id: int
    full_name: str
    default_branch: str = ""
    clone_url: str = ""


class Ref(msgspec.Struct, frozen=True, kw_only=True):
    """One side of a pull request; a fork that was deleted has no repository."""

    sha: str
    ref: str
    repo: RepoRef | None = None


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """A label on an issue or pull request."""

    name: str


class Pull(msgspec.Struct, frozen=True, kw_only=True):
    """A pull request; `merge_commit_sha` is gone from newer API versions."""

    number: Whole
    title: str
    state: str
    head: Ref
    base: Ref
    html_url: str = ""
    user: User | None = None
    merged_at: Instant | None = None
    merge_commit_sha: str | None = None
    created_at: Instant | None = None
    updated_at: Instant | None = None


class ViaApp(msgspec.Struct, frozen=True, kw_only=True):
    """The App by which something was done."""

    id: int


class Comment(msgspec.Struct, frozen=True, kw_only=True):
    """A comment on an issue or pull request."""

    id: int
    created_at: Instant
    updated_at: Instant
    body: str | None = ""
    user: User | None = None
    issue_url: str = ""
    html_url: str = ""
    performed_via_github_app: ViaApp | None = None


class PullMark(msgspec.Struct, frozen=True, kw_only=True):
    """What tells an issue that is a pull request from others."""

    merged_at: Instant | None = None


class Issue(msgspec.Struct, frozen=True, kw_only=True):
    """An issue as comment events carry it."""

    number: Whole
    title: str
    state: str
    user: User | None = None
    pull_request: PullMark | None = None


class IssueMark(msgspec.Struct, frozen=True, kw_only=True):
    """The issue or pull request that something happened to."""

    number: Whole


class IssueEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to an issue or pull request, as the list of a repository's events tells it."""

    id: int
    event: str
    created_at: Instant
    actor: User | None = None
    label: Label | None = None
    issue: IssueMark | None = None


class CheckSuite(msgspec.Struct, frozen=True, kw_only=True):
    """All checks of one App at one commit."""

    head_sha: str
    app: ViaApp | None = None
    pull_requests: tuple[Number, ...] = ()


class Number(msgspec.Struct, frozen=True, kw_only=True):
    """A reference to a pull request by number."""

    number: Whole


class CheckRun(msgspec.Struct, frozen=True, kw_only=True):
    """One check at one commit."""

    id: int
    head_sha: str
    name: str = ""
    external_id: str | None = ""
    status: str = ""
    conclusion: str | None = None
    app: ViaApp | None = None
    pull_requests: tuple[Number, ...] = ()


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment as GitHub records it."""

    id: int
    sha: str
    environment: str
    payload: Any = None
    url: str = ""


class DeploymentState(msgspec.Struct, frozen=True, kw_only=True):
    """One status of a deployment."""

    state: str
    description: str = ""
    environment_url: str = ""


def to_type(data: object, kind: type[T], what: str) -> T:
    """Return decoded JSON as one of the types above.

    Raises:
        UsageError: it has another shape; the message names the place.
    """
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise UsageError(f"GitHub's {what} has another shape than expected", cause=str(error)) from None


def to_list(data: object, kind: type[T], what: str, *, under: str = "") -> list[T]:
    """Return a list of one of the types above, taken from the field `under` where a page is wrapped."""
    if under:
        data = data.get(under, []) if isinstance(data, dict) else []
    return to_type(data, list[kind], what)  # type: ignore[valid-type]  # a list of a type that is a parameter


def repo_id(number: int) -> str:
    """Return our name for a repository: GitHub's number survives every renaming."""
    return f"github-{number}"


def number_of(repo: str) -> int:
    """Return GitHub's number of a repository that is ours by name.

    Raises:
        UsageError: it is not one of GitHub's.
    """
    digits = repo.removeprefix("github-")
    if digits == repo or not digits.isdigit():
        raise UsageError(f"{repo!r} is not a repository at GitHub")
    return int(digits)


def login(user: User | None) -> str:
    """Return an account's name; GitHub's ghost for one that is gone."""
    return user.login if user else GHOST


def change_of(pull: Pull, repo: str, *, base_tip: str = "") -> Change:
    """Return a pull request as a change; `base_tip` is where the base branch stands now."""
    state = ChangeState.OPEN if pull.state == "open" else ChangeState.CLOSED
    if pull.merged_at is not None:
        state = ChangeState.MERGED
    return Change(
        repo_id=repo,
        number=pull.number,
        title=pull.title,
        author=login(pull.user),
        state=state,
        head_ref=pull.head.ref,
        head_sha=pull.head.sha,
        base_ref=pull.base.ref,
        base_sha=base_tip or pull.base.sha,
        # A fork whose repository is gone is a fork; owners say nothing (one may fork one's own repository).
        from_fork=pull.head.repo is None or pull.base.repo is None or pull.head.repo.id != pull.base.repo.id,
        url=pull.html_url,
        merged_sha=pull.merge_commit_sha if state is ChangeState.MERGED else None,
        opened_at=pull.created_at,
    )


def unknown_change(
    repo: str, number: int, *, title: str = "", author: str = "", state: ChangeState = ChangeState.OPEN
) -> Change:
    """Return a change of which a comment tells little: no commit ("") and, until the forge is asked, a fork's."""
    return Change(
        repo_id=repo,
        number=number,
        title=title,
        author=author,
        state=state,
        head_ref="",
        head_sha="",
        base_ref="",
        base_sha="",
        from_fork=True,
    )


def comment_of(comment: Comment, repo: str, number: int, is_ours: Callable[[Comment], bool]) -> PostedComment:
    """Return a comment as it was posted."""
    return PostedComment(
        id=str(comment.id),
        repo_id=repo,
        number=number,
        author=login(comment.user),
        body=(comment.body or "").replace("\0", ""),  # no database takes it
        is_ours=is_ours(comment),
        created_at=comment.created_at,
        edited_at=comment.updated_at if comment.updated_at > comment.created_at else None,
    )
