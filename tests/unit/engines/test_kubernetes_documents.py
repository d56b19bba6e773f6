"""The Job and the Secret of an attempt: what must stand in them, and what must never."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from headway.engines.base import AttemptSpec, DoorSpec, Mount
from headway.engines.kubernetes.documents import job_document, job_name, secret_document
from headway.engines.kubernetes.options import Cache, KubernetesOptions
from headway.engines.kubernetes.pod_order import pod_command
from headway.environments.model import EnvKind, EnvSpec
from headway.errors import UsageError
from headway.projects.model import Resources

DIRECTORY = "/data/attempts/01ABC"
ENV = EnvSpec(digest="a" * 64, kind=EnvKind.REQUIREMENTS, python="3.11", files=("requirements.txt",))


def spec(**changes: Any) -> AttemptSpec:
    given: dict[str, Any] = {
        "id": "01ABC",
        "job_id": "job",
        "task": "train it",
        "number": 1,
        "nonce": "n",
        "directory": DIRECTORY,
        "argv": ("python", "train.py"),
        "cwd": f"{DIRECTORY}/work/models/flights",
        "env_path": "/headway/environments/main/envs/aa",
        "variables": {"DATABASE": "hunter2-secret"},
        "door": DoorSpec(server_file="/data/server.json", token="hw_token_secret", run_id="r", experiment_id="1"),
        "outputs": ("model",),
        "env": ENV,
    }
    return AttemptSpec(**{**given, **changes})


def options(**changes: Any) -> KubernetesOptions:
    return KubernetesOptions(**{"image": "headway:1", "server_url": "https://headway.example", **changes})


def job(attempt: AttemptSpec | None = None, *, environment_stands: bool = False, **changes: Any) -> dict[str, Any]:
    placed = {"namespace": "ml", "server": "s", "source_digest": "d" * 64}
    return job_document(attempt or spec(), options(**changes), environment_stands=environment_stands, **placed)


def pod_of(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["spec"]["template"]["spec"]
    return found


def test_the_name_is_the_attempts_and_a_pod_is_tried_once() -> None:
    document = job()
    assert document["metadata"]["name"] == job_name("01ABC") == "headway-01abc"
    assert (document["spec"]["backoffLimit"], document["spec"]["completions"]) == (0, 1)
    assert pod_of(document)["restartPolicy"] == "Never"


def test_no_secret_stands_in_the_job() -> None:
    text = json.dumps(job())
    assert "hunter2-secret" not in text
    assert "hw_token_secret" not in text
    secret = json.dumps(secret_document(spec(), options(), namespace="ml", server="s"))
    assert "hunter2-secret" in secret
    assert "hw_token_secret" in secret


def test_only_the_first_container_sees_the_order() -> None:
    pod = pod_of(job())
    containers = [*pod["initContainers"], *pod["containers"]]
    seeing = [each["name"] for each in containers if any(mount["name"] == "order" for mount in each["volumeMounts"])]
    assert seeing == ["source"]


def test_every_container_is_restricted() -> None:
    pod = pod_of(job())
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for each in [*pod["initContainers"], *pod["containers"]]:
        context = each["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
    for host in ("hostNetwork", "hostPID", "hostIPC"):
        assert host not in pod


def test_the_environment_is_writable_only_while_it_is_made() -> None:
    pod = pod_of(job(cache=Cache(claim="envs")))
    mounts = {
        each["name"]: next((m for m in each["volumeMounts"] if m["name"] == "environments"), None)
        for each in [*pod["initContainers"], *pod["containers"]]
    }
    assert mounts["source"] is None
    assert not (mounts["environment"] or {}).get("readOnly")
    assert (mounts["step"] or {})["readOnly"] is True
    volume = next(each for each in pod["volumes"] if each["name"] == "environments")
    assert volume["persistentVolumeClaim"] == {"claimName": "envs"}


def test_a_step_with_an_image_makes_no_environment() -> None:
    attempt = spec(image="registry/cuda:12", env_path="", env=None)
    pod = pod_of(job(attempt))
    assert [each["name"] for each in pod["initContainers"]] == ["source"]
    assert pod["containers"][0]["image"] == "registry/cuda:12"
    command = pod_command(attempt, options())
    assert command["keeps_image_environment"] is True
    assert "VIRTUAL_ENV" not in command["environment"]


def test_resources_are_asked_for_as_the_cluster_calls_them() -> None:
    asked = Resources(cpus=1.5, memory_mb=2048, accelerators="H100:2", disk_mb=500)
    pod = pod_of(job(spec(resources=asked), accelerators={"H100": "gpu.example/kind=H100"}))
    resources = pod["containers"][0]["resources"]
    assert resources["requests"] == {"memory": "2112Mi", "cpu": "1500m"}
    assert resources["limits"] == {"memory": "2112Mi", "cpu": "1500m", "nvidia.com/gpu": "2"}
    assert pod["nodeSelector"] == {"gpu.example/kind": "H100"}
    attempt = next(each for each in pod["volumes"] if each["name"] == "attempt")
    assert attempt["emptyDir"] == {"sizeLimit": "2024Mi"}


def test_an_accelerator_that_the_operator_does_not_name_is_refused() -> None:
    with pytest.raises(UsageError, match="H200"):
        job(spec(resources=Resources(accelerators="H200:1")), accelerators={"H100": "a=b"})
    with pytest.raises(UsageError, match="no number"):
        job(spec(resources=Resources(accelerators="H100:many")))


def test_the_backstop_is_later_than_the_steps_own_timeout() -> None:
    assert "activeDeadlineSeconds" not in job()["spec"]
    document = job(spec(timeout=timedelta(hours=2)))
    assert document["spec"]["activeDeadlineSeconds"] > 7200 + 3600


def test_volumes_are_claims_and_read_only_unless_said_otherwise() -> None:
    mounts = (
        Mount(name="data", claim="flights", path="/data"),
        Mount(name="out", claim="o", path="/o", read_only=False),
    )
    pod = pod_of(job(spec(volumes=mounts)))
    claims = [each["persistentVolumeClaim"] for each in pod["volumes"] if each["name"].startswith("volume-")]
    assert claims == [{"claimName": "flights", "readOnly": True}, {"claimName": "o", "readOnly": False}]
    assert [m["mountPath"] for m in pod["containers"][0]["volumeMounts"]][-2:] == ["/data", "/o"]


def test_the_order_has_the_pods_paths_and_none_of_the_servers() -> None:
    command = pod_command(spec(), options())
    assert DIRECTORY not in json.dumps(command)
    assert command["cwd"] == "/headway/attempt/work/models/flights"
    assert command["door"]["server_file"] == "/headway/attempt/server.json"
    assert command["environment"]["HOME"] == "/headway/attempt/home"
    assert (command["isolation"], command["wrap"], command["is_pod"]) == (3, None, True)


def test_data_of_one_machine_is_refused_unless_a_volume_is_there() -> None:
    with pytest.raises(UsageError, match="/data/flights"):
        pod_command(spec(readable=("/data/flights",)), options())
    mount = Mount(name="data", claim="flights", path="/data")
    assert pod_command(spec(readable=("/data/flights",), volumes=(mount,)), options())


def test_a_folder_outside_of_the_work_folder_is_refused() -> None:
    with pytest.raises(UsageError, match="not inside"):
        pod_command(spec(cwd=f"{DIRECTORY}/work/../../other"), options())


def test_network_and_tier_are_labels_that_policies_select_on() -> None:
    labels = job(spec(network=False, tier=0))["spec"]["template"]["metadata"]["labels"]
    assert (labels["headway.dev/network"], labels["headway.dev/tier"]) == ("none", "fork")
    assert labels["headway.dev/step"] == "train-it"


# --- a pod of one container ------------------------------------------------------------------------


def test_nothing_comes_before_the_step_where_nothing_is_to_be_made() -> None:
    for document in (job(environment_stands=True), job(spec(env=None))):
        pod = pod_of(document)
        (step,) = pod["containers"]
        assert pod["initContainers"] == []
        assert not {"order", "inside", "scratch"} & {each["name"] for each in pod["volumes"]}
        given = {each["name"]: each.get("value", "") for each in step["env"]}
        assert given["HEADWAY_POD_SOURCE"] == "d" * 64
        assert given["HEADWAY_POD_SERVER"] == "https://headway.example"


def test_a_single_container_has_the_order_as_variables_from_the_secret_and_from_nowhere_else() -> None:
    (step,) = pod_of(job(environment_stands=True, index_secret="index", index_variables={"UV_INDEX": "i"}))[
        "containers"
    ]
    named = {each["name"]: each["valueFrom"]["secretKeyRef"] for each in step["env"] if "secretKeyRef" in str(each)}
    assert named == {
        "HEADWAY_POD_COMMAND": {"name": "headway-01abc", "key": "command.json"},
        "HEADWAY_POD_TOKEN": {"name": "headway-01abc", "key": "token"},
    }
    assert "envFrom" not in step
    assert "UV_INDEX" not in json.dumps(step)
    cache = next(each for each in step["volumeMounts"] if each["name"] == "environments")
    assert cache["readOnly"] is True


def test_an_order_that_no_variable_holds_is_fetched_by_a_container_before() -> None:
    long = spec(env=None, variables={"LONG": "x" * (100 << 10)})
    assert [each["name"] for each in pod_of(job(long))["initContainers"]] == ["source"]


def test_an_image_of_ones_own_gets_the_supervisor_from_a_container_before() -> None:
    pod = pod_of(job(spec(image="registry/cuda:12", env_path="", env=None), environment_stands=True))
    (source,) = pod["initContainers"]
    assert {"name": "inside", "mountPath": "/headway/inside"} in source["volumeMounts"]
    assert pod["containers"][0]["command"] == ["python3", "-I", "-S", "/headway/inside/pod.py"]


def test_the_code_begins_only_where_its_environment_is_whole() -> None:
    assert pod_command(spec(), options())["stands"] == "/headway/environments/main/envs/aa/headway.json"
    assert pod_command(spec(env=None), options())["stands"] == ""
