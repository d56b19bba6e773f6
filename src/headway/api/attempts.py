"""The door of attempts on other machines: their source down, and up how they start, what they say, make and end with.

Only the attempt's own token opens it, only for its own attempt, and not after its end. What comes is foreign: the
archive is taken apart by a strict reader, everything has a cap, and nothing is acknowledged before it is durable.
"""

from __future__ import annotations

import hmac
import re
from pathlib import Path
from typing import Any, BinaryIO

from starlette.responses import FileResponse, Response
from starlette.routing import Route

from headway.api.answers import Call, failure_body, json_response, route
from headway.api.uploads import upload_route
from headway.app import App
from headway.auth.model import Principal, Role, TokenKind
from headway.engines.base import AttemptSpec
from headway.engines.delivered import MOST_LOG, SOURCE, Delivered, ExitRecord, LogMoved, StartRecord
from headway.errors import NotFound, UsageError
from headway.flow.prepare import read_spec
from headway.sandbox.inside.archive import Limits

_SMALL = 64 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")
_OFFSET = re.compile(r"[0-9]{1,15}")


def attempt_routes(app: App) -> list[Route]:
    """Return the routes that pods of attempts call."""
    kind = TokenKind.ATTEMPT
    return [
        route(app, "GET", "/attempts/{attempt}/source", Role.NONE, source, kind=kind),
        route(app, "PUT", "/attempts/{attempt}/started", Role.NONE, started, cap=_SMALL, kind=kind),
        route(app, "PUT", "/attempts/{attempt}/log", Role.NONE, log, cap=MOST_LOG, kind=kind),
        upload_route(app, "PUT", "/attempts/{attempt}/out", Role.NONE, out, kind=kind),
        route(app, "PUT", "/attempts/{attempt}/exit", Role.NONE, ended, cap=_SMALL, kind=kind),
    ]


def source(call: Call) -> Response:
    """Send the archive of what the attempt works on: the commit and the outputs that it needs."""
    path = _delivered(call).folder / SOURCE
    if not path.is_file():
        raise NotFound("the source of this attempt is not here", hint="it is there until the attempt has ended")
    return FileResponse(path, media_type="application/x-tar")


def started(call: Call) -> Any:
    """Let the pod begin, `uid` being the first; another one is refused, so that no code runs twice."""
    delivered = _delivered(call)
    delivered.begin(call.body(StartRecord))
    return _now(delivered)


def log(call: Call) -> Any:
    """Add a piece to the log at `offset`, which must be its end; the answer says the new end, and whether to stop."""
    delivered = _delivered(call)
    offset = call.query.get("offset", "0")
    if not _OFFSET.fullmatch(offset):
        raise UsageError(f"offset={offset[:40]!r} is not a whole number")
    try:
        limit = _spec(delivered).log_limit_mb
        delivered.append(call.data, int(offset), limit_mb=limit, uid=_uid(call))
    except LogMoved as error:
        return json_response({**failure_body(error), **_now(delivered)}, error.status)
    return _now(delivered)


def out(call: Call, stream: BinaryIO) -> Any:
    """Take the archive of the outputs: plain files and folders; they appear at once, or not at all."""
    delivered = _delivered(call)
    digest = call.query.get("sha256", "")
    if digest and not _SHA256.fullmatch(digest):
        raise UsageError(f"sha256={digest[:80]!r} is no digest", hint="64 hexadecimal digits")
    disk = _spec(delivered).resources.disk_mb or call.app.settings.attempt_disk_mb
    delivered.keep_outputs(stream, limits=Limits(bytes=disk << 20), digest=digest, uid=_uid(call))
    return _now(delivered)


def ended(call: Call) -> Any:
    """Write down how the attempt ended, durably: the last thing that it says."""
    delivered = _delivered(call)
    delivered.finish(call.body(ExitRecord), uid=_uid(call))
    call.app.nudge()
    return _now(delivered)


def _now(delivered: Delivered) -> dict[str, Any]:
    return {"size": delivered.log_size, "stop": delivered.is_stopped}


def _uid(call: Call) -> str:
    return str(call.query.get("pod", ""))[:200]


def _spec(delivered: Delivered) -> AttemptSpec:
    return read_spec(str(delivered.folder))


def _delivered(call: Call) -> Delivered:
    return Delivered(own_folder(call.app, call.principal, str(call.path["attempt"])))


def own_folder(app: App, principal: Principal, attempt: str) -> Path:
    """Return the folder of the attempt whose token this is.

    Raises:
        NotFound: the token is of another attempt, or its folder is gone: nobody learns which there are.
    """
    own = principal.attempt
    folder = app.data / "attempts" / own
    if not own or not hmac.compare_digest(own.encode(), attempt.encode()) or not (folder / "attempt.json").is_file():
        raise NotFound(f"there is no attempt {attempt[:40]!r} for this token", hint="an attempt sees its own alone")
    return folder
