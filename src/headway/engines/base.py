"""The one protocol of engines, which run attempts to completion; contract: `tests/contracts/engine.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from headway.environments.model import EnvSpec
from headway.projects.model import Resources

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Isolation(IntEnum):
    """How far foreign code is kept away; never lowered silently (design.md §7)."""

    L0 = 0  # clean environment and rlimits
    L1 = 1  # another uid or Landlock
    L2 = 2  # bubblewrap, seccomp, rlimits
    L3 = 3  # a Kubernetes pod with restricted security


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorSpec:
    """What the attempt's door needs to reach the tracking server."""

    server_file: str  # JSON {"host","port"}, rewritten at each start of the server
    token: str  # the attempt's own
    run_id: str
    experiment_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A volume of the cluster that a step sees; the local engine has none."""

    name: str  # as headway.yaml calls it
    claim: str  # the PersistentVolumeClaim behind it
    path: str  # where the step finds it
    read_only: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptSpec:
    """One try of one task, complete: an engine needs nothing else."""

    id: str
    job_id: str
    task: str
    number: int  # 1-based, never reused
    nonce: str
    directory: str  # the attempt's own: work/, out/, logs; exists with work/ filled
    argv: tuple[str, ...]  # argv[0] is looked up in environment's bin first
    cwd: str  # inside work/
    env_path: str  # environment folder with bin/python
    variables: dict[str, str] = field(default_factory=dict)  # the whole environment but the door's part
    hidden: tuple[str, ...] = ()  # its secrets in every form that they may be printed in: no log holds them
    readable: tuple[str, ...] = ()  # further absolute paths mounted read-only (data sets)
    resources: Resources = field(default_factory=Resources)
    timeout: timedelta | None = None
    grace: timedelta = timedelta(seconds=30)  # between SIGTERM and SIGKILL
    network: bool = True
    minimum_isolation: Isolation = Isolation.L0
    door: DoorSpec | None = None
    log_limit_mb: int = 64
    # What an engine needs that runs the attempt elsewhere; the local one has all of it on this machine.
    env: EnvSpec | None = None  # materialised where the attempt runs
    tier: int = 2  # whose code it is: environments.model.Tier
    outputs: tuple[str, ...] = ()  # what is brought back, relative to `cwd`
    image: str | None = None  # the step's own container image, which then is the environment
    volumes: tuple[Mount, ...] = ()
    namespace: str | None = None  # None = the operator's usual one


@dataclass(frozen=True, slots=True, kw_only=True)
class Starting:
    """Asked for; nothing seen of it yet. `start` may be called again."""

    why: str = ""  # what it waits for, where that is worth a line


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """It runs."""

    isolation: Isolation
    draining: bool = False  # the code has ended, its door still delivers the journal
    why: str = ""  # what is the matter meanwhile, where something is


@dataclass(frozen=True, slots=True, kw_only=True)
class Exited:
    """It ended by itself, or by our signal."""

    exit_code: int  # 128 + n for signal n
    reason: str  # "" | timeout | cancelled | memory | disk | processes | isolation | launch
    isolation: Isolation
    started_at: float  # seconds since 1970
    finished_at: float
    undelivered: int = 0  # journal entries that could not be delivered
    peak_memory_mb: float = 0.0
    cpu_seconds: float = 0.0
    detail: str = ""  # what a person should know beside the reason, and what to do


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """It was started, and neither lives nor left an exit record."""

    why: str


Observation = Starting | Alive | Exited | Lost


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of output and where the next one starts."""

    text: str
    next_offset: int


class Engine(Protocol):
    """Runs attempts to completion and can find them again after a crash of the server.

    No method blocks for longer than a second. Errors: `Refused` when the isolation asked for
    cannot be given.
    """

    def start(self, spec: AttemptSpec) -> str:
        """Start the attempt and return its handle; repeating it never runs the code twice."""
        ...

    def observe(self, handle: str) -> Observation:
        """Return what is known of the attempt; an unknown handle is `Lost`."""
        ...

    def logs(self, handle: str, offset: int = 0) -> Iterator[LogLine]:
        """Yield the complete lines from byte `offset`; ends at the present end."""
        ...

    def stop(self, handle: str) -> None:
        """Ask the whole process tree to end (SIGTERM, grace, SIGKILL); returns at once, repeatable."""
        ...

    def handles(self) -> Iterable[str]:
        """Return every attempt that this engine knows, ended ones until their folder is removed."""
        ...
