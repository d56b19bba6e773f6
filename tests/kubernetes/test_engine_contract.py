"""The Kubernetes engine keeps the promises of engines, with real pods on a real node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.kubernetes_engine import KubernetesEngineContract
from fakes.kubernetes_node import Node
from fakes.pod_attempts import PodAttempts, pod_attempts


class TestOnARealNode(KubernetesEngineContract):
    @pytest.fixture
    def cluster(self, tmp_path: Path, node: Node, namespace: str) -> Iterator[PodAttempts]:
        with pod_attempts(tmp_path, node, namespace) as found:
            yield found
