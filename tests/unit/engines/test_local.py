"""What the local engine writes for a supervisor, and how it reads what a supervisor left."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headway.engines.base import Alive, AttemptSpec, DoorSpec, Exited, Isolation, Lost, Starting
from headway.engines.local import LocalEngine
from headway.engines.order import LocalLimits
from headway.errors import Refused, UsageError
from headway.projects.model import Resources
from headway.sandbox.command import Facts
from headway.sandbox.isolation import IsolationReport

EXIT = {
    "exit_code": 0,
    "reason": "",
    "isolation": 0,
    "started_at": 1.0,
    "finished_at": 2.0,
    "undelivered": 3,
    "peak_memory_mb": 4.0,
    "cpu_seconds": 5.0,
    "text": "",
    "drained": True,
}


@pytest.fixture
def engine(tmp_path: Path) -> LocalEngine:
    return LocalEngine(tmp_path, isolation=IsolationReport(level=0), boot_id="boot")


@pytest.fixture
def spec(tmp_path: Path) -> AttemptSpec:
    (tmp_path / "a1" / "work").mkdir(parents=True)
    return AttemptSpec(
        id="a1",
        job_id="j1",
        task="train",
        number=1,
        nonce="n",
        directory=str(tmp_path / "a1"),
        argv=("python", "train.py"),
        cwd="sub",
        env_path="/env",
        variables={"SEED": "1", "HOME": "/root"},
    )


def leave(folder: Path, **files: Any) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in {"command": {}, **files}.items():
        (folder / ("started" if name == "started" else f"{name}.json")).write_text(json.dumps(content))


def test_the_command_says_everything(engine: LocalEngine, spec: AttemptSpec) -> None:
    full = replace(
        spec,
        timeout=timedelta(minutes=1),
        resources=Resources(cpus=2.0, memory_mb=512, processes=9, disk_mb=77),
        door=DoorSpec(server_file="/s", token="t", run_id="r", experiment_id="e"),
    )
    command = engine._command(full)
    assert command["argv"] == ["python", "train.py"]
    assert command["cwd"] == f"{spec.directory}/work/sub"
    assert command["wrap"] is None
    assert command["door"] == {"server_file": "/s", "token": "t", "run_id": "r", "experiment_id": "e"}
    limits = command["limits"]
    assert (limits["memory_mb"], limits["processes"], limits["disk_mb"], limits["cpus"]) == (512, 9, 77, 2.0)
    assert (limits["timeout_s"], limits["grace_s"], limits["log_mb"]) == (60.0, 30.0, 64)


def test_the_environment_is_ours_the_tasks_and_nobody_elses(
    engine: LocalEngine, spec: AttemptSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    environment = engine._command(spec)["environment"]
    assert "canary" not in environment.values()
    assert environment["SEED"] == "1"
    assert environment["PATH"].startswith("/env/bin:")
    assert environment["HOME"] == f"{spec.directory}/home"
    assert environment["HEADWAY_OUT"] == f"{spec.directory}/out"
    assert environment["HEADWAY_TASK"] == "train"


def test_what_the_task_leaves_open_is_limited_anyway(tmp_path: Path, spec: AttemptSpec) -> None:
    engine = LocalEngine(tmp_path, isolation=IsolationReport(level=0), limits=LocalLimits(disk_mb=10, processes=20))
    limits = engine._command(spec)["limits"]
    assert (limits["disk_mb"], limits["processes"], limits["memory_mb"]) == (10, 20, None)


def test_a_proved_sandbox_is_used_and_hides_the_root(tmp_path: Path, spec: AttemptSpec) -> None:
    report = IsolationReport(level=2, facts=Facts(program="/usr/bin/bwrap"))
    engine = LocalEngine(tmp_path, isolation=report, private=(tmp_path.parent,))
    command = engine._command(replace(spec, readable=(str(tmp_path.parent.parent),)))
    assert command["isolation"] == 2
    options = command["wrap"]["options"]
    hidden = [options[at + 1] for at, option in enumerate(options) if option == "--tmpfs"]
    assert hidden == [str(tmp_path), str(tmp_path.parent)]


def test_folders_elsewhere_and_names_that_are_no_names_are_refused(engine: LocalEngine, spec: AttemptSpec) -> None:
    for directory in ("/elsewhere/a1", f"{engine._root}/a/b", f"{engine._root}/.hidden"):
        with pytest.raises(UsageError):
            engine.start(replace(spec, directory=directory))
    for cwd in ("..", "../../x", "/etc", "sub/../.."):
        with pytest.raises(UsageError):
            engine._command(replace(spec, cwd=cwd))


def test_a_level_without_its_proof_is_no_level(tmp_path: Path, spec: AttemptSpec) -> None:
    engine = LocalEngine(tmp_path, isolation=IsolationReport(level=2))
    assert engine._command(spec)["isolation"] == 0
    with pytest.raises(Refused):
        engine.start(replace(spec, minimum_isolation=Isolation.L2))


def test_relative_paths_are_made_absolute_for_a_supervisor_that_stands_elsewhere(
    tmp_path: Path, spec: AttemptSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    engine = LocalEngine(Path(), isolation=IsolationReport(level=0))
    door = DoorSpec(server_file="server.json", token="t", run_id="r", experiment_id="e")
    relative = replace(spec, directory="a1", env_path="env", door=door)
    assert engine._folder_of(relative) == tmp_path / "a1"
    command = engine._command(relative)
    assert command["cwd"] == f"{tmp_path}/a1/work/sub"
    assert command["environment"]["VIRTUAL_ENV"] == f"{tmp_path}/env"
    assert command["door"]["server_file"] == f"{tmp_path}/server.json"


def test_without_a_start_marker_it_is_starting(engine: LocalEngine, tmp_path: Path) -> None:
    leave(tmp_path / "a1")
    assert engine.observe("a1") == Starting()


def test_a_held_lock_is_life(engine: LocalEngine, tmp_path: Path) -> None:
    leave(tmp_path / "a1", started={"isolation": 2, "boot_id": "boot"})
    descriptor = os.open(tmp_path / "a1" / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert engine.observe("a1") == Alive(isolation=Isolation.L2)
    leave(tmp_path / "a1", started={"isolation": 2, "boot_id": "boot"}, exit={**EXIT, "isolation": 2})
    assert engine.observe("a1") == Alive(isolation=Isolation.L2, draining=True)
    os.close(descriptor)
    assert isinstance(engine.observe("a1"), Exited)


def test_a_free_lock_without_an_exit_record_is_lost(engine: LocalEngine, tmp_path: Path) -> None:
    leave(tmp_path / "a1", started={"isolation": 0, "boot_id": "boot"})
    (tmp_path / "a1" / "lock").touch()
    seen = engine.observe("a1")
    assert isinstance(seen, Lost)
    assert "supervisor" in seen.why
    leave(tmp_path / "a1", started={"isolation": 0, "boot_id": "an earlier one"})
    seen = engine.observe("a1")
    assert isinstance(seen, Lost)
    assert "restarted" in seen.why


def test_an_exit_record_is_read_whole(engine: LocalEngine, tmp_path: Path) -> None:
    leave(tmp_path / "a1", started={"isolation": 0, "boot_id": "boot"}, exit=EXIT)
    assert engine.observe("a1") == Exited(
        exit_code=0,
        reason="",
        isolation=Isolation.L0,
        started_at=1.0,
        finished_at=2.0,
        undelivered=3,
        peak_memory_mb=4.0,
        cpu_seconds=5.0,
    )


def test_a_line_that_is_not_finished_waits_for_its_end(engine: LocalEngine, tmp_path: Path) -> None:
    leave(tmp_path / "a1", started={"isolation": 0, "boot_id": "boot"})
    log = tmp_path / "a1" / "log"
    log.write_bytes(b"erste\nzwei")
    lines = list(engine.logs("a1"))
    assert [(line.text, line.next_offset) for line in lines] == [("erste", 6)]
    with log.open("ab") as stream:
        stream.write("te ä\n".encode())
    assert [line.text for line in engine.logs("a1", 6)] == ["zweite ä"]
    with log.open("ab") as stream:
        stream.write(b"last")
    leave(tmp_path / "a1", exit=EXIT)
    assert [line.text for line in engine.logs("a1", 6)] == ["zweite ä", "last"]


def test_a_stop_for_nobody_leaves_no_trace(engine: LocalEngine, tmp_path: Path) -> None:
    for handle in ("..", "nobody", "", "."):
        engine.stop(handle)
    assert not (tmp_path.parent / "stop").exists()
    assert list(tmp_path.iterdir()) == []
