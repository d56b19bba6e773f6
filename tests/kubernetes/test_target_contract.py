"""Endpoints in a real cluster keep the promises of a target."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.target import NAME, TargetContract
from fakes.endpoint_pods import PodWorld, pod_world
from fakes.kubernetes_node import Node
from headway.serving.kubernetes.target import KubernetesTarget
from headway.serving.model import Deployment, Route


class TestKubernetesTarget(TargetContract):
    @pytest.fixture(autouse=True)
    def world(self, tmp_path: Path, node: Node, namespace: str) -> Iterator[PodWorld]:
        with pod_world(tmp_path / "data", node, namespace) as self.around:
            yield self.around

    @pytest.fixture
    def target(self, world: PodWorld) -> Iterator[KubernetesTarget]:
        target = world.target()
        yield target
        target.remove(NAME)
        target.close()

    def good(self, version: int, weight: int = 100) -> Route:
        return self.around.route(version, weight)

    def bad(self, version: int, weight: int = 100) -> Route:
        return self.around.route(version, weight, load="fails")

    def wanted(self, *routes: Route, revision: int = 1) -> Deployment:
        return self.around.wanted(*routes, revision=revision)

    def restarted(self, target: KubernetesTarget) -> KubernetesTarget:
        return self.around.target()
