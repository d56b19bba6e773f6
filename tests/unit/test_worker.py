"""What takes long in one loop of the worker holds up no other."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from fakes.story import Story
from headway.flow import deliver, intake, release, run_jobs
from headway.flow.background import Background
from headway.settings import Settings
from headway.worker import Worker
from headway.worker_child import WorkerChild

PATIENCE = 60.0


def test_forges_that_hang_keep_neither_trainings_nor_releases_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = Story(tmp_path)
    hanging, prepared, watched = threading.Event(), threading.Event(), threading.Event()

    def hangs(name: str) -> Any:
        def step(_app: Any, background: Background) -> bool:
            for number in range(9):
                background.run(f"{name}:{number}", lambda: bool(hanging.wait(PATIENCE)))
            return True

        return step

    def does(name: str, deed: threading.Event) -> Any:
        return lambda _app, background: background.run(name, deed.set)

    monkeypatch.setattr(intake, "step", hangs("listen"))
    monkeypatch.setattr(deliver, "step", hangs("send"))
    monkeypatch.setattr(run_jobs, "step", does("prepare", prepared))
    monkeypatch.setattr(release, "step", does("reconcile", watched))
    worker = Worker(story.app)
    try:
        worker.tick()
        assert prepared.wait(PATIENCE / 2)
        assert watched.wait(PATIENCE / 2)
    finally:
        hanging.set()
        worker.close()
        story.close()


def test_what_was_done_beside_the_loops_and_a_nudge_have_it_look_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself it would look again in an hour."""
    story = Story(tmp_path)
    monkeypatch.setattr("headway.worker.IDLE_TICK", 3600.0)
    monkeypatch.setattr("headway.worker.BUSY_TICK", 3600.0)
    wake, stop, ticks = threading.Event(), threading.Event(), threading.Semaphore(0)
    worker = Worker(story.app, wake)
    monkeypatch.setattr(worker, "tick", lambda: ticks.release() or False)
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        assert ticks.acquire(timeout=PATIENCE)
        assert worker.background.run("collect", lambda: None)
        assert ticks.acquire(timeout=PATIENCE)
        wake.set()
        assert ticks.acquire(timeout=PATIENCE)
    finally:
        stop.set()
        wake.set()
        thread.join(PATIENCE)
        story.close()
    assert not thread.is_alive()


def test_the_server_nudges_its_child_through_the_pipe_and_is_not_held_up_by_a_dead_one() -> None:
    child = WorkerChild(Settings())
    child.nudge()  # there is none yet
    argv = [sys.executable, "-c", "import os; raise SystemExit(len(os.read(0, 9)))"]
    child._process = subprocess.Popen(argv, stdin=subprocess.PIPE)
    child.nudge()
    assert child._process.wait(PATIENCE) == 1
    child.nudge()
    assert child._process.stdin is not None
    child._process.stdin.close()
    child.nudge()
