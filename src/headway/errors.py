"""Every error that a person may see: what happened, why, and what to do.

HeadwayError
├── UsageError            400  exit 2   the request makes no sense
│   └── ConfigError       400  exit 2   headway.yaml, with positions
├── GateFailed            409  exit 3   the run is fine, the verdict is not
├── LoginNeeded           401  exit 4
├── Refused               403  exit 1   understood and not allowed
├── NotFound              404  exit 5
├── Conflict              409  exit 1   somebody else moved first
├── TooLarge              413  exit 1
├── NotThereYet           501  exit 1   a verb whose machinery comes later
├── Unreachable           503  exit 6   a server or a neighbour does not answer
│   └── Throttled         503  exit 6   a neighbour asks us to wait until a time
└── StorageFull           507  exit 1
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class HeadwayError(Exception):
    """Something failed; `cause` says why and `hint` what can be pasted to mend it."""

    code = "ERROR"
    status = 500
    exit_code = 1
    retryable = False

    def __init__(self, message: str, *, cause: str = "", hint: str = "", reason: str = "") -> None:
        """Keep the three lines that the terminal, the API and the report all show.

        `reason` is one of the codes of commands/refusals.py, where the class alone says too little.
        """
        super().__init__(message)
        self.message = message
        self.cause = cause
        self.hint = hint
        self.reason = reason


class UsageError(HeadwayError):
    """The request makes no sense as it stands."""

    code = "USAGE"
    status = 400
    exit_code = 2


class ConfigError(UsageError):
    """headway.yaml is wrong; the message has file, line and column."""

    code = "CONFIG"


class GateFailed(HeadwayError):
    """The run is fine, the verdict is not."""

    code = "GATE_FAILED"
    status = 409
    exit_code = 3


class LoginNeeded(HeadwayError):
    """No valid token came with the request."""

    code = "LOGIN_NEEDED"
    status = 401
    exit_code = 4


class Refused(HeadwayError):
    """Understood, and not allowed to this actor or in this state."""

    code = "REFUSED"
    status = 403


class NotFound(HeadwayError):
    """No such thing, or none that this actor may see."""

    code = "NOT_FOUND"
    status = 404
    exit_code = 5


class Conflict(HeadwayError):
    """The thing has moved since it was read, or exists already."""

    code = "CONFLICT"
    status = 409


class TooLarge(HeadwayError):
    """More bytes, rows or characters than the limit named in the message."""

    code = "TOO_LARGE"
    status = 413


class NotThereYet(HeadwayError):
    """The verb is known and its machinery is not built; the message says what is missing."""

    code = "NOT_THERE_YET"
    status = 501


class Unreachable(HeadwayError):
    """A server or a neighbour does not answer."""

    code = "UNREACHABLE"
    status = 503
    exit_code = 6
    retryable = True


class Throttled(Unreachable):
    """A neighbour asks us to come back later; asking again before `until` makes it worse."""

    code = "THROTTLED"

    def __init__(self, message: str, *, until: datetime, cause: str = "", hint: str = "") -> None:
        """Keep when it may be asked again."""
        super().__init__(message, cause=cause, hint=hint)
        self.until = until


class StorageFull(HeadwayError):
    """The disk took no more bytes; nothing was acknowledged."""

    code = "STORAGE_FULL"
    status = 507
    retryable = True
