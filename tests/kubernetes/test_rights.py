"""The server's account, with what deploy/kubernetes/rbac.yaml gives it, on the real API server."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from fakes.endpoint_pods import pod_world, wait_until
from fakes.kubernetes_node import Node
from fakes.pod_attempts import pod_attempts
from headway.cli.kubernetes import document
from headway.engines.base import Exited
from headway.engines.kubernetes.proof import RIGHTS as ENGINE
from headway.kube import _KINDS, Cluster, Kube, open_kube
from headway.kube_errors import ClusterRefused, Why
from headway.serving.kubernetes.rights import RIGHTS as TARGET
from headway.serving.kubernetes.rights import prove
from headway.serving.kubernetes.target import KubernetesTarget

NAME = "demo-production"

# (verb, kind, subresource): what a server that was taken over must not be able to do in its own namespace either
FORBIDDEN = [
    ("list", "Secret", ""),
    ("watch", "Secret", ""),
    ("create", "Pod", ""),
    ("delete", "Pod", ""),
    ("create", "Pod", "exec"),
    ("create", "Pod", "attach"),
    ("create", "Pod", "portforward"),
    ("create", "Pod", "ephemeralcontainers"),
    ("create", "Pod", "eviction"),
    ("get", "Service", "proxy"),
    ("get", "Pod", "proxy"),
    ("update", "Pod", "status"),
    ("create", "Role", ""),
    ("create", "RoleBinding", ""),
    ("patch", "Role", ""),
    ("create", "ServiceAccount", ""),
    ("create", "ServiceAccount", "token"),
    ("create", "NetworkPolicy", ""),
    ("delete", "NetworkPolicy", ""),
    ("patch", "ResourceQuota", ""),
    ("delete", "PersistentVolumeClaim", ""),
    ("create", "ConfigMap", ""),
    ("deletecollection", "Secret", ""),
    ("deletecollection", "Job", ""),
    ("update", "Deployment", "scale"),
]
ELSEWHERE = [
    ("list", "Node", ""),
    ("get", "Node", "proxy"),
    ("list", "Namespace", ""),
    ("create", "Namespace", ""),
]


@pytest.fixture
def account(node: Node, namespace: str, tmp_path: Path) -> Path:
    """A kubeconfig of the server's account, bound as the document says."""
    node.run_kubectl("-n", namespace, "create", "serviceaccount", "headway-server")
    bound = []
    for each in YAML(typ="safe").load_all(document("rbac", namespace=namespace)):
        for subject in each.get("subjects", ()):
            subject["namespace"] = namespace  # the test's server lives where it works
        bound.append(json.dumps(each))
    for text in bound:
        node.run_kubectl("apply", "-f", "-", text=text)
    return _kubeconfig(node, namespace, tmp_path / "account.kubeconfig")


def _kubeconfig(node: Node, namespace: str, path: Path) -> Path:
    def token() -> str:
        found = json.loads(node.run_kubectl("-n", namespace, "get", "secrets", "-o", "json"))["items"]
        mine = [
            each["data"].get("token", "")
            for each in found
            if each["metadata"].get("annotations", {}).get("kubernetes.io/service-account.name") == "headway-server"
        ]
        return base64.b64decode(mine[0]).decode() if mine else ""

    wait_until(token)
    config: dict[str, Any] = YAML(typ="safe").load(node.kubeconfig.read_text())
    config["users"] = [{"name": config["contexts"][0]["context"]["user"], "user": {"token": token()}}]
    path.write_text(json.dumps(config))
    return path


@pytest.fixture
def kube(account: Path) -> Iterator[Kube]:
    kube = open_kube(Cluster(kubeconfig=str(account)))
    yield kube
    kube.close()


def test_it_may_do_what_trainings_and_endpoints_need(kube: Kube, namespace: str) -> None:
    asked = [(verb, kind, part) for kind, part, verbs in (*ENGINE, *TARGET) for verb in verbs]
    assert [each for each in asked if not _may(kube, each, namespace)] == []


def test_it_is_given_nothing_that_neither_needs() -> None:
    needed = {(verb, kind, part) for kind, part, verbs in (*ENGINE, *TARGET) for verb in verbs}
    kinds = {plural: kind for kind, (_, plural, _) in _KINDS.items()}
    role = next(each for each in YAML(typ="safe").load_all(document("rbac")) if each["kind"] == "Role")
    given = set()
    for rule in role["rules"]:
        for resource in rule["resources"]:
            plural, _, part = resource.partition("/")
            given |= {(verb, kinds[plural], part) for verb in rule["verbs"]}
    assert given == needed


def test_it_may_do_nothing_else_here_and_nothing_anywhere_else(kube: Kube, namespace: str) -> None:
    assert [each for each in FORBIDDEN if _may(kube, each, namespace)] == []
    assert [each for each in ELSEWHERE if _may(kube, each, "")] == []
    everything = [(verb, kind, part) for kind, part, verbs in (*ENGINE, *TARGET) for verb in verbs]
    for other in ("default", "kube-system", ""):
        assert [each for each in everything if _may(kube, each, other)] == [], other


def test_what_it_may_not_is_refused_with_the_way_out(kube: Kube, namespace: str) -> None:
    with pytest.raises(ClusterRefused) as refused:
        kube.list("Secret", namespace=namespace)
    assert refused.value.why is Why.RBAC
    assert "manifests rbac" in refused.value.hint
    with pytest.raises(ClusterRefused):
        kube.list("Pod", namespace="kube-system")


def test_an_endpoint_lives_and_ends_with_these_rights_alone(
    account: Path, node: Node, namespace: str, tmp_path: Path
) -> None:
    with pod_world(tmp_path / "data", node, namespace) as world:
        world = replace(world, node=replace(node, kubeconfig=account))  # noqa: PLW2901  # the same, as the server sees it
        target = world.target()
        assert isinstance(target, KubernetesTarget)
        wanted = world.wanted(world.route(1))
        target.apply(wanted)
        wait_until(lambda: (seen := target.observe(NAME)) is not None and seen.ready)
        target.apply(replace(wanted, routes=(world.route(2, predict="twice"),), revision=2))
        wait_until(lambda: (seen := target.observe(NAME)) is not None and seen.revision == 2)
        target.remove(NAME)
        found = ("get", "deployments,services,secrets", "-l", "app.kubernetes.io/managed-by=headway", "-o", "name")
        wait_until(lambda: not node.run_kubectl("-n", namespace, *found).strip())
        target.close()


def test_doctor_says_what_is_missing(node: Node, account: Path, kube: Kube, namespace: str) -> None:
    assert {(each.state, each.hint) for each in prove(kube, [namespace])} == {("ok", "")}
    node.run_kubectl("-n", namespace, "delete", "rolebinding", "headway-server")
    wait_until(lambda: [each.state for each in prove(kube, [namespace])] == ["fail"])
    found = next(iter(prove(kube, [namespace])))
    assert "create deployments" in found.found
    assert namespace in found.hint


def test_a_training_runs_with_these_rights_alone(account: Path, node: Node, namespace: str, tmp_path: Path) -> None:
    with pod_attempts(tmp_path / "data", replace(node, kubeconfig=account), namespace) as attempts:
        engine = attempts.engine()
        spec = attempts.spec("print('hello')")
        handle = engine.start(spec)
        wait_until(lambda: isinstance(engine.observe(handle), Exited))
        ended = engine.observe(handle)
        assert isinstance(ended, Exited)
        assert ended.exit_code == 0


def _may(kube: Kube, asked: tuple[str, str, str], namespace: str) -> bool:
    verb, kind, part = asked
    return kube.may(verb, kind, namespace=namespace, subresource=part)
