"""What a cluster's operator allows, and what code from a fork never gets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headway.data.model import Place
from headway.engines.base import Mount
from headway.environments.model import Tier
from headway.errors import HeadwayError, Refused, UsageError
from headway.flow.cluster_rules import check_cluster, mounts_of, pin_in_volumes
from headway.projects.model import DataSpec, EngineSpec, ProjectSpec, StepSpec, VolumeSpec
from headway.settings import AllowedVolume, KubernetesSettings, Settings

CLUSTER = KubernetesSettings(
    namespaces=("ml", "churn"),
    image="headway:1",
    server_url="http://10.0.0.1:7474",
    images=("registry.example/ml/*",),
    volumes=(
        AllowedVolume(name="data", claim="ml-data", read_only=True),
        AllowedVolume(name="scratch", claim="ml-scratch"),
    ),
)
STEP = StepSpec(name="train", run="python train.py")
PROJECT = ProjectSpec(name="p", root="", steps=(STEP,), engine=EngineSpec(type="kubernetes"))
DATA, SCRATCH = VolumeSpec(name="data", path="/data"), VolumeSpec(name="scratch", path="/s", read_only=False)


def app(cluster: KubernetesSettings = CLUSTER) -> Any:
    return SimpleNamespace(settings=Settings(data=Path("/nowhere"), kubernetes=cluster))


def project(**step: Any) -> ProjectSpec:
    return replace(PROJECT, steps=(replace(STEP, **step),))


@pytest.mark.parametrize("tier", Tier)
def test_what_the_operator_allows_goes_through(tier: Tier) -> None:
    check_cluster(app(), PROJECT, tier)
    check_cluster(app(), replace(PROJECT, engine=EngineSpec(type="kubernetes", namespace="churn")), tier)
    check_cluster(app(), project(image="registry.example/ml/torch:2.4"), tier)


def test_volumes_become_claims() -> None:
    check_cluster(app(), project(volumes=(DATA, SCRATCH)), Tier.CHANGE)
    assert mounts_of(app(), "train", (DATA, SCRATCH), Tier.MAIN) == (
        Mount(name="data", claim="ml-data", path="/data", read_only=True),
        Mount(name="scratch", claim="ml-scratch", path="/s", read_only=False),
    )


@pytest.mark.parametrize("volume", [DATA, SCRATCH])
def test_code_from_a_fork_gets_no_volume_at_all(volume: VolumeSpec) -> None:
    for call in (
        lambda: check_cluster(app(), project(volumes=(volume,)), Tier.FORK),
        lambda: mounts_of(app(), "train", (volume,), Tier.FORK),
    ):
        with pytest.raises(Refused, match="which code from a fork does not get") as caught:
            call()
        assert caught.value.hint


@pytest.mark.parametrize("tier", Tier)
@pytest.mark.parametrize(
    "asked",
    [
        replace(PROJECT, engine=EngineSpec(type="kubernetes", namespace="kube-system")),
        project(image="docker.io/library/python:3.12"),
        project(image="registry.example/mlx/torch"),
        project(volumes=(VolumeSpec(name="ml-data", path="/data"),)),
        project(volumes=(replace(DATA, read_only=False),)),
    ],
)
def test_what_the_operator_does_not_name_is_refused_to_everybody(asked: ProjectSpec, tier: Tier) -> None:
    with pytest.raises(Refused) as caught:
        check_cluster(app(), asked, tier)
    assert caught.value.cause
    assert caught.value.hint


@pytest.mark.parametrize("asked", [{"image": "registry.example/ml/torch"}, {"volumes": (DATA,)}])
def test_on_the_servers_own_machine_there_is_neither(asked: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="runs on the server's own machine"):
        check_cluster(app(), replace(project(**asked), engine=EngineSpec()), Tier.MAIN)


def test_without_a_cluster_the_engine_itself_says_so() -> None:
    check_cluster(app(KubernetesSettings()), project(image="anything"), Tier.MAIN)


def test_data_in_a_volume_is_used_and_never_taken_for_hashed() -> None:
    mounted = project(volumes=(DATA,))
    for uri in ("/data/rows.csv", "/data"):
        pin = pin_in_volumes(mounted, DataSpec(name="rows", uri=uri))
        assert pin is not None
        assert (pin.uri, pin.place, pin.is_hashed) == (uri, Place.LOCAL, False)
    for uri in ("rows.csv", "s3://bucket/rows.csv"):
        assert pin_in_volumes(mounted, DataSpec(name="rows", uri=uri)) is None


@pytest.mark.parametrize(
    "uri", ["/etc/passwd", "/database/rows", "~/rows.csv", "file:///srv/rows", "/data/../etc/passwd"]
)
def test_a_path_of_the_servers_machine_is_nothing_in_a_pod(uri: str) -> None:
    with pytest.raises(HeadwayError, match="is a path of the server's machine") as caught:
        pin_in_volumes(project(volumes=(DATA,)), DataSpec(name="rows", uri=uri))
    assert "mount a volume" in caught.value.hint
