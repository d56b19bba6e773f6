"""What is known of the environments in the cluster's cache, and what a pod does that counted on one in vain."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from contracts.engine import wait_for_end
from fakes.small_cluster import SmallCluster, small_cluster
from headway.engines.base import AttemptSpec, Exited, Lost
from headway.engines.kubernetes.documents import job_name
from headway.engines.kubernetes.engine import KubernetesEngine
from headway.engines.kubernetes.options import Cache
from headway.engines.kubernetes.standing import Place, Standing
from headway.environments.model import EnvKind, EnvSpec

PLACE = Place(namespace="ml", tier=2, digest="a" * 64)
OTHER = Place(namespace="else", tier=2, digest="a" * 64)


def test_a_claim_is_the_same_on_every_node() -> None:
    standing = Standing(Cache(claim="envs"))
    assert not standing.has(PLACE)
    standing.note(PLACE, "n1")
    standing.note(OTHER, "n2")
    assert standing.has(PLACE)
    standing.forget(PLACE)
    assert not standing.has(PLACE)
    assert standing.has(OTHER)


def test_a_folder_of_the_nodes_counts_where_every_known_node_has_it() -> None:
    standing = Standing(Cache(host_path="/cache"))
    standing.note(PLACE, "n1")
    assert standing.has(PLACE)
    standing.note(OTHER, "n2")
    assert not standing.has(PLACE)
    standing.note(PLACE, "n2")
    assert standing.has(PLACE)


def test_without_a_cache_nothing_stands() -> None:
    standing = Standing(Cache())
    standing.note(PLACE, "n1")
    assert not standing.has(PLACE)


def test_after_half_a_day_a_pod_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    standing = Standing(Cache(claim="envs"))
    standing.note(PLACE, "n1")
    monkeypatch.setattr("headway.engines.kubernetes.standing._TRUSTED_SECONDS", -1.0)
    assert not standing.has(PLACE)


# --- pods ------------------------------------------------------------------------------------------


def _attempt(cluster: SmallCluster) -> AttemptSpec:
    digest = "b" * 64
    env = EnvSpec(digest=digest, kind=EnvKind.NONE, python="3.11", files=())
    path = f"/headway/environments/main/envs/{digest}"
    return cluster.spec("print('ran')", env=env, env_path=path, argv=("python", "main.py"))


def _containers(cluster: SmallCluster, handle: str) -> list[str]:
    job = cluster.api.get("jobs", "default", job_name(handle))
    assert job is not None
    pod = job["spec"]["template"]["spec"]
    return [each["name"] for each in (*pod["initContainers"], *pod["containers"])]


def _run(cluster: SmallCluster, engine: KubernetesEngine) -> tuple[list[str], Exited | Lost]:
    handle = engine.start(_attempt(cluster))
    end = wait_for_end(engine, handle)
    return _containers(cluster, handle), end


def test_the_second_pod_counts_on_what_the_first_made_and_one_that_finds_nothing_is_tried_again(
    tmp_path: Path,
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    with small_cluster(tmp_path) as cluster:
        engine = cluster.engine(cache=Cache(host_path=str(cache)))
        made, end = _run(cluster, engine)
        assert isinstance(end, Exited)
        assert (end.exit_code, end.reason) == (0, "")
        assert made == ["source", "environment", "step"]
        found, end = _run(cluster, engine)
        assert isinstance(end, Exited)
        assert (end.exit_code, end.reason) == (0, "")
        assert found == ["step"]
        for each in cache.iterdir():
            shutil.rmtree(each)
        vain, end = _run(cluster, engine)
        assert vain == ["step"]
        assert isinstance(end, Lost)  # so that the flow tries again without asking anybody
        assert "environment is not in the cache" in end.why
        made, end = _run(cluster, engine)
        assert isinstance(end, Exited)
        assert (end.exit_code, end.reason) == (0, "")
        assert made == ["source", "environment", "step"]
