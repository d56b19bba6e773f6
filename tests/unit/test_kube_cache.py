"""The watch of a namespace: what it does where the cluster, or something before it, ends every watch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.kubernetes_api import KubernetesApi
from headway.kube import Cluster, open_kube
from headway.kube_cache import Watched


@pytest.fixture
def api() -> Iterator[KubernetesApi]:
    found = KubernetesApi()
    found.start()
    yield found
    found.stop()


@pytest.mark.parametrize("trouble", ["gap", "end"])
def test_watches_that_end_at_once_are_no_storm_of_lists(api: KubernetesApi, tmp_path: Path, trouble: str) -> None:
    api.oldest = 10**9 if trouble == "gap" else 0
    kube = open_kube(Cluster(kubeconfig=str(api.kubeconfig(tmp_path))), read_seconds=2.0)
    watched = Watched(kube, "Job", namespace="default", labels="", seconds=0)
    watched.start()
    deadline = time.monotonic() + 60
    while len(api.log) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert watched.is_listed
    time.sleep(2)
    asked = len(api.log)
    watched.stop()
    assert asked < 16  # as many as it may send, they would be forty
