"""A login that cannot be had is said as such, and not as a cluster that does not answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headway.kube import Cluster, open_kube
from headway.kube_errors import ClusterRefused, Why


def test_a_login_by_a_program_of_a_version_that_is_not_taken(tmp_path: Path) -> None:
    program = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/false", "interactiveMode": "Never"}
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"exec": program}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }  # fmt: skip
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    kube = open_kube(Cluster(kubeconfig=str(path)))
    with pytest.raises(ClusterRefused, match="no login") as refused:
        kube.version()
    assert refused.value.why is Why.LOGIN
    assert "client.authentication.k8s.io/v1" in refused.value.cause
    with pytest.raises(ClusterRefused, match="no login"):
        list(kube.watch("Job", namespace="default", version="1", seconds=1))
    kube.close()
