from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from headway.errors import UsageError
from headway.settings import AllowedVolume, KubernetesSettings, Settings


def test_without_any_variable_the_defaults_hold():
    assert Settings.from_environment({}) == Settings()


def test_every_field_is_read_from_its_variable():
    texts = {"int": "17", "Path": "/srv/headway", "str": "word"}
    plain = [each for each in fields(Settings) if each.name != "kubernetes"]
    read = Settings.from_environment({f"HEADWAY_{each.name.upper()}": texts[each.type] for each in plain})
    for each in plain:
        assert str(getattr(read, each.name)) == texts[each.type]


CLUSTER = {
    "namespaces": ("ml, churn", ("ml", "churn")),
    "image": ("registry.example/headway:1", "registry.example/headway:1"),
    "server_url": ("https://headway.example/", "https://headway.example/"),
    "kubeconfig": ("/etc/headway/kubeconfig", "/etc/headway/kubeconfig"),
    "context": ("prod", "prod"),
    "slots": ("7", 7),
    "images": ("registry.example/ml/*,python:3.11-*", ("registry.example/ml/*", "python:3.11-*")),
    "volumes": (
        "data=ml-data:ro, scratch",
        (
            AllowedVolume(name="data", claim="ml-data", read_only=True),
            AllowedVolume(name="scratch", claim="scratch"),
        ),
    ),
    "cache": ("claim:environments", "claim:environments"),
    "index_url": ("https://index.example/simple", "https://index.example/simple"),
    "index_secret": ("index-login", "index-login"),
    "proxy": ("http://proxy:3128", "http://proxy:3128"),
    "no_proxy": ("10.0.0.1,.svc", "10.0.0.1,.svc"),
    "pull_policy": ("Never", "Never"),
    "pull_secret": ("registry-login", "registry-login"),
    "runtime_class": ("gvisor", "gvisor"),
    "node_selector": ("pool=ml", ("pool=ml",)),
    "accelerators": (
        "H100=nvidia.com/gpu.product=NVIDIA-H100",
        ("H100=nvidia.com/gpu.product=NVIDIA-H100",),
    ),
    "accelerator_resource": ("amd.com/gpu", "amd.com/gpu"),
    "enforces_network": ("true", True),
    "step_memory_mb": ("512", 512),
    "pending_minutes": ("5", 5),
    "predictions_gb": ("9", 9),
}


def test_every_setting_of_a_cluster_is_read_and_written_back():
    assert set(CLUSTER) == {each.name for each in fields(KubernetesSettings)}
    given = {f"HEADWAY_KUBERNETES_{name.upper()}": text for name, (text, _) in CLUSTER.items()}
    read = Settings.from_environment(given)
    assert read.kubernetes == KubernetesSettings(**{name: value for name, (_, value) in CLUSTER.items()})
    assert read.kubernetes.is_set_up
    assert Settings.from_environment(read.as_environment()) == read


SMALL = {"namespaces": ("ml",), "image": "headway:1", "server_url": "http://10.0.0.1:7474"}


@pytest.mark.parametrize(
    ("field", "text", "says"),
    [
        ("NAMESPACES", "ML", "'ML' is no name that Kubernetes takes"),
        ("NAMESPACES", "ml,kube_system", "'kube_system' is no name"),
        ("IMAGE", "", "HEADWAY_KUBERNETES_IMAGE must be set, too"),
        ("SERVER_URL", "", "HEADWAY_KUBERNETES_SERVER_URL must be set, too"),
        ("SERVER_URL", "headway.example", "is no http:// or https:// address"),
        ("SERVER_URL", "http://user:word@host", "is no http:// or https:// address"),
        ("SERVER_URL", "http://host:99999", "is no http:// or https:// address"),
        ("CACHE", "host:relative", "is neither `empty`"),
        ("CACHE", "host:/a/../etc", "is neither `empty`"),
        ("CACHE", "claim:Not A Claim", "is neither `empty`"),
        ("IMAGES", "registry.example/*,*", "'*' would take every image"),
        ("VOLUMES", "data=Claim", "'Claim' is no name that Kubernetes takes"),
        ("VOLUMES", "a=b,a=c", "is there twice"),
        ("VOLUMES", "=b", "is no NAME=CLAIM"),
        ("PULL_POLICY", "Sometimes", "is none of Always"),
        ("NODE_SELECTOR", "pool", "is not LABEL=VALUE"),
        ("ACCELERATORS", "H100=label", "is not NAME=LABEL=VALUE"),
        ("ENFORCES_NETWORK", "perhaps", "is neither true nor false"),
        ("SLOTS", "0", "it must be at least 1"),
        ("SLOTS", "many", "is not a whole number"),
        ("INDEX_SECRET", "a/b", "'a/b' is no name"),
    ],
)
def test_a_wrong_setting_of_a_cluster_is_said_at_the_door(field, text, says):
    good = {"NAMESPACES": "ml", "IMAGE": "headway:1", "SERVER_URL": "http://10.0.0.1:7474"}
    given = {f"HEADWAY_KUBERNETES_{name}": value for name, value in {**good, field: text}.items()}
    with pytest.raises(UsageError) as caught:
        Settings.from_environment(given)
    assert f"HEADWAY_KUBERNETES_{field}" in caught.value.message
    assert says in caught.value.message
    assert caught.value.hint


def test_without_namespaces_there_is_no_cluster():
    assert not Settings.from_environment({"HEADWAY_KUBERNETES_IMAGE": "headway:1"}).kubernetes.is_set_up
    assert KubernetesSettings(**SMALL).is_set_up


def test_only_what_the_operator_names_may_be_run_and_mounted():
    cluster = KubernetesSettings(
        **SMALL,
        images=("registry.example/ml/*", "python:3.11"),
        volumes=(AllowedVolume(name="data", claim="ml-data"),),
    )
    assert cluster.allows_image("registry.example/ml/torch:2.4")
    assert cluster.allows_image("python:3.11")
    for image in ("python:3.11-slim", "evil.example/registry.example/ml/x", "registry.example/mlx", "PYTHON:3.11", ""):
        assert not cluster.allows_image(image), image
    assert cluster.volume("data") is not None
    assert cluster.volume("ml-data") is None
    assert not KubernetesSettings(**SMALL).allows_image("python:3.11")


def test_an_empty_variable_is_none():
    assert Settings.from_environment({"HEADWAY_PORT": "", "HEADWAY_DATA": ""}) == Settings()


def test_the_home_folder_is_found():
    assert Settings.from_environment({"HEADWAY_DATA": "~/data"}).data == Path.home() / "data"


@pytest.mark.parametrize("text", ["ten", "1.5", "0x10", "1 2"])
def test_a_number_that_is_none_names_the_variable(text):
    with pytest.raises(UsageError) as caught:
        Settings.from_environment({"HEADWAY_PORT": text})
    assert "HEADWAY_PORT" in caught.value.message
    assert text in caught.value.message
    assert caught.value.exit_code == 2


def test_the_database_is_sqlite_in_the_data_directory_unless_another_is_named():
    assert Settings(data=Path("/srv/x")).database_url == "sqlite:////srv/x/headway.db"
    assert Settings(database="postgresql+psycopg://h/d").database_url == "postgresql+psycopg://h/d"


def test_settings_do_not_change_while_the_server_runs():
    with pytest.raises(FrozenInstanceError):
        Settings().port = 1


def test_the_worker_reads_exactly_what_the_server_was_given():
    given = Settings(data=Path("/srv/x"), port=0, isolation=2, public_url="https://headway.example", slots=7)
    assert Settings.from_environment(given.as_environment()) == given
