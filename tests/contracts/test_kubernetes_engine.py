"""The Kubernetes engine keeps the promises of engines on a small cluster of processes; tests/kubernetes has pods."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.kubernetes_engine import KubernetesEngineContract
from fakes.small_cluster import SmallCluster, small_cluster


class TestOnASmallCluster(KubernetesEngineContract):
    @pytest.fixture
    def cluster(self, tmp_path: Path) -> Iterator[SmallCluster]:
        with small_cluster(tmp_path) as found:
            yield found
