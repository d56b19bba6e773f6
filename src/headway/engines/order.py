"""What a supervisor is told: an attempt in, the content of its command file out; nothing is started here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from headway.engines.base import AttemptSpec
from headway.errors import UsageError
from headway.sandbox.command import Box, Facts, wrap_record


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalLimits:
    """What holds for attempts that say nothing, and how patient supervisors are."""

    disk_mb: int = 20_000
    processes: int = 4096
    cgroups: bool = True  # where the system lets us make them; else the supervisor watches by itself
    hold_seconds: float = 100.0  # reads and creations wait so long for the server; MLflow's client gives up after 120
    answer_seconds: float = 15.0  # a server that has not answered so long is taken to be away
    drain_seconds: float = 900.0  # an ended attempt waits so long for its journal
    sample_seconds: float = 5.0


def make_order(
    spec: AttemptSpec, level: int, facts: Facts | None, private: tuple[Path, ...], limits: LocalLimits
) -> dict[str, Any]:
    """Return the command of a supervisor; `facts` are used when `level` is 2.

    Raises:
        UsageError: a path of the attempt does not exist, or leads out of its folder.
    """
    cwd = _cwd(spec)
    wrap = wrap_record(_box(spec, cwd, private), facts) if level >= 2 and facts is not None else None
    return {
        "id": spec.id,
        "nonce": spec.nonce,
        "isolation": level,
        "argv": list(spec.argv),
        "wrap": wrap,
        "environment": _environment(spec, inside=wrap is not None),
        "hidden": list(spec.hidden),
        "cwd": str(cwd),
        "network": spec.network,
        "limits": _limits(spec, limits),
        "door": msgspec.to_builtins(spec.door) if spec.door else None,
        "hold_s": limits.hold_seconds,
        "answer_s": limits.answer_seconds,
        "drain_s": limits.drain_seconds,
        "sample_s": limits.sample_seconds,
    }


def _cwd(spec: AttemptSpec) -> Path:
    work = Path(spec.directory) / "work"
    cwd = work / spec.cwd  # an absolute one stands for itself
    if ".." in cwd.parts or not cwd.is_relative_to(work):
        raise UsageError(f"cwd {spec.cwd!r} is not inside the attempt's work folder")
    return cwd


def _box(spec: AttemptSpec, cwd: Path, private: tuple[Path, ...]) -> Box:
    for each in spec.readable:
        if not Path(each).exists():
            raise UsageError(f"{each} does not exist", hint="correct the path of the data set in headway.yaml")
    return Box(
        directory=spec.directory,
        cwd=str(cwd),
        env_path=spec.env_path,
        readable=spec.readable,
        private=tuple(str(each) for each in private),
        network=spec.network,
        door=spec.door is not None,
        accelerators=bool(spec.resources.accelerators),
    )


def _limits(spec: AttemptSpec, limits: LocalLimits) -> dict[str, Any]:
    resources = spec.resources
    return {
        "memory_mb": resources.memory_mb,
        "processes": resources.processes or limits.processes,
        "disk_mb": resources.disk_mb or limits.disk_mb,
        "cpus": resources.cpus,
        "accelerators": resources.accelerators,
        "timeout_s": spec.timeout.total_seconds() if spec.timeout else None,
        "grace_s": spec.grace.total_seconds(),
        "log_mb": spec.log_limit_mb,
        "cgroups": limits.cgroups,
    }


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
