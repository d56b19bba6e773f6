"""The watch over a tree: what breaks a limit, and what only looks as if it did."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import limits
import processes
import pytest

MB = 1 << 20


def tree(*memory_mb: int) -> list[processes.Process]:
    return [processes.Process(1000 + n, 1, size * MB, 1.0, 1) for n, size in enumerate(memory_mb)]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[processes.Process]:
    """What the watch sees below its root."""
    found: list[processes.Process] = []
    monkeypatch.setattr(processes, "snapshot", dict)
    monkeypatch.setattr(processes, "descendants", lambda _root, _table: list(found))
    return found


def watch(folder: Path, **given: float) -> limits.Watch:
    return limits.Watch(1, given, [folder], None)


def test_memory_over_the_limit_is_a_breach(tmp_path: Path, seen: list[processes.Process]) -> None:
    watching = watch(tmp_path, memory_mb=100)
    seen[:] = tree(99)
    assert watching.look() is None
    seen[:] = tree(50, 51)
    breach = watching.look()
    assert breach is not None
    assert breach.reason == "memory"
    assert watching.peak_memory == 101 * MB


def test_shared_pages_count_once(
    tmp_path: Path, seen: list[processes.Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "proportional_memory", lambda found: sum(each.memory for each in found) // 10)
    watching = watch(tmp_path, memory_mb=100)
    seen[:] = tree(90, 90, 90, 90, 90)
    assert watching.look() is None
    assert watching.usage.memory == 45 * MB


def test_too_many_processes_are_a_breach(tmp_path: Path, seen: list[processes.Process]) -> None:
    watching = watch(tmp_path, processes=3)
    seen[:] = tree(1, 1, 1)
    assert watching.look() is None
    seen[:] = tree(1, 1, 1, 1)
    breach = watching.look()
    assert breach is not None
    assert breach.reason == "processes"


def test_many_small_files_fill_a_folder_too(tmp_path: Path, seen: list[processes.Process]) -> None:
    for n in range(300):
        (tmp_path / str(n)).touch()
    assert watch(tmp_path, disk_mb=2).look() is None
    breach = watch(tmp_path, disk_mb=1).look()
    assert breach is not None
    assert breach.reason == "disk"


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path, seen: list[processes.Process]) -> None:
    (tmp_path / "link").symlink_to("/")
    assert watch(tmp_path, disk_mb=1).look() is None


def test_the_processor_time_never_falls(tmp_path: Path, seen: list[processes.Process]) -> None:
    watching = watch(tmp_path)
    seen[:] = tree(1, 1)
    watching.look()
    seen[:] = tree(1)
    watching.look()
    assert watching.usage.cpu == 2.0


def test_rlimits_leave_to_the_kernel_what_a_group_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"memory_mb": 100, "disk_mb": 5, "processes": 7}
    found = dict(limits.rlimits(given, None))
    assert found[resource.RLIMIT_FSIZE] == 5 * MB
    assert found[resource.RLIMIT_CORE] == 0
    assert found[resource.RLIMIT_DATA] == 1124 * MB
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert dict(limits.rlimits(given, None))[resource.RLIMIT_NPROC] > 7
    assert resource.RLIMIT_DATA not in dict(limits.rlimits({**given, "accelerators": "H100:1"}, None))
