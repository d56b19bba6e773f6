"""What every forge has: repositories, changes, comments, statuses; and what we want to say there."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum


class Permission(IntEnum):
    """A person's standing in a repository, weakest first; compare with `>=`."""

    NONE = 0
    READ = 1
    TRIAGE = 2
    WRITE = 3
    MAINTAIN = 4
    ADMIN = 5


class ChangeState(StrEnum):
    """Whether a change can still be worked on."""

    OPEN = "open"
    MERGED = "merged"
    CLOSED = "closed"


class StatusState(StrEnum):
    """What a required status says of one commit."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repo:
    """A repository that Headway has been told of; `id` never changes, `name` may."""

    forge: str
    id: str
    name: str
    location: str  # a path (local) or a clone address
    default_branch: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A pull request at one head commit."""

    repo_id: str
    number: int
    title: str
    author: str
    state: ChangeState
    head_ref: str
    head_sha: str
    base_ref: str
    base_sha: str  # tip of the base branch when read
    from_fork: bool
    url: str = ""
    merged_sha: str | None = None
    opened_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedComment:
    """A comment that stands on a change, ours or a person's."""

    id: str
    repo_id: str
    number: int
    author: str
    body: str
    is_ours: bool
    created_at: datetime
    edited_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentRules:
    """What a forge's own settings ask of a deployment to an environment: nobody but us holds ours to it.

    GitHub's protection rules stop jobs of its workflows and no deployment that is made through its API.
    """

    name: str
    reviewers: tuple[str, ...] = ()  # people; any one of them and of the teams suffices
    teams: tuple[str, ...] = ()  # ORGANISATION/TEAM
    prevents_self_review: bool = False
    wait_minutes: int = 0  # between asking and deploying
    protected_branches_only: bool = False
    branches: tuple[str, ...] | None = None  # patterns of those that may be deployed; None = all


# --- events: what a forge tells us -------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentCreated:
    """Somebody wrote a comment on a change; edits never become events.

    `change.head_sha` is "" where the forge does not say at which commit it was made.
    """

    delivery: str  # unique per happening, for de-duplication
    change: Change
    comment: PostedComment


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeMoved:
    """A change was opened, pushed to, merged, closed or reopened."""

    delivery: str
    action: str  # opened | pushed | merged | closed | reopened
    change: Change
    actor: str
    before_sha: str | None = None
    identity: str = ""  # of the happening itself, whoever delivers it


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchPushed:
    """A branch of the repository itself moved."""

    delivery: str
    repo_id: str
    branch: str
    before_sha: str | None
    after_sha: str
    actor: str
    identity: str = ""  # of the happening itself, whoever delivers it


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeLabelled:
    """A label was put on an open change.

    `at` is when, where the forge does not say at which commit: `change` is then as it stood when it was found.
    """

    delivery: str
    change: Change
    label: str
    actor: str
    at: datetime | None = None
    identity: str = ""  # of the happening itself, whoever delivers it


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPressed:
    """A person pressed a button of one of our checks, or asked the forge to run it again."""

    delivery: str
    repo_id: str
    sha: str
    action: str  # rerun | deploy | approve: what `StatusButton.action` said
    external_id: str  # of the WantedStatus whose check it is; "" = all of ours at this commit
    actor: str
    number: int | None = None  # the change, where the forge knows it (it does not for forks)
    identity: str = ""  # of the happening itself, whoever delivers it


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueEntered:
    """A merge queue made a commit that waits for our statuses before it becomes the branch."""

    delivery: str
    repo_id: str
    sha: str
    base_sha: str
    base_branch: str
    numbers: tuple[int, ...] = ()  # the changes in it, where the forge says so
    actor: str = ""
    identity: str = ""  # of the happening itself, whoever delivers it


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatched:
    """Another system asked for something by name: GitHub's `repository_dispatch`."""

    delivery: str
    repo_id: str
    name: str  # event_type
    payload: dict[str, str]
    actor: str
    identity: str = ""  # of the happening itself, whoever delivers it


Event = CommentCreated | ChangeMoved | BranchPushed | ChangeLabelled | CheckPressed | QueueEntered | Dispatched


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """Events in order of happening, and the cursor that continues after them."""

    events: tuple[Event, ...]
    cursor: str


# --- wanted: what we want to stand at the forge ---------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedComment:
    """One living comment, found again by its hidden marker (and by being ours).

    `marker` is an HTML comment that starts the body. With `fresh` a new comment is made once per
    marker: for a rollback or a needed approval, where a person must be told.
    """

    repo_id: str
    number: int
    marker: str
    body: str
    fresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedStatus:
    """The required status of one project at one commit."""

    repo_id: str
    sha: str
    context: str  # "headway/<project>"
    state: StatusState
    title: str
    summary: str = ""
    url: str = ""
    external_id: str = ""
    is_started: bool = False  # pending only: being worked on, not waiting any more
    is_neutral: bool = False  # success only: nothing had to be judged (policy says that this may pass)
    text: str = ""  # the details under the summary, Markdown
    started_at: datetime | None = None
    finished_at: datetime | None = None
    buttons: tuple[StatusButton, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusButton:
    """A button that a forge with check runs shows under a finished status; others show none."""

    label: str  # at most 20 characters
    description: str  # at most 40
    action: str  # rerun | deploy | approve; comes back in `CheckPressed`


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedReaction:
    """A small sign on a comment: eyes (accepted), confused (refused), rocket (done)."""

    repo_id: str
    number: int
    comment_id: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedDeployment:
    """The record of a deployment at the forge."""

    repo_id: str
    sha: str
    environment: str
    state: str  # queued | in_progress | success | failure | inactive
    description: str
    url: str = ""  # where the environment answers
    log_url: str = ""  # where its story is told
    payload: dict[str, str] = field(default_factory=dict)  # `release` tells two records of one commit apart


Wanted = WantedComment | WantedStatus | WantedReaction | WantedDeployment


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the forge made or changed for us."""

    remote_id: str
    url: str = ""
