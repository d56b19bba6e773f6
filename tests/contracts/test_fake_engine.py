"""The fake engine keeps the promises of engines, and does what it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contracts.engine import EngineContract, wait_for_end
from fakes.engine import FakeEngine
from headway.engines.base import AttemptSpec, Exited, Lost
from headway.ids import new_id


class TestFakeEngine(EngineContract):
    @pytest.fixture
    def engine(self, tmp_path: Path) -> FakeEngine:
        self.root = tmp_path
        self.runs: list[str] = []
        fake = FakeEngine()
        fake.script("prints", lines=("one", "two"))
        fake.script("fails", exit_code=3)
        fake.script("hangs", hangs=True)
        fake.script("counts", starting=1, does=lambda spec: self.runs.append(spec.id))
        return fake

    def spec(self, engine: Any, program: str, **changes: Any) -> AttemptSpec:
        name = new_id()
        (self.root / name / "work").mkdir(parents=True)
        given = {"id": name, "job_id": "job", "task": program, "number": 1, "nonce": name, **changes}
        return AttemptSpec(directory=str(self.root / name), argv=(program,), cwd="", env_path="/env", **given)

    def reopened(self, engine: Any) -> Any:
        return engine

    def runs_of(self, engine: Any, spec: AttemptSpec) -> int:
        return self.runs.count(spec.id)

    def test_it_loses_what_it_is_told_to_lose_and_nothing_else(self, engine: Any) -> None:
        engine.lose("train", attempt=1)
        first, second = (self.spec(engine, "train", number=number) for number in (1, 2))
        assert isinstance(wait_for_end(engine, engine.start(first)), Lost)
        assert isinstance(wait_for_end(engine, engine.start(second)), Exited)

    def test_it_leaves_files_behind(self, engine: Any, tmp_path: Path) -> None:
        engine.script("train", writes={"out/metrics.json": b"{}"})
        spec = self.spec(engine, "train")
        wait_for_end(engine, engine.start(spec))
        assert (tmp_path / spec.id / "out" / "metrics.json").read_bytes() == b"{}"
