"""What the Kubernetes engine promises beside what every engine does; run on a small cluster and on a real node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contracts.engine import EngineContract
from headway.engines.base import AttemptSpec, Lost
from headway.engines.kubernetes.engine import KubernetesEngine
from headway.errors import Refused

_CODE = {
    "prints": "print('one'); print('two')",
    "fails": "import sys; sys.exit(3)",
    "hangs": "import time; time.sleep(600)",
    "counts": "open('runs', 'a').write('x')",
}


class KubernetesEngineContract(EngineContract):
    """Subclasses give `cluster`, which makes engines and specs."""

    pods: Any

    @pytest.fixture
    def cluster(self) -> Any:
        raise NotImplementedError

    @pytest.fixture
    def engine(self, cluster: Any) -> KubernetesEngine:
        self.pods = cluster
        found: KubernetesEngine = cluster.engine()
        return found

    def spec(self, engine: Any, program: str, **changes: Any) -> AttemptSpec:
        outputs = ("runs",) if program == "counts" else ()
        found: AttemptSpec = self.pods.spec(_CODE[program], task=program, outputs=outputs, **changes)
        return found

    def reopened(self, engine: Any) -> Any:
        return self.pods.engine()

    def runs_of(self, engine: Any, spec: AttemptSpec) -> int:
        return len((Path(spec.directory) / "out" / "runs").read_text())

    def test_too_little_isolation_is_refused_and_leaves_nothing_behind(self, engine: Any) -> None:
        """A pod gives the highest level; what it may not give by itself is a network that is cut."""
        spec = self.spec(engine, "counts", network=False)
        with pytest.raises(Refused, match="network") as refusal:
            engine.start(spec)
        assert refusal.value.hint
        assert spec.id not in engine.handles()
        assert isinstance(engine.observe(spec.id), Lost)
