"""The fake API server answers as a real one does, as far as Headway asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.kube import KubeContract
from fakes.kubernetes_api import KubernetesApi
from headway.kube import Cluster, Kube, open_kube


class TestFakeApi(KubeContract):
    @pytest.fixture
    def api(self) -> Iterator[KubernetesApi]:
        api = KubernetesApi()
        api.start()
        yield api
        api.stop()

    @pytest.fixture
    def namespace(self) -> str:
        return "default"

    @pytest.fixture
    def kube(self, api: KubernetesApi, tmp_path: Path) -> Kube:
        self.api = api
        return open_kube(Cluster(kubeconfig=str(api.kubeconfig(tmp_path))))

    def forget(self, kube: Any, namespace: str) -> None:
        self.api.compact()
