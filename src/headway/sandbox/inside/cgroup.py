"""One control group per attempt, where the system lets us make one (version 1 or 2)."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_PERIOD = 100_000  # microseconds, the kernel's default
_V1 = ("memory", "pids", "cpu")


class Cgroup:
    """The folders made for one attempt; a controller that could not be had is simply absent."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self._folders = folders  # controller -> folder; in version 2 all the same one
        self.version = 2 if "all" in folders else 1

    @property
    def holds_memory(self) -> bool:
        """Whether the kernel enforces the memory limit."""
        return self._folder("memory") is not None

    @property
    def holds_processes(self) -> bool:
        """Whether the kernel enforces the limit on processes."""
        return self._folder("pids") is not None

    def join_files(self) -> list[str]:
        """Return the files into which a child writes its number before it runs foreign code."""
        return [str(folder / "cgroup.procs") for folder in set(self._folders.values())]

    def oom_kills(self) -> int:
        """Return how many processes the kernel killed because the memory limit was reached."""
        name = "memory.events" if self.version == 2 else "memory.oom_control"
        return _counter(self._folder("memory"), name, "oom_kill")

    def refused_forks(self) -> int:
        """Return how many times the limit on processes was reached."""
        return _counter(self._folder("pids"), "pids.events", "max")

    def remove(self) -> None:
        """Remove the folders; the kernel refuses for a moment after the last process has ended."""
        for folder in set(self._folders.values()):
            for _ in range(50):
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.01)
                else:
                    break

    def _folder(self, controller: str) -> Path | None:
        return self._folders.get(controller) or self._folders.get("all")


class OwnGroup(Cgroup):
    """The group that a container was put into: its limits are the cluster's, and nothing of it is ours to change."""

    holds_memory = True
    holds_processes = True  # by the kubelet; a limit per user would count the pods of everybody else

    def __init__(self, folders: dict[str, Path]) -> None:
        super().__init__(folders)
        self._before = super().oom_kills()

    def oom_kills(self) -> int:
        """Return how many processes the kernel has killed for memory since we looked first."""
        return super().oom_kills() - self._before

    def join_files(self) -> list[str]:
        """Return nothing: whatever begins here is in it."""
        return []

    def refused_forks(self) -> int:
        """Return 0: the watch counts the processes."""
        return 0

    def remove(self) -> None:
        """Leave it."""


def own_group() -> OwnGroup:
    """Return the group of this container, as its own /sys/fs/cgroup shows it (version 1 or 2)."""
    if (_ROOT / "cgroup.controllers").exists():
        return OwnGroup({"all": _ROOT})
    return OwnGroup({"memory": _ROOT / "memory"})


def make_cgroup(name: str, limits: dict) -> Cgroup | None:
    """Make a group with the limits `memory_mb`, `processes` and `cpus`; None where none can be made."""
    places = _own_places() if limits["cgroups"] else {}
    if not places:
        return None
    if set(places) == {""}:
        return _make_v2(places[""], name, limits)
    folders: dict[str, Path] = {}
    for controller in _V1:
        if controller in places and _wanted(controller, limits):
            folder = places[controller] / name
            if _make_v1(controller, folder, limits):
                folders[controller] = folder
    return Cgroup(folders) if folders else None


def _wanted(controller: str, limits: dict) -> bool:
    return bool(limits.get({"memory": "memory_mb", "pids": "processes", "cpu": "cpus"}[controller]))


def _own_places() -> dict[str, Path]:
    """Return the group in which we are, per controller; the key is empty in version 2."""
    places: dict[str, Path] = {}
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    unified = (_ROOT / "cgroup.controllers").exists()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers and unified:
            return {"": _ROOT / path.lstrip("/")}
        for controller in controllers.split(","):
            folder = _ROOT / controller / path.lstrip("/")
            if controller in _V1 and folder.is_dir():
                places[controller] = folder
    return places


def _make_v2(own: Path, name: str, limits: dict) -> Cgroup | None:
    # A group with processes cannot hand controllers down, so the parent is the usual place.
    for place in (own, own.parent):
        try:
            enabled = (place / "cgroup.subtree_control").read_text(encoding="ascii").split()
        except OSError:
            continue
        if not {"memory", "pids"} <= set(enabled):
            continue
        folder = place / name
        try:
            folder.mkdir()
            if limits.get("memory_mb"):
                _put(folder, "memory.max", int(limits["memory_mb"]) << 20)
                with contextlib.suppress(OSError):
                    _put(folder, "memory.swap.max", 0)
                _put(folder, "memory.oom.group", 1)
            if limits.get("processes"):
                _put(folder, "pids.max", int(limits["processes"]))
            if limits.get("cpus") and "cpu" in enabled:
                _put(folder, "cpu.max", f"{int(limits['cpus'] * _PERIOD)} {_PERIOD}")
        except OSError:
            with contextlib.suppress(OSError):
                folder.rmdir()
            continue
        return Cgroup({"all": folder})
    return None


def _make_v1(controller: str, folder: Path, limits: dict) -> bool:
    try:
        folder.mkdir()
        if controller == "memory":
            _put(folder, "memory.limit_in_bytes", int(limits["memory_mb"]) << 20)
            with contextlib.suppress(OSError):
                _put(folder, "memory.memsw.limit_in_bytes", int(limits["memory_mb"]) << 20)
        elif controller == "pids":
            _put(folder, "pids.max", int(limits["processes"]))
        else:
            _put(folder, "cpu.cfs_period_us", _PERIOD)
            _put(folder, "cpu.cfs_quota_us", int(limits["cpus"] * _PERIOD))
    except OSError:
        with contextlib.suppress(OSError):
            folder.rmdir()
        return False
    return True


def _put(folder: Path, name: str, value: object) -> None:
    (folder / name).write_text(f"{value}\n", encoding="ascii")


def _counter(folder: Path | None, name: str, key: str) -> int:
    if folder is None:
        return 0
    with contextlib.suppress(OSError, ValueError):
        for line in (folder / name).read_text(encoding="ascii").splitlines():
            found, _, value = line.partition(" ")
            if found == key:
                return int(value)
    return 0
