"""The real API server answers as Headway expects, and as its fake does."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.kube import KubeContract
from fakes.kubernetes_node import Node
from headway.kube import Cluster, Kube, open_kube


class TestRealApi(KubeContract):
    @pytest.fixture
    def kube(self, node: Node) -> Kube:
        self.node = node
        return open_kube(Cluster(kubeconfig=str(node.kubeconfig)))

    @pytest.fixture
    def namespace(self, namespace: str) -> str:
        return namespace

    def forget(self, kube: Any, namespace: str) -> None:
        """A server that was started again knows nothing of what was before it."""
        with self.node.without("apiserver"):
            pass
