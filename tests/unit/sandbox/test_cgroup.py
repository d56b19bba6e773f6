"""Control groups of both versions, on a copy of their file tree."""

from __future__ import annotations

from pathlib import Path

import cgroup
import pytest

LIMITS = {"memory_mb": 100, "processes": 50, "cpus": 1.5, "cgroups": True}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cgroup, "_ROOT", tmp_path)
    return tmp_path


def test_version_2_goes_where_controllers_are_handed_down(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = root / "user" / "server"
    own.mkdir(parents=True)
    (root / "user" / "cgroup.subtree_control").write_text("cpu memory pids\n")
    (own / "cgroup.subtree_control").write_text("\n")
    monkeypatch.setattr(cgroup, "_own_places", lambda: {"": own})
    group = cgroup.make_cgroup("headway-1", LIMITS)
    assert group is not None
    folder = root / "user" / "headway-1"
    assert (folder / "memory.max").read_text() == f"{100 << 20}\n"
    assert (folder / "pids.max").read_text() == "50\n"
    assert (folder / "cpu.max").read_text() == "150000 100000\n"
    assert group.join_files() == [str(folder / "cgroup.procs")]
    (folder / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    (folder / "pids.events").write_text("max 7\n")
    assert (group.oom_kills(), group.refused_forks()) == (2, 7)
    assert group.holds_memory
    assert group.holds_processes


def test_version_2_without_controllers_gives_none(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "cgroup.subtree_control").write_text("cpu\n")
    monkeypatch.setattr(cgroup, "_own_places", lambda: {"": root})
    assert cgroup.make_cgroup("headway-1", LIMITS) is None


def test_version_1_makes_one_group_per_controller(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {name: root / name / "mine" for name in ("memory", "pids")}
    for place in places.values():
        place.mkdir(parents=True)
    monkeypatch.setattr(cgroup, "_own_places", lambda: places)
    group = cgroup.make_cgroup("headway-1", LIMITS)
    assert group is not None
    assert (root / "memory/mine/headway-1/memory.limit_in_bytes").read_text() == f"{100 << 20}\n"
    assert (root / "pids/mine/headway-1/pids.max").read_text() == "50\n"
    assert len(group.join_files()) == 2
    (root / "memory/mine/headway-1/memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    assert group.oom_kills() == 1


def test_only_limits_that_were_given_are_set(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "pids").mkdir()
    monkeypatch.setattr(cgroup, "_own_places", lambda: {"pids": root / "pids", "memory": root / "memory"})
    group = cgroup.make_cgroup("headway-1", {"processes": 5, "cgroups": True})
    assert group is not None
    assert not group.holds_memory
    assert group.oom_kills() == 0


def test_a_system_that_lets_nobody_make_groups_gives_none(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "_own_places", lambda: {"memory": root / "gone", "pids": root / "gone"})
    assert cgroup.make_cgroup("headway-1", LIMITS) is None
    assert cgroup.make_cgroup("headway-1", {**LIMITS, "cgroups": False}) is None


def test_removing_twice_is_harmless(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = root / "made"
    folder.mkdir()
    group = cgroup.Cgroup({"pids": folder})
    group.remove()
    group.remove()
    assert not folder.exists()
