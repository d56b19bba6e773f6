"""The local engine: every attempt is a detached supervisor process that a restarted server finds again."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headway.engines.base import Alive, AttemptSpec, Exited, Isolation, LogLine, Lost, Observation, Starting
from headway.engines.lines import read_lines
from headway.engines.order import LocalLimits, make_order
from headway.errors import Refused, UsageError
from headway.ids import NAME, checked_name
from headway.sandbox.command import INSIDE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headway.sandbox.isolation import IsolationReport

_PATH = "/usr/local/bin:/usr/bin:/bin"


class LocalEngine:
    """Keeps one folder per attempt directly below `root`; the folder's name is the handle.

    Safe to use from several threads, and from several processes at once.
    """

    def __init__(
        self,
        root: Path,
        *,
        isolation: IsolationReport,
        limits: LocalLimits | None = None,
        private: tuple[Path, ...] = (),
        boot_id: str | None = None,
    ) -> None:
        """Keep the facts; `private` folders are never visible to foreign code (the data directory)."""
        self._root = root.absolute()  # a supervisor stands elsewhere
        self._isolation = isolation
        # A level is given only with the facts by which it was proved.
        self._level = int(Isolation.L2) if isolation.level >= Isolation.L2 and isolation.facts else int(Isolation.L0)
        self._limits = limits or LocalLimits()
        self._private = (self._root, *(each.absolute() for each in private))
        self._boot_id = _this_boot() if boot_id is None else boot_id
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    def start(self, spec: AttemptSpec) -> str:
        """Write the command, then spawn the supervisor, which runs the code at most once."""
        folder = self._folder_of(spec)
        self._check(spec)
        if (folder / "started").exists() or (folder / "exit.json").exists():
            return folder.name
        if not (folder / "command.json").exists():
            _write_whole(folder / "command.json", msgspec.json.encode(self._command(spec)))
        self._spawn(folder)
        return folder.name

    def observe(self, handle: str) -> Observation:
        """Look at lock, exit record and start marker, in the order in which they cannot mislead.

        The exit record is read after the lock was seen free: a supervisor writes it before it lets go.
        """
        self._reap()
        folder = self._known(handle)
        if folder is None:
            return Lost(why=f"this engine knows no attempt {handle!r}")
        held = _is_held(folder / "lock")
        ended = _read(folder / "exit.json")
        started = _read(folder / "started")
        if ended is not None:
            return Alive(isolation=Isolation(ended["isolation"]), draining=True) if held else _exited(ended)
        if started is None:
            return Starting()
        if held:
            return Alive(isolation=Isolation(started["isolation"]))
        if started["boot_id"] != self._boot_id:
            return Lost(why="the machine was restarted while it ran")
        return Lost(why="its supervisor ended without an exit record: killed, or the machine ran out of memory")

    def logs(self, handle: str, offset: int = 0) -> Iterator[LogLine]:
        """Yield lines from byte `offset`; a last line without its end only when the attempt has ended."""
        folder = self._known(handle)
        if folder is None:
            return
        yield from read_lines(folder / "log", offset, ended=(folder / "exit.json").exists())

    def stop(self, handle: str) -> None:
        """Leave the wish in the folder, where the supervisor sees it within a tenth of a second."""
        folder = self._known(handle)
        if folder:
            (folder / "stop").touch()

    def handles(self) -> Iterable[str]:
        """Return the name of every folder that has a command."""
        return sorted(found.parent.name for found in self._root.glob("*/command.json"))

    def _known(self, handle: str) -> Path | None:
        folder = self._root / handle
        return folder if NAME.match(handle) and (folder / "command.json").is_file() else None

    def _folder_of(self, spec: AttemptSpec) -> Path:
        folder = Path(spec.directory).absolute()
        if folder.parent != self._root:
            raise UsageError(
                f"the attempt's folder {folder} is not directly below {self._root}",
                hint=f"use {self._root / spec.id}",
            )
        checked_name(folder.name, what="attempt folder")
        return folder

    def _check(self, spec: AttemptSpec) -> None:
        level = self._level
        if level < spec.minimum_isolation:
            raise Refused(
                f"this task needs isolation L{spec.minimum_isolation:d}, and this machine gives L{level:d}",
                cause="; ".join(self._isolation.reasons),
                hint=self._isolation.hint or "run it on the Kubernetes engine, or mend what `headway doctor` shows",
            )
        if not spec.network and level < Isolation.L2:
            raise Refused(
                "this task must have no network, and this machine cannot take it away",
                cause="; ".join(self._isolation.reasons),
                hint=self._isolation.hint or "set `network: true` if the task may have it",
            )

    def _command(self, spec: AttemptSpec) -> dict[str, Any]:
        return make_order(_absolute(spec), self._level, self._isolation.facts, self._private, self._limits)

    def _spawn(self, folder: Path) -> None:
        """Start a supervisor in a session of its own; it outlives us and our terminal."""
        with (folder / "supervisor.log").open("ab") as errors:
            child = subprocess.Popen(
                [sys.executable, "-I", "-S", str(INSIDE / "supervisor.py"), str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                env={"PATH": os.environ.get("PATH", _PATH)},  # for nvidia-smi; no secret of the server's
                cwd="/",
                start_new_session=True,
            )
        with self._lock:
            self._children[child.pid] = child

    def _reap(self) -> None:
        """Collect supervisors that have ended, so that they are no zombies."""
        with self._lock:
            for pid in [pid for pid, child in self._children.items() if child.poll() is not None]:
                del self._children[pid]


def _absolute(spec: AttemptSpec) -> AttemptSpec:
    """A server may be given a relative data directory; a supervisor stands elsewhere."""
    door = spec.door and replace(spec.door, server_file=str(Path(spec.door.server_file).absolute()))
    folder, env_path = Path(spec.directory).absolute(), Path(spec.env_path).absolute()
    return replace(spec, directory=str(folder), env_path=str(env_path), door=door)


def _exited(record: dict[str, Any]) -> Exited:
    names = ("exit_code", "reason", "started_at", "finished_at", "undelivered", "peak_memory_mb", "cpu_seconds")
    return Exited(isolation=Isolation(record["isolation"]), **{name: record[name] for name in names})


def _is_held(path: Path) -> bool:
    """Say whether a supervisor, or anything it guards, is alive."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two who look do not disturb each other
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        return None


def _write_whole(path: Path, data: bytes) -> None:
    """Make the file appear at once, complete and durable; private, since it has the token."""
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=".command-")
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    Path(part).replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _this_boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
