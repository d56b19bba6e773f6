"""The local engine keeps the promises of engines, with real processes, in and out of a sandbox."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from contracts.engine import EngineContract
from headway.engines.base import AttemptSpec, Isolation
from headway.engines.local import LocalEngine
from headway.ids import new_id
from headway.sandbox.isolation import IsolationReport, probe_isolation

_CODE = {
    "prints": "print('one'); print('two')",
    "fails": "import sys; sys.exit(3)",
    "hangs": "import time; time.sleep(600)",
    "counts": "open('runs', 'a').write('x')",
}


class LocalEngineContract(EngineContract):
    report: IsolationReport

    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[LocalEngine]:
        root = tmp_path / "attempts"
        root.mkdir()
        engine = LocalEngine(root, isolation=self.isolation(tmp_path))
        self.root = root
        yield engine
        for handle in engine.handles():
            engine.stop(handle)

    def isolation(self, tmp_path: Path) -> IsolationReport:
        raise NotImplementedError

    def spec(self, engine: Any, program: str, **changes: Any) -> AttemptSpec:
        name = new_id()
        (self.root / name / "work").mkdir(parents=True)
        given = {
            "id": name,
            "job_id": "job",
            "task": program,
            "number": 1,
            "nonce": name,
            "grace": timedelta(seconds=5),
            **changes,
        }
        argv = ("python", "-I", "-S", "-c", _CODE[program])
        return AttemptSpec(directory=str(self.root / name), argv=argv, cwd="", env_path=sys.prefix, **given)

    def reopened(self, engine: Any) -> Any:
        return LocalEngine(self.root, isolation=engine._isolation)

    def runs_of(self, engine: Any, spec: AttemptSpec) -> int:
        return len((Path(spec.directory) / "work" / "runs").read_text())


class TestWithoutSandbox(LocalEngineContract):
    def isolation(self, tmp_path: Path) -> IsolationReport:
        return IsolationReport(level=0)


class TestInSandbox(LocalEngineContract):
    def isolation(self, tmp_path: Path) -> IsolationReport:
        report = probe_isolation(tmp_path / "probe")
        if report.level < Isolation.L2:
            pytest.skip("; ".join(report.reasons))
        return report
