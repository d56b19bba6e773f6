"""What takes long in one loop of the worker holds up no other."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from fakes.story import Story
from headway.flow import deliver, intake, release, run_jobs
from headway.flow.background import Background
from headway.worker import Worker

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
