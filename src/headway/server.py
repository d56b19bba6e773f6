"""The light process: one listening socket for pages, API and the MLflow wire, and one worker child."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

import msgspec
import uvicorn

from headway import __version__
from headway.api.mlflow.app import MlflowWire
from headway.api.mlflow.segment import OneSegmentProtocol
from headway.app import App, Ground, is_awaited, open_app, open_ground
from headway.auth.first_start import first_token
from headway.errors import Conflict, UsageError
from headway.forges.github.config import read_config
from headway.forges.github.door import check_door
from headway.forges.os_user import os_user
from headway.logs import configure, logger
from headway.settings import LOOPBACK, Settings
from headway.tracking.writer import Writer
from headway.web.guard import Receive, Scope, Send, allowed_hosts, refusal, refuse
from headway.worker_child import WorkerChild

_WIRE_PREFIXES = ("/api/2.0", "/api/3.0/", "/ajax-api/", "/gateway/")
_WIRE_PATHS = frozenset(
    {"/health", "/version", "/get-artifact", "/model-versions/get-artifact", "/graphql", "/v1/traces"}
)


class Site:
    """Pages, API and webhooks, imported when the first request for them comes, with what they work with."""

    def __init__(self, opened: Callable[[], App], writer: Writer | None, *, at_once: bool = False) -> None:
        """Remember how to open the rest of the app, or do it at once."""
        self._opened = opened
        self._writer = writer
        self._loading = threading.Lock()
        self._loaded: Any = None
        if at_once:
            self._load()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._loaded is None:
            await asyncio.get_running_loop().run_in_executor(None, self._load)
        await self._loaded(scope, receive, send)

    def _load(self) -> None:
        with self._loading:
            if self._loaded is None:
                from headway.web.site import open_site  # noqa: PLC0415  # two fifths of all imports of a start

                self._loaded = open_site(self._opened(), self._writer)


class Front:
    """The ASGI application: guards every request, then hands it to the wire or to pages and API."""

    def __init__(self, settings: Settings, wire: MlflowWire, site: Site, port: int) -> None:
        """Put pages and API beside the wire."""
        self._wire = wire
        self._site = site
        self._hosts = allowed_hosts(settings.host, port, settings.public_url)
        if settings.kubernetes.is_set_up:  # pods call it by another name
            self._hosts |= allowed_hosts(settings.host, port, settings.kubernetes.server_url)
        self.last_request_at = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        path = scope["path"]
        if path != "/health":
            self.last_request_at = time.monotonic()
        reason = refusal(scope, self._hosts)
        if reason:
            await refuse(send, reason)
        elif path.startswith((*_WIRE_PREFIXES, "//")) or path in _WIRE_PATHS:
            await self._wire(scope, receive, send)
        else:
            await self._site(scope, receive, send)


def serve(
    settings: Settings, worker: WorkerChild | None = None, *, on_listening: Callable[[str], None] = lambda _url: None
) -> bool:
    """Run the server until it is told to stop, or has been idle for `settings.idle_stop` seconds.

    Returns whether it was told (SIGUSR1) to begin anew with what its configuration has become.

    `on_listening` is told the address once the port is ours.
    A `worker` that was started before us is ready the sooner; it is ended with us.

    Raises:
        Conflict: another server runs on this data directory or writes to this database, or the port is taken.
        UsageError: the settings would open the server to everybody.
    """
    configure(process="server")
    if settings.auth == "none" and settings.host not in LOOPBACK:
        raise UsageError(
            f"auth none on {settings.host} would let everybody in",
            cause="without auth every caller is an administrator",
            hint="leave out --auth none, or listen on 127.0.0.1",
        )
    if settings.auth == "none":
        _check_public_url(settings)
        logger().warning("auth is off: whoever reaches this port is an administrator", host=settings.host)
    _make_private(settings.data)
    check_door(settings)
    with _only_server(settings.data):
        # What a killed server left behind would send people to a dead port.
        (settings.data / "server.json").unlink(missing_ok=True)
        listening = _listen(settings)
        port = int(listening.getsockname()[1])
        worker = worker or WorkerChild(settings)
        if not settings.database:
            worker.start()
        ground = open_ground(settings)
        writer = Writer(ground.database, on_replaced=_stop)
        writer.start()
        worker.start()  # on a database of its own server only: now we know that we are that
        first_token(ground.database, settings.data, clock=ground.clock, user=os_user())
        wire = MlflowWire(ground.database, writer, ground.artifacts, ground.authenticator)
        opened = partial(_opened, ground, worker)
        front = Front(settings, wire, Site(opened, writer, at_once=is_awaited(settings)), port)
        server = uvicorn.Server(_uvicorn_config(front))
        on_listening(_announce(settings, port))
        if settings.idle_stop:
            threading.Thread(target=_stop_when_idle, args=(ground, front, server), daemon=True).start()
        for number in (signal.SIGTERM, signal.SIGINT):
            # uvicorn raises the signal again once it has stopped: the default would kill us before the cleaning up.
            signal.signal(number, _ignore)
        again = threading.Event()
        signal.signal(signal.SIGUSR1, partial(_begin_anew, again, server))
        _spare_the_collector()
        try:
            server.run(sockets=[listening])
        finally:
            worker.stop()
            writer.stop()
            (settings.data / "server.json").unlink(missing_ok=True)
            ground.close()
    return again.is_set()


def _opened(ground: Ground, worker: WorkerChild) -> App:
    return replace(open_app(ground.settings, ground=ground), nudge=worker.nudge)


def _begin_anew(again: threading.Event, server: uvicorn.Server, _number: int, _frame: FrameType | None) -> None:
    again.set()
    server.should_exit = True


def _check_public_url(settings: Settings) -> None:
    """Refuse a server without logins that is told to be reached from elsewhere: a proxy makes everybody local."""
    host = urlsplit(settings.public_url).hostname or ""
    if host and host not in LOOPBACK:
        raise UsageError(
            f"auth none at {settings.public_url} would let everybody in",
            cause="without auth every caller is an administrator, and a proxy makes every caller a local one",
            hint="leave out --auth none, or HEADWAY_PUBLIC_URL",
        )


def _spare_the_collector() -> None:
    """Keep what the server is made of out of every collection, and collect less often.

    Collections that walked all modules were a third of the CPU of a batch of a thousand points.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    gc.enable()  # whoever started us may have put it off until everything was imported


def _make_private(data: Path) -> None:
    """Make the data directory, and take from others what an earlier `mkdir` let them see of it."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    if data.stat().st_mode & 0o077 == 0:
        return
    try:
        data.chmod(0o700)
    except PermissionError as error:
        raise UsageError(
            f"{data} can be read by others",
            cause="it holds every secret and every model, and it belongs to another user",
            hint=f"chmod 700 {data}, or choose another folder with HEADWAY_DATA",
        ) from error


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Take a signal that has done its work."""


def _uvicorn_config(front: Front) -> uvicorn.Config:
    return uvicorn.Config(
        front,
        loop="uvloop",  # it sets TCP_NODELAY on accepted sockets; asyncio's does not (tracking-store.md)
        http=OneSegmentProtocol,  # head and body of a small answer leave together
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=10,
    )


def read_announcement(data: Path) -> dict[str, Any] | None:
    """Return address and pid of the server of a data directory, as it last announced them."""
    try:
        return dict(msgspec.json.decode((data / "server.json").read_bytes()))
    except (OSError, msgspec.DecodeError):
        return None


def _announce(settings: Settings, port: int) -> str:
    body = {
        "host": settings.host,
        "port": port,
        "pid": os.getpid(),
        "version": __version__,
        "url": settings.public_url or f"http://{settings.host}:{port}",
    }
    temporary = settings.data / f"server.json.{os.getpid()}"
    temporary.write_bytes(msgspec.json.encode(body))
    temporary.chmod(0o600)
    temporary.replace(settings.data / "server.json")
    logger().info("listening", url=body["url"], data=str(settings.data))
    return str(body["url"])


@contextmanager
def _only_server(data: Path) -> Iterator[None]:
    with (data / "server.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            other = read_announcement(data) or {}
            raise Conflict(
                f"another server runs on {data}",
                cause=f"it listens on {other.get('url', 'an unknown address')} (process {other.get('pid', '?')})",
                hint="use that one, stop it with `headway server stop`, or choose another folder with HEADWAY_DATA",
            ) from None
        yield


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise Conflict(
            f"port {settings.port} on {settings.host} cannot be used",
            cause=error.strerror or str(error),
            hint="choose another with --port or HEADWAY_PORT; 0 takes a free one",
        ) from error
    listening.listen(1024)
    listening.set_inheritable(False)
    return listening


def _stop_when_idle(ground: Ground, front: Front, server: uvicorn.Server) -> None:
    seconds = ground.settings.idle_stop
    while not server.should_exit:
        time.sleep(min(seconds, 5))
        if time.monotonic() - front.last_request_at >= seconds and not _is_needed(ground):
            logger().info("idle: stopping", seconds=seconds)
            os.kill(os.getpid(), signal.SIGTERM)
            return


def _is_needed(ground: Ground) -> bool:
    from headway.flow.busy import is_busy  # noqa: PLC0415  # what it imports is not needed before

    # From GitHub a comment may come at any time, and nobody here would see it.
    return read_config(ground.settings.data / "github").is_set_up or is_busy(ground.database, ground.clock)
