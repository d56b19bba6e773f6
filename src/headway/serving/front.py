"""The endpoint's own process: `python -m headway.serving.front FOLDER`.

It is detached from the server and outlives it. The folder is the whole interface:
    wanted.json     the Deployment that shall serve (atomic rename); gone = drain and end
    launch.json     how scorers are started and what the endpoint takes
    in_force.json   the routes in force, taken up again after a restart
    observed.json   what is seen, twice a second
    port            the port, chosen once and kept
    draining        there = answers close their connections, because the process will end
    lock            held for the life of the process: there is at most one
    endpoint.log    what the scorers say; two files of bounded size
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import uvicorn
import uvloop

from headway.serving.durable import read_record, write_file
from headway.serving.endpoint import Endpoint
from headway.serving.model import Deployment, Observed
from headway.serving.prediction_log import PredictionLog
from headway.serving.rest import Limits, Rest
from headway.serving.scorer_process import Launch

_POLL = 0.05
_REPORT = 0.5
_LOG_BYTES = 4 << 20
_PRUNE_EVERY = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What launch.json says."""

    launch: Launch = field(default_factory=Launch)
    limits: Limits = field(default_factory=Limits)
    host: str = "127.0.0.1"
    keep_predictions_days: int = 30
    echo: bool = False  # the log on standard output too, where a cluster looks for it


class Log:
    """endpoint.log, moved aside to endpoint.log.1 when it is full."""

    def __init__(self, path: Path, *, echo: bool = False) -> None:
        """Append to `path`, and to standard output."""
        self.path = path
        self._echo = echo
        self._stream = path.open("ab", buffering=0)
        self._size = path.stat().st_size

    def __call__(self, line: str) -> None:
        """Write one line with its time."""
        data = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {line}\n".encode()
        if self._size > _LOG_BYTES:
            self._stream.close()
            self.path.replace(self.path.with_suffix(".log.1"))
            self._stream = self.path.open("ab", buffering=0)
            self._size = 0
        self._size += len(data)
        if self._echo:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        with contextlib.suppress(OSError):  # a full disk must not stop the answers
            self._stream.write(data)


class Front:
    """The process: files in, files out, HTTP between."""

    def __init__(self, folder: Path) -> None:
        """Read the options; nothing runs yet."""
        self.folder = folder
        self.options = read_record(folder / "launch.json", Options) or Options()
        self.log = Log(folder / "endpoint.log", echo=self.options.echo)
        self.endpoint = Endpoint(self.options.launch, self.log)
        self.predictions = PredictionLog(folder / "predictions")
        self.url = ""
        self._seen: tuple[int, int] = (0, 0)
        self._saved: Deployment | None = None
        self._states: dict[int, str] = {}
        self._reported = b""

    async def run(self) -> None:
        """Serve until wanted.json is gone or the process is told to end."""
        wanted = read_record(self.folder / "wanted.json", Deployment)
        if wanted is None:
            return
        listener = self._listen(wanted.port)
        self._saved = read_record(self.folder / "in_force.json", Deployment)
        if self._saved is not None:
            self.endpoint.restore(self._saved)
        self._look()
        app = Rest(wanted.name, self.endpoint, self.predictions, self.options.limits)
        config = uvicorn.Config(
            app,
            loop="none",
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,
            backlog=2048,
        )
        server = uvicorn.Server(config)
        self.log(f"listening on {self.url}, process {os.getpid()}")
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await self._watch(serving, app)
        server.should_exit = True
        await serving
        await self.endpoint.close()
        self.predictions.flush(datetime.now(UTC))
        self.log("ended")

    def _listen(self, wanted: int) -> socket.socket:
        file = self.folder / "port"
        port = wanted or (int(file.read_text()) if file.exists() else 0)
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.options.host, port))
        except OSError as error:
            self.log(f"port {port} cannot be taken: {error.strerror}")
            report = Observed(ready=False, url="", revision=0, message=f"port {port} is taken by another program")
            write_file(self.folder / "observed.json", msgspec.json.encode(report))
            raise SystemExit(4) from error
        listener.setblocking(False)  # noqa: FBT003  # the socket's own signature
        number = listener.getsockname()[1]
        write_file(file, str(number).encode())
        self.url = f"http://{self.options.host}:{number}"
        return listener

    async def _watch(self, serving: asyncio.Task[None], app: Rest) -> None:
        loop = asyncio.get_running_loop()
        report_at = prune_at = loop.time()
        while not serving.done() and self._look():
            if loop.time() >= report_at:
                report_at = loop.time() + _REPORT
                self._report()
                await asyncio.to_thread(self.predictions.flush, datetime.now(UTC))
            if loop.time() >= prune_at:
                prune_at = loop.time() + _PRUNE_EVERY
                keep = timedelta(days=self.options.keep_predictions_days)
                await asyncio.to_thread(self.predictions.prune, datetime.now(UTC) - keep)
            app.is_closing = (self.folder / "draining").exists()
            await asyncio.sleep(_POLL)

    def _look(self) -> bool:
        """Take up a new wanted state; False when there is none any more."""
        path = self.folder / "wanted.json"
        try:
            status = path.stat()
        except FileNotFoundError:
            return False
        mark = (status.st_mtime_ns, status.st_ino)
        if mark != self._seen:
            self._seen = mark
            wanted = read_record(path, Deployment)
            if wanted is not None:
                self.endpoint.apply(wanted)
                self._report()
        states = self.endpoint.states()
        if states != self._states:
            self._states = states
            self._report()
        if self.endpoint.in_force is not self._saved:
            self._saved = self.endpoint.in_force
            write_file(self.folder / "in_force.json", msgspec.json.encode(self._saved))
            self._report()
        return True

    def _report(self) -> None:
        in_force = self.endpoint.in_force
        observed = Observed(
            ready=self.endpoint.is_ready,
            url=self.url,
            revision=in_force.revision if in_force is not None else 0,
            versions=self.endpoint.states(),
            counters=self.endpoint.counters.snapshot(),
            message=f"process {os.getpid()}",
        )
        data = msgspec.json.encode(observed)
        if data != self._reported:
            self._reported = data
            with contextlib.suppress(OSError):
                write_file(self.folder / "observed.json", data)


def _lock(path: Path) -> bool:
    """Hold the lock from now on; a try lasts a while because a look at it takes it for an instant."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    for _ in range(40):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False


def main(arguments: list[str]) -> int:
    """Take the folder's lock and serve; 0 when another process already does."""
    folder = Path(arguments[0])
    if not _lock(folder / "lock"):
        return 0
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal that started the server may close
    uvloop.run(Front(folder).run())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
