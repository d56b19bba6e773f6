"""The local engine: every attempt is a detached supervisor process that a restarted server finds again."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headway.engines.base import Alive, AttemptSpec, Exited, Isolation, LogLine, Lost, Observation, Starting
from headway.errors import Refused, UsageError
from headway.ids import NAME, checked_name
from headway.sandbox.command import INSIDE, Box, wrap_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headway.sandbox.isolation import IsolationReport

_CHUNK = 1 << 20
_LONGEST_LINE = 1 << 16
_DEFAULT_PROCESSES = 4096
_HOLD_SECONDS = 100.0  # MLflow's client gives up after 120
_DRAIN_SECONDS = 900.0
_SAMPLE_SECONDS = 5.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalLimits:
    """What holds for attempts that say nothing, and how patient supervisors are."""

    disk_mb: int = 20_000
    processes: int = _DEFAULT_PROCESSES
    cgroups: bool = True  # where the system lets us make them; else the supervisor watches by itself
    hold_seconds: float = _HOLD_SECONDS  # reads and creations wait so long for the server
    answer_seconds: float = 15.0  # a server that has not answered so long is taken to be away
    drain_seconds: float = _DRAIN_SECONDS  # an ended attempt waits so long for its journal
    sample_seconds: float = _SAMPLE_SECONDS


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
        self._root = root
        self._isolation = isolation
        self._limits = limits or LocalLimits()
        self._private = (root, *private)
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
        ended = (folder / "exit.json").exists()  # before the reading: what comes later is complete
        try:
            stream = (folder / "log").open("rb")
        except FileNotFoundError:
            return
        with stream:
            stream.seek(offset)
            while raw := stream.readline(_LONGEST_LINE):
                if not raw.endswith(b"\n") and len(raw) < _LONGEST_LINE and not ended:
                    return
                offset += len(raw)
                yield LogLine(text=raw.decode("utf-8", errors="replace").rstrip("\r\n"), next_offset=offset)

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
        folder = Path(spec.directory)
        if folder.parent != self._root:
            raise UsageError(
                f"the attempt's folder {folder} is not directly below {self._root}",
                hint=f"use {self._root / spec.id}",
            )
        checked_name(folder.name, what="attempt folder")
        return folder

    def _check(self, spec: AttemptSpec) -> None:
        level = self._isolation.level
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
        for each in spec.readable:
            if not Path(each).exists():
                raise UsageError(f"{each} does not exist", hint="correct the path of the data set in headway.yaml")
        directory = Path(spec.directory)
        cwd = directory / "work" / spec.cwd  # an absolute cwd stands for itself
        if ".." in cwd.parts or not cwd.is_relative_to(directory / "work"):
            raise UsageError(f"cwd {spec.cwd!r} is not inside the attempt's work folder")
        level = min(self._isolation.level, int(Isolation.L2))
        resources = spec.resources
        wrap = None
        if level >= Isolation.L2 and self._isolation.facts is not None:
            box = Box(
                directory=spec.directory,
                cwd=str(cwd),
                env_path=spec.env_path,
                readable=spec.readable,
                private=tuple(str(each) for each in self._private),
                network=spec.network,
                door=spec.door is not None,
                accelerators=bool(resources.accelerators),
            )
            wrap = wrap_record(box, self._isolation.facts)
        return {
            "id": spec.id,
            "nonce": spec.nonce,
            "isolation": level,
            "argv": list(spec.argv),
            "wrap": wrap,
            "environment": _environment(spec, inside=wrap is not None),
            "cwd": str(cwd),
            "network": spec.network,
            "limits": {
                "memory_mb": resources.memory_mb,
                "processes": resources.processes or self._limits.processes,
                "disk_mb": resources.disk_mb or self._limits.disk_mb,
                "cpus": resources.cpus,
                "accelerators": resources.accelerators,
                "timeout_s": spec.timeout.total_seconds() if spec.timeout else None,
                "grace_s": spec.grace.total_seconds(),
                "log_mb": spec.log_limit_mb,
                "cgroups": self._limits.cgroups,
            },
            "door": msgspec.to_builtins(spec.door) if spec.door else None,
            "hold_s": self._limits.hold_seconds,
            "answer_s": self._limits.answer_seconds,
            "drain_s": self._limits.drain_seconds,
            "sample_s": self._limits.sample_seconds,
        }

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


def _environment(spec: AttemptSpec, *, inside: bool) -> dict[str, str]:
    """Return the whole environment but the door's part; what the task says wins."""
    found = {
        "PATH": f"{spec.env_path}/bin:/usr/local/bin:/usr/bin:/bin",
        "VIRTUAL_ENV": spec.env_path,
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "USER": "headway",
        "LOGNAME": "headway",
        "HEADWAY_ATTEMPT": spec.id,
        "HEADWAY_JOB": spec.job_id,
        "HEADWAY_TASK": spec.task,
        "HEADWAY_OUT": f"{spec.directory}/out",
    }
    if spec.resources.cpus:
        found["OMP_NUM_THREADS"] = str(max(1, round(spec.resources.cpus)))
    found |= spec.variables
    found["HOME"] = f"{spec.directory}/home"
    found["TMPDIR"] = "/tmp" if inside else f"{spec.directory}/tmp"  # noqa: S108  # the sandbox's own
    return found


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
