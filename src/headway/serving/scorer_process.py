"""One scorer as the endpoint sees it: started in the model's environment, asked over a socket, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import tempfile
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headway.sandbox.command import WRITABLE, Box, Facts
from headway.sandbox.sealed import Sealed, sealed
from headway.serving.inside import frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.serving.model import Route

_SCRIPT = Path(__file__).parent / "inside" / "scorer.py"
_KEPT_LINES = 40
_GRACE = 2.0  # seconds between the end of the socket and the end of the process


class ScorerGone(Exception):
    """The process ended, or never came up; the text says what is known."""


class ScorerSlow(Exception):
    """No answer within the time limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How scorers are started; without `sandbox` in a clean environment and a process group of their own."""

    sandbox: Facts | None = None  # what the isolation self-test proved; see headway.sandbox.isolation
    private: tuple[str, ...] = ()  # folders that no scorer may see: the data directory
    network: bool = True  # a model may ask a feature store
    load_timeout: float = 180.0
    request_timeout: float = 60.0
    threads: int = 1
    memory_mb: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What a scorer says once the model is loaded."""

    loader: str
    outputs: list[dict[str, Any]] = field(default_factory=list)
    warning: str = ""
    width: int | None = None
    probabilities: bool = False
    batches: bool = False
    seconds: float = 0.0
    memory_mb: float = 0.0
    python: str = ""


class ScorerProcess(asyncio.Protocol):
    """A running scorer. Use: `await start(order)`, `await ask(head, blob)`, `await stop()`."""

    def __init__(self, route: Route, launch: Launch, log: Callable[[str], None]) -> None:
        """Prepare; nothing runs yet."""
        self.route = route
        self.launch = launch
        self.log = log
        self.lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self.waiting: dict[int, asyncio.Future[frames.Frame]] = {}
        self.gone = asyncio.Event()
        self.reason = ""
        self._number = 0
        self._buffer = bytearray()
        self._out: list[bytes] = []
        self._transport: asyncio.WriteTransport | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._scratch = tempfile.TemporaryDirectory(prefix="headway-scorer-", ignore_cleanup_errors=True)

    @property
    def pid(self) -> int:
        """The process id; 0 before the start."""
        return self._process.pid if self._process else 0

    async def start(self, order: bytes) -> Hello:
        """Spawn the process, have it load the model, and return what it says.

        Raises:
            ScorerGone: it did not load, with the reason.
        """
        python = Path(self.route.env_path) / "bin" / "python"
        if not python.exists():
            raise ScorerGone("the training environment is not there any more: build it again with a new run")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            await self._spawn(python, theirs)
            await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=ours)
        except OSError as error:
            ours.close()
            raise ScorerGone(f"the scorer cannot be started: {error.strerror or error}") from error
        finally:
            theirs.close()
        return await self._load(order)

    async def _spawn(self, python: Path, theirs: socket.socket) -> None:
        argv = [str(python), "-I", str(_SCRIPT), str(theirs.fileno())]
        for name in WRITABLE:
            (Path(self._scratch.name) / name).mkdir()
        with self._sealed(argv) as sealed_process:
            self._process = await asyncio.create_subprocess_exec(
                *sealed_process.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                pass_fds=(theirs.fileno(), *sealed_process.descriptors),
                start_new_session=True,
                cwd=self._scratch.name,
                env=sealed_process.environment,
            )
        self._reader = asyncio.create_task(self._read_log())

    def _sealed(self, argv: list[str]) -> contextlib.AbstractContextManager[Sealed]:
        facts = self.launch.sandbox
        if facts is None:
            return contextlib.nullcontext(Sealed(argv=argv, environment=self._environment(), descriptors=()))
        box = Box(
            directory=self._scratch.name,
            cwd=f"{self._scratch.name}/work",
            env_path=self.route.env_path,
            readable=(self.route.source, str(_SCRIPT.parent)),
            private=self.launch.private,
            network=self.launch.network,
        )
        return sealed(box, facts, argv, self._environment())

    def _environment(self) -> dict[str, str]:
        threads = str(self.launch.threads)
        return {
            "PATH": f"{self.route.env_path}/bin:/usr/local/bin:/usr/bin:/bin",
            "HOME": f"{self._scratch.name}/home",
            "TMPDIR": f"{self._scratch.name}/work",
            "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "MLFLOW_TRACKING_URI": f"file:{self._scratch.name}/work/mlruns",
            **self.route.variables,
        }

    async def _load(self, order: bytes) -> Hello:
        future: asyncio.Future[frames.Frame] = asyncio.get_running_loop().create_future()
        self.waiting[0] = future
        self._send(frames.pack(frames.LOAD, 0, order))
        try:
            kind, _, head, _ = await asyncio.wait_for(future, self.launch.load_timeout)
        except TimeoutError:
            self.kill()
            raise ScorerGone(f"the model did not load within {self.launch.load_timeout:g} s") from None
        if kind == frames.LOADED:
            return msgspec.json.decode(head, type=Hello)
        report = msgspec.json.decode(head)
        for line in report["lines"]:
            self._note(line)
        raise ScorerGone(report["reason"])

    async def _read_log(self) -> None:
        assert self._process is not None  # noqa: S101  # set right before this task starts
        stream = self._process.stdout
        assert stream is not None  # noqa: S101  # PIPE was asked for
        rest = b""
        while chunk := await stream.read(1 << 16):
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[-4096:]
            for line in lines:
                self._note(line[:4096].decode("utf-8", "replace"))
        if rest:
            self._note(rest.decode("utf-8", "replace"))

    def _note(self, line: str) -> None:
        self.lines.append(line)
        self.log(f"v{self.route.version}: {line}")

    # --- the socket -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to the scorer."""
        self._transport = transport  # type: ignore[assignment]  # a stream socket's transport writes

    def data_received(self, data: bytes) -> None:
        """Hand every complete answer to whoever waits for it."""
        self._buffer += data
        for frame in frames.take(self._buffer):
            future = self.waiting.pop(frame[1], None)
            if future is not None and not future.done():
                future.set_result(frame)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """Tell everybody who waits that no answer will come."""
        self._transport = None
        self.gone.set()  # first: whoever keeps this scorer must know before those who ask again
        gone = ScorerGone(self.reason or "the scorer ended")
        for future in self.waiting.values():
            if not future.done():
                future.set_exception(gone)
        self.waiting.clear()

    def _send(self, data: bytes) -> None:
        if self._transport is None:
            raise ScorerGone(self.reason or "the scorer ended")
        self._out.append(data)
        if len(self._out) == 1:  # one write for everything of this turn of the loop
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out.clear()
        if self._transport is not None:
            self._transport.write(data)

    async def ask(self, head: bytes, blob: bytes) -> frames.Frame:
        """Send one request and return the answer's frame.

        Raises:
            ScorerGone: the process ended before it answered.
            ScorerSlow: the time limit passed; the process is ended, as nothing else stops a call in it.
        """
        self._number = self._number % 0xFFFFFFFF + 1
        number = self._number
        future: asyncio.Future[frames.Frame] = asyncio.get_running_loop().create_future()
        self._send(frames.pack(frames.PREDICT, number, head, blob))
        self.waiting[number] = future
        timer = asyncio.get_running_loop().call_later(self.launch.request_timeout, self._give_up, number)
        try:
            return await future
        finally:
            timer.cancel()
            self.waiting.pop(number, None)

    def _give_up(self, number: int) -> None:
        future = self.waiting.get(number)
        if future is not None and not future.done():
            future.set_exception(ScorerSlow())
            self.reason = f"no answer within {self.launch.request_timeout:g} s"
            self.kill()

    # --- the end ----------------------------------------------------------------------------------

    def kill(self) -> None:
        """End the process and whatever it started, now."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def reap(self) -> str:
        """Wait for the end of a process that has closed its socket; return why, as far as it is known."""
        if self._process is None:
            return self.reason
        killer = asyncio.get_running_loop().call_later(_GRACE, self.kill)
        code = await self._process.wait()
        killer.cancel()
        if self._reader is not None:
            await asyncio.wait([self._reader], timeout=1)
            self._reader.cancel()
        self._scratch.cleanup()
        said = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
        return self.reason or said

    async def stop(self) -> None:
        """Let running requests finish, then end the process."""
        deadline = asyncio.get_running_loop().time() + self.launch.request_timeout
        while self.waiting and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110  # a rare, short wait
            await asyncio.sleep(0.02)
        self.reason = self.reason or "stopped"
        with contextlib.suppress(ScorerGone):
            self._send(frames.pack(frames.STOP, 0, b"{}"))
        await self.reap()
