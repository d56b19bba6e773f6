"""A command: a parsed, authorised request to do something; and the three outcomes of a parse."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from headway.ids import digest_of

LONGEST_HAPPENING = 64


class Verb(StrEnum):
    """The words of the comment language; the terminal uses the same."""

    PLAN = "plan"
    TRAIN = "train"
    TUNE = "tune"
    DEPLOY = "deploy"
    APPROVE = "approve"
    ROLLBACK = "rollback"
    STOP = "stop"
    RETRY = "retry"
    OVERRIDE = "override"
    WHY = "why"
    HELP = "help"


class Origin(StrEnum):
    """What caused a command."""

    COMMENT = "comment"
    PUSH = "push"
    SCHEDULE = "schedule"
    DRIFT = "drift"
    DATA = "data"
    CLI = "cli"
    WEB = "web"
    VERSION = "version"  # a newly registered model version
    TRACKER = "tracker"  # a run in the project's own tracker that is tagged with the commit
    BUTTON = "button"  # a button of a check, or a forge's own "run again"
    QUEUE = "queue"  # a merge queue's commit waits for its verdict
    LABEL = "label"
    DISPATCH = "dispatch"  # another system asked for it by name


class CommandState(StrEnum):
    """accepted -> executed; needs_approval -> accepted; any -> refused."""

    ACCEPTED = "accepted"
    NEEDS_APPROVAL = "needs_approval"
    REFUSED = "refused"
    EXECUTED = "executed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedCommand:
    """One command line of a comment, complete and typed; nothing is known of who wrote it."""

    verb: Verb
    arguments: tuple[str, ...] = ()  # positional: run, check, environment, request id
    params: dict[str, str] = field(default_factory=dict)  # key=value
    sha: str | None = None  # @<hex>, 7 to 64 digits
    project: str | None = None
    environment: str | None = None  # --to ENV
    dry_run: bool = False
    reason: str = ""  # /override CHECK reason...
    line: int = 1  # 1-based line in the comment


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The line asks for a command that cannot be; `text` is said at once, without a job."""

    text: str
    line: int = 1


@dataclass(frozen=True, slots=True)
class Ignore:
    """No command in it: prose, quotes, code."""


Parse = ParsedCommand | Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A request as recorded: who asked for what, on which commit, and what became of it."""

    id: str
    verb: Verb
    origin: Origin
    repo_id: str
    actor: str
    at: datetime
    project: str | None = None  # None = every project that the change touches
    change: int | None = None
    head_sha: str | None = None  # the commit that it is for, full
    branch: str = ""  # where that commit stands, when it is no change: "main", "snapshot"
    arguments: tuple[str, ...] = ()
    params: dict[str, str] = field(default_factory=dict)
    environment: str | None = None  # --to ENV
    reason: str = ""
    dry_run: bool = False
    comment_id: str | None = None  # the comment, or the `happening` that caused it: the same one acts once
    line: int = 1
    cause: str = ""  # what happened, in words, where it was no comment: a press, a label, a time
    state: CommandState = CommandState.ACCEPTED
    answer: str = ""  # what was said back: the refusal, the result, the job
    job_id: str | None = None


def happening(kind: str, *parts: object) -> str:
    """Return what stands for a comment's id where a command has another cause: the same cause, the same text."""
    text = ":".join((kind, *(str(part) for part in parts)))
    return text if len(text) <= LONGEST_HAPPENING else digest_of(text)
