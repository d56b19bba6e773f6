"""Rollouts, rollbacks and the replacement of pods while requests come in: none is dropped."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from fakes.endpoint_pods import PodWorld, pod_world, wait_until
from fakes.kubernetes_node import Node
from headway.serving.kubernetes.target import KubernetesTarget
from headway.serving.model import Deployment, Observed
from headway.serving.prediction_log import PredictionLog
from serving.load import Load

NAME = "demo-production"


@pytest.fixture
def world(tmp_path: Path, node: Node, namespace: str) -> Iterator[PodWorld]:
    with pod_world(tmp_path / "data", node, namespace) as around:
        yield around


@pytest.fixture
def target(world: PodWorld) -> Iterator[KubernetesTarget]:
    target = world.target()
    yield target
    target.remove(NAME)
    target.close()


def load(url: str) -> Load:
    return Load(url, callers=4, pause=0.01, anew=7)


def serve(target: KubernetesTarget, wanted: Deployment) -> Observed:
    """Apply and wait until it is in force."""
    target.apply(wanted)
    wait_until(lambda: (seen := target.observe(NAME)) is not None and seen.ready and seen.revision >= wanted.revision)
    seen = target.observe(NAME)
    assert seen is not None
    return seen


def pods(world: PodWorld) -> set[str]:
    """The names of the pods that are and stay."""
    template = '{range .items[*]}{.metadata.name}{" "}{.metadata.deletionTimestamp}{"\\n"}{end}'
    found = world.node.run_kubectl("-n", world.namespace, "get", "pods", "-o", f"jsonpath={template}")
    return {line.split()[0] for line in found.splitlines() if len(line.split()) == 1}


@contextmanager
def reconciled(target: KubernetesTarget) -> Iterator[None]:
    """Look at the deployment as the worker does, twice a second."""
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.5):
            target.observe(NAME)

    thread = threading.Thread(target=look)
    thread.start()
    yield
    stop.set()
    thread.join()


def test_no_request_is_dropped_over_canaries_promotions_and_rollbacks(
    world: PodWorld, target: KubernetesTarget
) -> None:
    odd = world.route(1, 100)
    wanted = world.wanted(odd)
    seen = serve(target, wanted)
    before = pods(world)

    with load(seen.url) as callers:
        for cycle in range(3):
            even = world.route(2 + 2 * cycle, 0, "twice")
            for routes in (
                (even, odd),  # loads beside, without traffic
                (replace(even, weight=10), replace(odd, weight=90)),
                (replace(even, weight=100), replace(odd, weight=0)),  # promoted
                (odd, even),  # and rolled back
            ):
                wanted = replace(wanted, routes=routes, revision=wanted.revision + 1)
                serve(target, wanted)

    assert callers.problems == []
    print(f"{sum(callers.answers.values())} answers, {dict(callers.answers)}")  # noqa: T201  # figures for docs/explanation
    assert sum(callers.answers.values()) > 500
    assert set(callers.answers) == {"1", "2", "4", "6"}
    assert pods(world) == before  # no rollout replaces a pod
    wait_until(lambda: sum(1 for _ in world.predictions(NAME)) >= sum(callers.answers.values()))
    logged = {str(one.version) for one in world.predictions(NAME)}
    assert logged == set(callers.answers)
    found = PredictionLog(world.app.data / "deployments" / NAME / "predictions")
    assert found.find(next(iter(world.predictions(NAME))).id) is not None


def test_no_request_is_dropped_while_the_only_pod_is_replaced(world: PodWorld, target: KubernetesTarget) -> None:
    wanted = world.wanted(world.route(1, 100))
    seen = serve(target, wanted)
    first = pods(world)

    with load(seen.url) as callers, reconciled(target):
        # More memory is asked for: every pod has to be another.
        spec = replace(wanted.spec, resources=replace(wanted.spec.resources, memory_mb=300))
        target.apply(replace(wanted, revision=2, spec=spec))
        wait_until(lambda: (now := pods(world)) and not now & first and is_over(world, first))
        wait_until(lambda: (now := target.observe(NAME)) is not None and now.revision == 2)

    assert callers.problems == []
    print(f"{sum(callers.answers.values())} answers, {dict(callers.answers)}")  # noqa: T201  # figures for docs/explanation
    assert sum(callers.answers.values()) > 500
    assert set(callers.answers) == {"1"}


def test_no_request_is_dropped_when_one_of_two_pods_is_deleted(world: PodWorld, target: KubernetesTarget) -> None:
    wanted = world.wanted(world.route(1, 100), replicas=2)
    seen = serve(target, wanted)
    wait_until(lambda: "2 pods answer" in (target.observe(NAME) or seen).message)
    first = pods(world)

    with load(seen.url) as callers, reconciled(target):
        victim = min(first)
        world.node.run_kubectl("-n", world.namespace, "delete", "pod", victim, "--wait=false")
        wait_until(lambda: is_over(world, {victim}) and len(pods(world)) == 2)
        wait_until(lambda: "2 pods answer" in (target.observe(NAME) or seen).message)

    assert callers.problems == []
    print(f"{sum(callers.answers.values())} answers, {dict(callers.answers)}")  # noqa: T201  # figures for docs/explanation
    assert sum(callers.answers.values()) > 500
    assert set(callers.answers) == {"1"}


def test_a_fresh_pod_serves_what_served_last_when_the_newest_version_does_not_load(
    world: PodWorld, target: KubernetesTarget
) -> None:
    wanted = world.wanted(world.route(1, 100))
    serve(target, wanted)
    broken = replace(wanted, routes=(world.route(2, 100, load="fails"),), revision=2)
    target.apply(broken)
    wait_until(lambda: (target.observe(NAME) or Observed(ready=False, url="", revision=0)).versions.get(2, "") > "f")
    first = pods(world)
    world.node.run_kubectl("-n", world.namespace, "delete", "pod", *first, "--wait=false")

    def is_back() -> bool:
        seen = target.observe(NAME)
        now = pods(world)
        return bool(seen and seen.ready and now and not now & first and seen.message.removeprefix("pod ") in now)

    wait_until(is_back)
    seen = target.observe(NAME)
    assert seen is not None
    assert (seen.revision, seen.versions[1]) == (1, "ready")
    assert "damaged" in seen.versions[2]


def is_over(world: PodWorld, names: set[str]) -> bool:
    """Whether these pods have gone altogether, not only begun to."""
    found = world.node.run_kubectl("-n", world.namespace, "get", "pods", "-o", "name")
    return not names & {line.rpartition("/")[2] for line in found.split()}
