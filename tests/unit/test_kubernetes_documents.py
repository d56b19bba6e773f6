"""Everything that we send to a cluster, or give to be sent, is what newer versions take, and restricted.

No such version is run here: the real node of tests/kubernetes is 1.20. This is what their own schemas say.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from ruamel.yaml import YAML

from fakes.kubernetes_rules import VERSIONS, restricted_problems, schema_problems
from headway.cli import kubernetes as cli
from headway.engines.base import AttemptSpec, DoorSpec, Mount
from headway.engines.kubernetes.documents import job_document, secret_document
from headway.engines.kubernetes.options import Cache, KubernetesOptions
from headway.environments.model import EnvKind, EnvSpec
from headway.projects.model import DeploySpec, Resources
from headway.serving.kubernetes.objects import budget, service, token_secret, workload
from headway.serving.kubernetes.options import PodSettings
from headway.serving.model import Deployment, Route

ENV = EnvSpec(digest="e" * 64, kind=EnvKind.UV_LOCK, python="3.11", files=("uv.lock", "pyproject.toml"))
ATTEMPT = AttemptSpec(
    id="01J9ZZZZZZZZZZZZZZZZZZZZZZ",
    job_id="job",
    task="train model",
    number=1,
    nonce="n",
    directory="/data/attempts/01J9ZZZZZZZZZZZZZZZZZZZZZZ",
    argv=("python", "train.py"),
    cwd="/data/attempts/01J9ZZZZZZZZZZZZZZZZZZZZZZ/work",
    env_path="/headway/environments/main/envs/" + "e" * 64,
    variables={"A": "b"},
    env=ENV,
)
ATTEMPTS = {
    "plain": ATTEMPT,
    "everything": replace(
        ATTEMPT,
        resources=Resources(cpus=2.5, memory_mb=4096, accelerators="H100:2", disk_mb=1000),
        timeout=timedelta(hours=2),
        network=False,
        tier=0,
        volumes=(Mount(name="data", claim="data", path="/data", read_only=True),),
        outputs=("model",),
        door=DoorSpec(server_file="/s", token="t", run_id="r", experiment_id="1"),
    ),
    "own image": replace(ATTEMPT, image="registry.example.com/own:1", env=None, env_path=""),
}
OPTIONS = {
    "plain": KubernetesOptions(image="r/h:1", server_url="http://10.0.0.1:7474", namespace="jobs"),
    "everything": KubernetesOptions(
        image="r/h:1",
        server_url="http://10.0.0.1:7474",
        namespace="jobs",
        cache=Cache(claim="environments"),
        index_variables={"UV_DEFAULT_INDEX": "http://index/simple"},
        index_secret="index",
        pull_secret="pull",
        runtime_class="gvisor",
        node_selector={"pool": "training"},
        accelerators={"H100": "gpu=h100"},
        step_memory_mb=2048,
    ),
}
ROUTE = Route(model="m", version=1, weight=100, source="/m", digest="d" * 64, env_path="/e/" + "e" * 64)
DEPLOYMENT = Deployment(
    name="Flights_EU-production",
    project="flights",
    environment="production",
    target="kubernetes",
    routes=(ROUTE,),
    revision=3,
    spec=DeploySpec(target="kubernetes"),
)
BIG = DeploySpec(
    target="kubernetes",
    replicas_min=3,
    resources=Resources(cpus=0.5, memory_mb=2048, accelerators="H100:1"),
)
PODS = {
    "plain": PodSettings(image="r/h:1", server_url="http://10.0.0.1:7474", namespaces=("jobs",)),
    "everything": PodSettings(
        image="r/h:1",
        server_url="http://10.0.0.1:7474",
        namespaces=("jobs",),
        cache="claim:environments",
        variables={"HTTPS_PROXY": "http://10.0.0.2:3128"},
        index_secret="index",
        pull_secret="pull",
        runtime_class="gvisor",
        node_selector={"pool": "serving"},
        accelerators={"H100": "gpu=h100"},
    ),
}


def generated() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every kind of document that the engine and the target make."""
    for kind, options in OPTIONS.items():
        for name, spec in ATTEMPTS.items():
            if name == "everything" and kind == "plain":
                spec = replace(spec, resources=replace(spec.resources, accelerators=None))  # noqa: PLW2901  # no such nodes
            given = {"namespace": "jobs", "server": "s"}
            yield f"job {name} {kind}", job_document(spec, options, source_digest="a" * 64, **given)
            yield f"order {name} {kind}", secret_document(spec, options, **given)
    for kind, settings in PODS.items():
        for name, wanted in (("plain", DEPLOYMENT), ("big", replace(DEPLOYMENT, spec=BIG))):
            yield f"endpoint {name} {kind}", workload(wanted, "jobs", settings)
    yield "service", service(DEPLOYMENT.name, "jobs")
    yield "budget", budget(DEPLOYMENT.name, "jobs")
    yield "token", token_secret(DEPLOYMENT.name, "jobs", "t")


def written() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every document of deploy/kubernetes, as the verb prints it."""
    for part in cli.PARTS:
        for number, document in enumerate(YAML(typ="safe").load_all(cli.document(part))):
            yield f"{part} {number} {document['kind']}", document


GENERATED, WRITTEN = dict(generated()), dict(written())
PODS_OF = {
    name: document["spec"]["template"]["spec"]
    for name, document in {**GENERATED, **WRITTEN}.items()
    if "template" in document.get("spec", {})
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", [*GENERATED, *WRITTEN])
def test_every_document_is_what_the_version_takes(name: str, version: str) -> None:
    assert schema_problems({**GENERATED, **WRITTEN}[name], version) == []


@pytest.mark.parametrize("name", PODS_OF)
def test_every_pod_is_restricted(name: str) -> None:
    assert restricted_problems(PODS_OF[name]) == []


@pytest.mark.parametrize("name", PODS_OF)
def test_every_pod_keeps_to_more_than_the_profile_asks(name: str) -> None:
    pod = PODS_OF[name]
    is_server = pod.get("serviceAccountName") == "headway-server"
    assert pod["automountServiceAccountToken"] is is_server  # only the server speaks to the API
    if not is_server:
        assert pod["enableServiceLinks"] is False
    for container in [*pod.get("initContainers", ()), *pod["containers"]]:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True, container["name"]


def test_the_front_has_neither_the_token_nor_a_way_to_write_what_it_loads() -> None:
    front, agent = GENERATED["endpoint plain plain"]["spec"]["template"]["spec"]["containers"]
    mounts = {each["name"]: each.get("readOnly", False) for each in front["volumeMounts"]}
    assert mounts == {"endpoint": False, "models": True, "environments": True, "front-tmp": False}
    assert "token" in {each["name"] for each in agent["volumeMounts"]}
    assert "HEADWAY" not in str(front["env"])


BAD_PODS: dict[str, Any] = {
    "hostNetwork": lambda pod: pod.update(hostNetwork=True),
    "hostPID": lambda pod: pod.update(hostPID=True),
    "hostIPC": lambda pod: pod.update(hostIPC=True),
    "hostPath": lambda pod: pod["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
    "sysctl": lambda pod: pod["securityContext"].update(sysctls=[{"name": "kernel.msgmax", "value": "1"}]),
    "root": lambda pod: pod["securityContext"].update(runAsUser=0),
    "nonroot": lambda pod: pod["securityContext"].pop("runAsNonRoot"),
    "seccomp": lambda pod: pod["securityContext"].update(seccompProfile={"type": "Unconfined"}),
    "selinux": lambda pod: pod["securityContext"].update(seLinuxOptions={"type": "spc_t"}),
    "apparmor": lambda pod: pod["securityContext"].update(appArmorProfile={"type": "Unconfined"}),
    "windows": lambda pod: pod["securityContext"].update(windowsOptions={"hostProcess": True}),
    "privileged": lambda pod: pod["containers"][0]["securityContext"].update(privileged=True),
    "escalation": lambda pod: pod["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"),
    "capabilities": lambda pod: pod["containers"][0]["securityContext"].pop("capabilities"),
    "added": lambda pod: pod["containers"][0]["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]),
    "proc": lambda pod: pod["containers"][0]["securityContext"].update(procMount="Unmasked"),
    "port": lambda pod: pod["containers"][0].update(ports=[{"containerPort": 1, "hostPort": 1}]),
    "probe": lambda pod: pod["containers"][0].update(livenessProbe={"httpGet": {"port": 1, "host": "10.0.0.1"}}),
    "root again": lambda pod: pod["containers"][0]["securityContext"].update(runAsUser=0, runAsNonRoot=False),
}


@pytest.mark.parametrize("name", BAD_PODS)
def test_the_look_at_pods_finds_each_thing_that_the_profile_forbids(name: str) -> None:
    pod = copy.deepcopy(PODS_OF["job plain plain"])
    BAD_PODS[name](pod)
    assert restricted_problems(pod)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_look_at_documents_finds_what_a_version_would_not_take(version: str) -> None:
    document = copy.deepcopy(GENERATED["job plain plain"])
    document["spec"]["template"]["spec"]["containers"][0]["readinessprobe"] = {}
    document["spec"]["backoffLimit"] = "none"
    assert len(schema_problems(document, version)) == 2


# --- the written documents -------------------------------------------------------------------------


@pytest.mark.parametrize("part", cli.PARTS)
def test_what_is_yours_stands_wherever_an_example_stood(part: str) -> None:
    text = cli.document(part, namespace="team-a", image="r.io/h:2", public_url="https://h.team")
    for example in (cli.NAMESPACE, cli.IMAGE, cli.PUBLIC_URL):
        assert example not in text
    for document in YAML(typ="safe").load_all(text):
        if document["kind"] != "Namespace":
            assert document["metadata"]["namespace"] in ("headway", "team-a")


def test_no_right_reaches_over_the_whole_cluster() -> None:
    kinds = {document["kind"] for document in WRITTEN.values()}
    assert not kinds & {"ClusterRole", "ClusterRoleBinding"}
    for document in WRITTEN.values():
        for rule in document.get("rules", ()):
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


def test_both_namespaces_enforce_the_restricted_profile() -> None:
    spaces = [document for document in WRITTEN.values() if document["kind"] == "Namespace"]
    assert len(spaces) == 2
    for space in spaces:
        assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_networks_first_rule_lets_nothing_through_and_no_other_one_everything() -> None:
    first, *others = (document for name, document in WRITTEN.items() if name.startswith("network "))
    assert first["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for document in others:
        spec = document["spec"]
        for rule in [*spec.get("egress", ()), *spec.get("ingress", ())]:
            assert rule.get("to") or rule.get("from")
            assert rule["ports"]
