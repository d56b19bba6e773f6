"""What an attempt may use: rlimits set before it runs, and a watch over the tree while it does."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import NamedTuple

import processes
from cgroup import Cgroup

_MB = 1 << 20
_AT_LIMIT_SECONDS = 2.0
_EXACT_EVERY = 2.0
_SMALL_TREE = 3  # bubblewrap twice and the code: they share nothing to speak of


class Breach(NamedTuple):
    """A limit that was broken: the word for the record and the sentence for the log."""

    reason: str
    text: str


class Usage(NamedTuple):
    """What the tree used at one moment."""

    memory: int
    cpu: float
    count: int


def rlimits(limits: dict, group: Cgroup | None) -> list[tuple[int, int]]:
    """Return (limit, value) pairs; what a control group already enforces is left out."""
    found = [(resource.RLIMIT_CORE, 0)]
    memory, disk, count = limits.get("memory_mb"), limits.get("disk_mb"), limits.get("processes")
    if disk:
        found.append((resource.RLIMIT_FSIZE, int(disk) * _MB))
    if memory and not (group and group.holds_memory) and not limits.get("accelerators"):
        # A backstop between two looks of the watch; generous, because memory asked for is not memory used.
        found.append((resource.RLIMIT_DATA, max(2 * int(memory), int(memory) + 1024) * _MB))
    if count and os.getuid() != 0 and not (group and group.holds_processes):
        # The kernel counts every thread of this user, so what is there already comes on top.
        mine = sum(process.threads for process in processes.snapshot().values())
        found.append((resource.RLIMIT_NPROC, mine + int(count)))
    return found


class Watch:
    """Looks at the tree and the attempt's folders now and then, and says which limit is broken."""

    def __init__(self, root: int, limits: dict, folders: list[Path], group: Cgroup | None) -> None:
        self._root = root
        self._limits = limits
        self._group = group
        self._disk = _DiskWatch(folders, int(limits.get("disk_mb") or 0) * _MB)
        self._crowded_since: float | None = None
        self._own_share = 1.0
        self._next_exact = 0.0
        self.peak_memory = 0
        self.usage = Usage(0, 0.0, 0)

    def look(self) -> Breach | None:
        """Measure once; the caller decides how often."""
        tree = processes.descendants(self._root, processes.snapshot())
        cpu = max(self.usage.cpu, sum(process.cpu for process in tree))
        self.usage = Usage(self._memory_of(tree), cpu, len(tree))
        self.peak_memory = max(self.peak_memory, self.usage.memory)
        return self._memory(tree) or self._processes(tree) or self._disk.look()

    def _memory_of(self, tree: list[processes.Process]) -> int:
        """Return the tree's memory with shared pages counted once: exactly now and then, estimated in between.

        Eight data loaders that were forked from a large training would otherwise count eight times.
        """
        resident = sum(process.memory for process in tree)
        if len(tree) <= _SMALL_TREE:
            return resident
        now = time.monotonic()
        if now >= self._next_exact and resident:
            self._own_share = processes.proportional_memory(tree) / resident
            self._next_exact = now + max(_EXACT_EVERY, 20 * (time.monotonic() - now))
        return int(resident * self._own_share)

    def _memory(self, tree: list[processes.Process]) -> Breach | None:
        limit_mb = self._limits.get("memory_mb")
        if not limit_mb:
            return None
        limit = int(limit_mb) * _MB
        killed = self._group.oom_kills() if self._group else 0
        if killed or (self.usage.memory > limit and processes.proportional_memory(tree) > limit):
            return memory_breach(limit_mb)
        return None

    def _processes(self, tree: list[processes.Process]) -> Breach | None:
        limit = self._limits.get("processes")
        if not limit:
            return None
        if len(tree) > int(limit):
            return processes_breach(limit)
        crowded = bool(self._group and self._group.refused_forks()) and sum(process.threads for process in tree) >= int(
            limit
        )
        now = time.monotonic()
        if not crowded:
            self._crowded_since = None
        elif self._crowded_since is None:
            self._crowded_since = now
        elif now - self._crowded_since > _AT_LIMIT_SECONDS:
            return processes_breach(limit)
        return None


def memory_breach(limit_mb: float) -> Breach:
    """Say that the memory limit was reached."""
    return Breach("memory", f"stopped: it used more than its {limit_mb:g} MB of memory (resources.memory)")


def processes_breach(limit: int) -> Breach:
    """Say that the limit on processes was reached."""
    return Breach("processes", f"stopped: it started more than {limit} processes and threads (resources.processes)")


class _DiskWatch:
    """Adds up the folders, at most a twentieth of the time; a fast fall of free space calls it early."""

    def __init__(self, folders: list[Path], limit: int) -> None:
        self._folders = folders
        self._limit = limit
        self._next = 0.0
        self._used = 0
        self._free = 0

    def look(self) -> Breach | None:
        if not self._limit:
            return None
        free = _free_bytes(self._folders[0])
        fell = self._free - free
        now = time.monotonic()
        if now < self._next and fell < max(self._limit - self._used, 0):
            return None
        self._used = sum(_folder_bytes(folder) for folder in self._folders)
        self._free = free
        took = time.monotonic() - now
        self._next = now + took + max(2.0, 20 * took)
        if self._used <= self._limit:
            return None
        return Breach(
            "disk",
            f"stopped: it wrote {self._used // _MB:,} MB, its limit is {self._limit // _MB:,} MB (resources.disk)",
        )


def _free_bytes(folder: Path) -> int:
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize


def _folder_bytes(folder: Path) -> int:
    """Return what the folder takes on disk; an empty file counts as a block, so a million of them count."""
    total = 0
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                        total += 4096
                    else:
                        total += max(4096, entry.stat(follow_symlinks=False).st_blocks * 512)
        except OSError:
            continue
    return total
