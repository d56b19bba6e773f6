"""The webhook door: prove, keep, answer 202; everything else is the worker's, from the inbox.

What can be refused is refused before the body is read: who sends floods costs us a few header lines each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headway.api.answers import failure, read_body
from headway.app import App
from headway.commands.inbox import InboxStore
from headway.errors import HeadwayError, NotFound, Refused, TooLarge, Unreachable, UsageError
from headway.forges.github.installed import note_installation
from headway.forges.github.payloads import repo_id
from headway.forges.github.reading import Ignored
from headway.forges.github.webhook import (
    NAME,
    Hook,
    installation_of,
    open_delivery,
    read_marks,
    repository_of,
)
from headway.forges.repo_store import RepoStore
from headway.logs import logger

if TYPE_CHECKING:
    from datetime import datetime

    from headway.forges.github.forge import GitHubForge
    from headway.forges.model import Event
    from headway.tracking.writer import Writer

PATH = "/webhooks/github"
BODY_CAP = 5 * 1024 * 1024  # GitHub's own is 25 MB; nothing that we read comes near it
UNPROVEN_CAP = 64 * 1024 * 1024  # of bodies whose signature is not proved yet, all together
BODY_SECONDS = 10.0  # GitHub gives up by itself after as long
_LONGEST_LENGTH = 20  # digits: what is longer has zeros before it, which nobody means
_ABOUT_INSTALLATIONS = frozenset({"installation", "installation_repositories"})
_ONCE = ("content-type", "content-length", "x-github-event", "x-github-delivery", "x-hub-signature-256")


class NotJson(UsageError):
    """The body is of a kind that this door does not take."""

    status = 415


def webhook_routes(app: App, writer: Writer | None = None) -> list[Route]:
    """Return the door's one route, where a webhook secret is set; without one nothing listens.

    With the process's `writer` a delivery is durable together with whatever else waits for the disk: the two would
    keep each other out of the database otherwise.
    """
    forge = app.github
    if forge is None or not forge.listens:
        return []
    room = Room(UNPROVEN_CAP)

    async def deliver(request: Request) -> Response:
        try:
            size = _check_head(request)
            with room.hold(size):
                body = await _read(request, size)
                read = await run_in_threadpool(_take, app, forge, dict(request.headers), body)
            said = await _keep(app, writer, read) if isinstance(read, _Read) else read
            return Response(msgspec.json.encode(said), status_code=202, media_type="application/json")
        except HeadwayError as error:
            return failure(error)
        except Exception:  # noqa: BLE001  # no traceback ever leaves the server
            logger().exception("delivery failed")
            return failure(HeadwayError("internal error", hint="the server's log has it"))

    return [Route(PATH, deliver, methods=["POST"])]


class Room:
    """So many bytes that nobody has proved may be held at once; used by one thread."""

    def __init__(self, most: int) -> None:
        """Begin empty."""
        self._left = most

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Keep room for a body while the block runs.

        Raises:
            Unreachable: there is none now; GitHub lists the delivery as failed, and it is fetched later.
        """
        if size > self._left:
            raise Unreachable("too many deliveries at once", hint="what is missed now is fetched later")
        self._left -= size
        try:
            yield
        finally:
            self._left += size


def _check_head(request: Request) -> int:
    """Return how large the body will be, when the headers alone give no reason to refuse it."""
    headers = request.headers
    doubled = next((name for name in _ONCE if len(headers.getlist(name)) > 1), "")
    if doubled:
        raise UsageError(f"{doubled} came more than once")
    kind = headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != "application/json" or "content-encoding" in headers:
        raise NotJson(
            f"Content-Type {kind[:80]!r} is not taken", hint="set the webhook's content type to application/json"
        )
    if read_marks(headers) is None:
        raise UsageError(
            "this is no delivery of GitHub's", cause="X-GitHub-Event or X-GitHub-Delivery is missing", hint=PATH
        )
    length = headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()):
        raise UsageError("the delivery does not say how long it is", hint="let the proxy send Content-Length on")
    if len(length) > _LONGEST_LENGTH or int(length) > BODY_CAP:
        raise TooLarge(f"the delivery is over {BODY_CAP} bytes")
    return int(length)


async def _read(request: Request, size: int) -> bytes:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await read_body(request, size)
    except TimeoutError:
        raise UsageError(f"the delivery did not come whole within {BODY_SECONDS:.0f} seconds") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """A delivery that is to be kept."""

    event: Event
    at: datetime


async def _keep(app: App, writer: Writer | None, read: _Read) -> dict[str, Any]:
    if writer is not None:
        kept = await writer.run(lambda store: InboxStore(store.link.tx).add(read.event, forge=NAME, at=read.at))
    else:
        kept = await run_in_threadpool(_write, app, read)
    return {"state": "accepted" if kept is not None else "duplicate", "delivery": read.event.delivery}


def _write(app: App, read: _Read) -> int | None:
    with app.database.write() as tx:
        return InboxStore(tx).add(read.event, forge=NAME, at=read.at)


def _take(app: App, forge: GitHubForge, headers: dict[str, str], body: bytes) -> dict[str, Any] | _Read:
    hook = open_delivery(headers, body, forge.config.webhook_secrets)
    if hook is None:
        raise UsageError("this is no delivery of GitHub's", hint=PATH)
    if hook.event == "ping":
        return {"state": "pong"}
    if hook.event in _ABOUT_INSTALLATIONS:
        note_installation(app.database, forge.tokens, hook)
        return {"state": "noted"}
    _check_origin(app, forge, hook)
    now = app.clock.now()
    event = forge.reader.read(hook, now)
    if isinstance(event, Ignored):
        return {"state": "ignored", "why": event.why, "delivery": hook.delivery}
    return _Read(event=event, at=now)


def _check_origin(app: App, forge: GitHubForge, hook: Hook) -> None:
    """Return when a delivery is of a repository that this server was told of, through that one's own installation.

    Both by number: names move. Nothing is asked of GitHub here.
    """
    repo = repository_of(hook)
    if repo is None:
        raise UsageError(f"a delivery of {hook.event!r} is about no repository")
    own = repo_id(repo.id)
    with app.database.quick_read() as tx:
        store = RepoStore(tx)
        is_known, installed = store.is_heard(own), store.installation(own)
    if not is_known:
        raise NotFound(f"{repo.full_name} is not known here", hint=f"headway repo add {repo.full_name}")
    number = installation_of(hook)
    if forge.config.app is not None and number is not None and number != installed:
        raise Refused(
            f"installation {number} is not the one of {repo.full_name}",
            cause=f"known is {installed}" if installed else "none is known of it",
            hint=f"headway repo add {repo.full_name} asks GitHub",
        )
