"""The Kubernetes target keeps its promises beside a small cluster of this machine; the real one: tests/kubernetes."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from contracts.target import NAME, TargetContract
from fakes.kubernetes_api import KubernetesApi
from fakes.local_endpoints import LocalEndpoints, poll
from flows.conftest import serving
from headway.app import App, open_app
from headway.errors import UsageError
from headway.kube import Cluster, open_kube
from headway.serving.kubernetes.options import PodSettings
from headway.serving.kubernetes.target import KubernetesTarget
from headway.serving.kubernetes.tokens import PodTokens
from headway.serving.model import Deployment, Observed, Route
from headway.serving.prediction_log import PredictionLog
from headway.settings import Settings
from serving.models import ask, deployment, kept_route

ENVIRONMENT = "e" * 64


@dataclass
class Ground:
    """A server, the fake API, and what it runs."""

    app: App
    api: KubernetesApi
    endpoints: LocalEndpoints
    url: str
    targets: list[KubernetesTarget]

    def target(self) -> KubernetesTarget:
        kubeconfig = self.api.kubeconfig(self.app.data)
        settings = PodSettings(
            image="headway:test", server_url=self.url, namespaces=("default", "other"), service_port=self.endpoints.port
        )
        made = KubernetesTarget(
            self.app.data / "deployments",
            settings,
            connect=lambda: open_kube(Cluster(kubeconfig=str(kubeconfig)), read_seconds=2.0),
            tokens=PodTokens(self.app.database, self.app.clock),
        )
        self.targets.append(made)
        return made

    def route(self, version: int, weight: int = 100, predict: str = "sum", *, load: str = "") -> Route:
        artifacts, env_path = self.app.data / "artifacts", f"/headway/environments/main/envs/{ENVIRONMENT}"
        return kept_route(artifacts, version, weight, predict, load=load, env_path=env_path)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[App, KubernetesApi, str]]:
    settings = Settings(data=tmp_path_factory.mktemp("endpoints") / "data", port=0)
    app = open_app(settings)
    api = KubernetesApi()
    api.start()
    with serving(app, settings):
        yield app, api, json.loads((settings.data / "server.json").read_text())["url"]
    api.stop()
    app.close()


@pytest.fixture
def ground(house: tuple[App, KubernetesApi, str], tmp_path: Path) -> Iterator[Ground]:
    app, api, url = house
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    endpoints = LocalEndpoints(api, tmp_path / "pods", url, port=port, environment=ENVIRONMENT)
    found = Ground(app=app, api=api, endpoints=endpoints, url=url, targets=[])
    yield found
    for target in found.targets:
        target.close()
    endpoints.close()
    api.on_change.clear()
    api.refusals.clear()
    api.objects.clear()
    shutil.rmtree(app.data / "deployments", ignore_errors=True)


def wanted(*routes: Route, revision: int = 1) -> Deployment:
    plain = deployment(*routes, revision=revision)
    return replace(plain, target="kubernetes", spec=replace(plain.spec, target="kubernetes"))


def until(target: KubernetesTarget, seen: Callable[[Observed], bool]) -> Observed:
    poll(lambda: (now := target.observe(NAME)) is not None and seen(now))
    found = target.observe(NAME)
    assert found is not None
    return found


class TestKubernetesTarget(TargetContract):
    @pytest.fixture(autouse=True)
    def place(self, ground: Ground) -> None:
        self.ground = ground

    @pytest.fixture
    def target(self, ground: Ground) -> KubernetesTarget:
        return ground.target()

    def good(self, version: int, weight: int = 100) -> Route:
        return self.ground.route(version, weight)

    def bad(self, version: int, weight: int = 100) -> Route:
        return self.ground.route(version, weight, load="fails")

    def wanted(self, *routes: Route, revision: int = 1) -> Deployment:
        return wanted(*routes, revision=revision)

    def restarted(self, target: KubernetesTarget) -> KubernetesTarget:
        return self.ground.target()


def test_what_is_answered_is_counted_and_logged_here(ground: Ground) -> None:
    target = ground.target()
    target.apply(wanted(ground.route(1, 50), ground.route(2, 50, "twice")))
    seen = until(target, lambda now: now.ready)
    ids = [ask(seen.url, [1, 2]).headers["x-request-id"] for _ in range(20)]
    seen = until(target, lambda now: sum(one.requests for one in now.counters) == 20)
    assert {one.version for one in seen.counters} == {1, 2}
    log = PredictionLog(ground.app.data / "deployments" / NAME / "predictions")
    poll(lambda: all(log.find(each) is not None for each in ids))
    # The pod's own segments stay until nobody writes them any more; here each line came once.
    assert [one.id for one in log.read()].count(ids[0]) == 1


def test_a_pod_that_comes_anew_begins_with_what_served_last(ground: Ground) -> None:
    target = ground.target()
    target.apply(wanted(ground.route(1)))
    until(target, lambda now: now.ready)
    target.apply(wanted(ground.route(2, load="fails"), revision=2))
    until(target, lambda now: now.versions.get(2, "").startswith("failed"))
    (name,) = ground.endpoints.pods
    workload = ground.api.get("deployments", "default", f"headway-{NAME}")
    ground.endpoints.end(name)
    ground.endpoints.start(workload)
    seen = until(target, lambda now: now.ready and now.message.endswith(next(iter(ground.endpoints.pods))))
    assert (seen.revision, seen.versions[1]) == (1, "ready")
    assert ask(seen.url, [1, 2]).json() == {"predictions": [3]}


def test_a_version_whose_files_are_not_those_that_were_registered_never_serves(ground: Ground) -> None:
    target = ground.target()
    target.apply(wanted(ground.route(1)))
    until(target, lambda now: now.ready)
    other = replace(ground.route(2, predict="twice"), digest="d" * 64)
    target.apply(wanted(other, revision=2))
    seen = until(target, lambda now: now.versions.get(2, "").startswith("failed"))
    assert "not those that were registered" in seen.versions[2]
    assert (seen.ready, seen.revision) == (True, 1)


def test_a_version_without_an_environment_says_so(ground: Ground) -> None:
    target = ground.target()
    target.apply(wanted(replace(ground.route(1), env_path="")))
    seen = until(target, lambda now: now.versions.get(1, "").startswith("failed"))
    assert "no environment that a pod can fetch" in seen.versions[1]


def test_an_api_server_that_is_away_holds_up_nobody_and_is_said(ground: Ground) -> None:
    target = ground.target()
    target.apply(wanted(ground.route(1)))
    url = until(target, lambda now: now.ready).url
    with ground.api.away():
        seen = until(target, lambda now: "does not answer" in now.message)
        assert seen.ready  # pods report here, not there
        # A rollout goes on as well: it needs the pods alone.
        target.apply(wanted(ground.route(2, predict="twice"), revision=2))
        until(target, lambda now: now.revision == 2)
        assert ask(url, [1, 2]).json() == {"predictions": [6]}
        asked = len(ground.api.log)
    until(target, lambda now: "does not answer" not in now.message)
    assert len(ground.api.log) - asked < 30  # no storm when it is back


@pytest.mark.parametrize("plural", ["deployments", "services", "secrets"])
def test_a_cluster_that_refuses_is_said_with_the_way_out_and_asked_again(ground: Ground, plural: str) -> None:
    message = (
        f'{plural} is forbidden: User "system:serviceaccount:headway:headway-server" cannot patch resource '
        f'"{plural}" in API group "" in the namespace "default"'
    )
    ground.api.refuse("patch", plural, message)
    target = ground.target()
    target.apply(wanted(ground.route(1)))
    seen = until(target, lambda now: "may not patch" in now.message)
    assert "manifests rbac" in seen.message
    assert any("may not patch" in line for line in target.logs(NAME, 10))
    ground.api.allow("patch", plural)
    until(target, lambda now: now.ready)


def test_a_quota_and_a_pod_that_no_node_takes_are_told_apart(ground: Ground) -> None:
    ground.endpoints.runs_pods = False
    target = ground.target()
    target.apply(wanted(ground.route(1)))
    poll(lambda: ground.api.get("deployments", "default", f"headway-{NAME}") is not None)
    workload = ground.api.get("deployments", "default", f"headway-{NAME}")
    assert workload is not None
    message = "exceeded quota: team, requested: pods=1, used: pods=5, limited: pods=5"
    failure = {"type": "ReplicaFailure", "status": "True", "message": f'pods "x" is forbidden: {message}'}
    ground.api.put("deployments", {**workload, "status": {"conditions": [failure]}})
    until(target, lambda now: "quota team" in now.message)

    condition = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes: insufficient memory"}
    metadata = {
        "name": "p",
        "namespace": "default",
        "uid": "0",
        "labels": workload["spec"]["template"]["metadata"]["labels"],
    }
    pod = {"metadata": metadata, "status": {"phase": "Pending", "conditions": [condition]}}
    ground.api.put("pods", {"apiVersion": "v1", "kind": "Pod", **pod})
    seen = until(target, lambda now: "insufficient memory" in now.message)
    assert "no node takes it" in seen.message


def test_what_somebody_removed_is_made_again(ground: Ground) -> None:
    target = ground.target()
    target.apply(wanted(ground.route(1)))
    until(target, lambda now: now.ready)
    ground.api.remove("deployments", "default", f"headway-{NAME}")
    poll(lambda: not ground.endpoints.pods)
    until(target, lambda now: now.ready and bool(ground.endpoints.pods))


def test_what_stands_around_the_pods_is_made_again_too(ground: Ground) -> None:
    """Service, budget and token: nobody looks at them, so they are brought again from time to time, and by a start."""
    first = ground.target()
    first.apply(wanted(ground.route(1)))
    until(first, lambda now: now.ready)
    first.close()
    name = f"headway-{NAME}"
    around = [("services", name), ("poddisruptionbudgets", name), ("secrets", f"{name}-token")]
    for plural, each in around:
        assert ground.api.get(plural, "default", each) is not None, plural
        ground.api.remove(plural, "default", each)
    second = ground.target()
    until(second, lambda _: all(ground.api.get(plural, "default", each) for plural, each in around))
    until(second, lambda now: now.ready)


def test_a_removed_deployment_leaves_nothing_in_the_cluster_and_its_token_ends(ground: Ground) -> None:
    target = ground.target()
    target.apply(wanted(ground.route(1)))
    until(target, lambda now: now.ready)
    target.remove(NAME)
    poll(lambda: not [key for key in ground.api.objects if key[0] != "events"])
    assert target.observe(NAME) is None
    target.apply(wanted(ground.route(2), revision=2))  # and it can come again
    until(target, lambda now: now.revision == 2)


def test_a_deployment_moves_to_another_namespace(ground: Ground) -> None:
    ground.api.namespaces.add("other")
    target = ground.target()
    first = wanted(ground.route(1))
    target.apply(first)
    until(target, lambda now: now.ready)
    target.apply(replace(first, revision=2, spec=replace(first.spec, namespace="other")))
    poll(lambda: {key[1] for key in ground.api.objects if key[0] == "deployments"} == {"other"})
    with pytest.raises(UsageError, match="may not go to the namespace"):
        target.apply(replace(first, revision=3, spec=replace(first.spec, namespace="kube-system")))


@pytest.mark.parametrize(
    ("labels", "annotations", "who"),
    [
        ({"headway.dev/endpoint": f"headway-{NAME}"}, {"headway.dev/server": "another"}, "another server has"),
        ({"app": "by-hand"}, {}, "somebody else has"),
    ],
)
def test_what_others_have_under_the_same_name_is_left_alone(
    ground: Ground, labels: dict[str, str], annotations: dict[str, str], who: str
) -> None:
    theirs = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": f"headway-{NAME}",
            "namespace": "default",
            "labels": labels,
            "annotations": annotations,
        },
    }
    ground.endpoints.runs_pods = False
    ground.api.put("deployments", theirs)
    target = ground.target()
    target.apply(wanted(ground.route(1)))
    seen = until(target, lambda now: who in now.message)
    assert not seen.ready
    assert not [key for key in ground.api.objects if key[0] == "secrets"]
    ground.endpoints.runs_pods = True
    ground.api.remove("deployments", "default", f"headway-{NAME}")
    until(target, lambda now: now.ready)
