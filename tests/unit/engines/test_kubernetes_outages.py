"""The engine while its cluster refuses, hangs, goes away or forgets: nothing lost, nothing twice, and no storm."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.engine import wait_for, wait_for_end
from fakes.small_cluster import SmallCluster, small_cluster
from headway.engines.base import Alive, Exited, Lost, Starting
from headway.engines.delivered import forget_order
from headway.engines.kubernetes.documents import job_name

WRITES = "open('runs', 'a').write('x'); print('begun', flush=True)"
HANGS = "import time; print('begun', flush=True); time.sleep(600)"
FORBIDDEN = (
    'jobs.batch is forbidden: User "system:serviceaccount:headway:headway" cannot create resource "jobs" '
    'in API group "batch" in the namespace "default"'
)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[SmallCluster]:
    with small_cluster(tmp_path) as found:
        yield found


def waiting(words: str) -> Any:
    return lambda seen: isinstance(seen, Starting) and words in seen.why


def begun(engine: Any, spec: Any) -> str:
    handle = str(engine.start(spec))
    wait_for(engine, handle, lambda _: any(line.text == "begun" for line in engine.logs(handle)))
    return handle


def ran_once(spec: Any) -> bool:
    return (Path(spec.directory) / "out" / "runs").read_text() == "x"


def test_what_is_started_while_the_cluster_is_away_runs_once_it_is_back(cluster: SmallCluster) -> None:
    engine, spec = cluster.engine(), cluster.spec(WRITES, outputs=("runs",))
    with cluster.api.away():
        handle = engine.start(spec)
        wait_for(engine, handle, waiting("does not answer"))
    end = wait_for_end(engine, handle)
    assert isinstance(end, Exited)
    assert end.exit_code == 0
    assert ran_once(spec)


def test_a_pod_goes_on_and_its_end_arrives_while_the_cluster_is_away(cluster: SmallCluster) -> None:
    code = "import time\nprint('begun', flush=True)\ntime.sleep(2)\nopen('runs','a').write('x')"
    engine, spec = cluster.engine(), cluster.spec(code, outputs=("runs",))
    handle = begun(engine, spec)
    with cluster.api.away():
        end = wait_for_end(engine, handle)
    assert isinstance(end, Exited)
    assert end.exit_code == 0
    assert ran_once(spec)


def test_a_stop_arrives_while_the_api_server_hangs(cluster: SmallCluster) -> None:
    """The pod asks our server, not the cluster, whether it shall end."""
    engine = cluster.engine()
    handle = begun(engine, cluster.spec(HANGS))
    with cluster.api.frozen():
        engine.stop(handle)
        end = wait_for_end(engine, handle)
    assert isinstance(end, Exited)
    assert end.reason == "cancelled"


def test_a_hanging_api_server_is_noticed_and_gets_few_requests(cluster: SmallCluster) -> None:
    engine = cluster.engine()
    handle = begun(engine, cluster.spec(HANGS))
    others = [cluster.spec(WRITES, outputs=("runs",)) for _ in range(5)]
    with cluster.api.frozen():
        before = len(cluster.api.log)
        waiting_ones = [engine.start(spec) for spec in others]
        wait_for(engine, waiting_ones[0], waiting("does not answer"))
        time.sleep(4)
        assert isinstance(engine.observe(handle), Alive)
        # Six attempts that are looked at ten times a second; each request is answered by nobody for two seconds.
        assert len(cluster.api.log) - before < 25
    for spec, each in zip(others, waiting_ones, strict=True):
        end = wait_for_end(engine, each)
        assert isinstance(end, Exited)
        assert ran_once(spec)


def test_what_happened_in_a_gap_of_the_watch_is_found(cluster: SmallCluster) -> None:
    cluster.kubelet.runs_pods = False
    engine = cluster.engine()
    handle = engine.start(cluster.spec(WRITES))
    wait_for(engine, handle, lambda _: cluster.api.owned_by(job_of(cluster, handle)))
    with cluster.api.away():
        cluster.api.remove("jobs", "default", job_name(handle))
        cluster.api.compact()
    end = wait_for_end(engine, handle)
    assert isinstance(end, Lost)
    assert "deleted its Job" in end.why


def test_a_pod_that_the_watch_does_not_show_yet_is_not_taken_for_gone(cluster: SmallCluster) -> None:
    """After an outage a watch waits before it asks again, and the cluster's own parts may be quicker."""
    engine, first = cluster.engine(watch_seconds=1), cluster.spec(HANGS)
    begun(engine, first)
    for verb in ("list", "watch"):
        cluster.api.refuse(verb, "pods", "not yet", code=503)
    refused_from = len(cluster.api.log)
    wait_for(
        engine, first.id, lambda _: [one.endswith("/pods") for one in cluster.api.log[refused_from:]].count(True) > 2
    )
    code = "import time\nprint('begun', flush=True)\ntime.sleep(4)\nopen('runs','a').write('x')"
    spec = cluster.spec(code, outputs=("runs",))
    handle = begun(engine, spec)
    assert isinstance(engine.observe(handle), Alive)
    cluster.api.allow("watch", "pods")
    cluster.api.allow("list", "pods")
    end = wait_for_end(engine, handle)
    assert isinstance(end, Exited)
    assert ran_once(spec)
    engine.stop(first.id)
    wait_for_end(engine, first.id)


def test_a_gap_while_nothing_happened_changes_nothing(cluster: SmallCluster) -> None:
    engine, spec = cluster.engine(), cluster.spec(HANGS)
    handle = begun(engine, spec)
    for _ in range(3):
        cluster.api.compact()
        time.sleep(0.3)
    assert isinstance(engine.observe(handle), Alive)
    engine.stop(handle)
    end = wait_for_end(engine, handle)
    assert isinstance(end, Exited)
    assert end.reason == "cancelled"


def test_a_right_that_is_missing_is_named_with_what_gives_it(cluster: SmallCluster) -> None:
    cluster.api.refuse("create", "jobs", FORBIDDEN)
    engine, spec = cluster.engine(), cluster.spec(WRITES, outputs=("runs",))
    handle = engine.start(spec)
    told = wait_for(engine, handle, waiting("may not create jobs in the namespace default"))
    assert "headway kubernetes manifests rbac --namespace default | kubectl apply -f -" in told.why
    asked = len(cluster.api.log)
    time.sleep(1)
    assert len(cluster.api.log) - asked < 8  # it is not asked at every look
    cluster.api.allow("create", "jobs")
    end = wait_for_end(engine, handle)
    assert isinstance(end, Exited)
    assert ran_once(spec)


def test_a_refusal_that_stays_is_an_end_with_its_cause(cluster: SmallCluster) -> None:
    cluster.api.refuse("create", "jobs", 'admission webhook "rules.example" denied the request: no team label')
    engine = cluster.engine(create_seconds=1.0)
    end = wait_for_end(engine, engine.start(cluster.spec(WRITES)))
    assert isinstance(end, Exited)
    assert "admission rule" in end.reason
    assert "no team label" in end.detail


def test_what_the_cluster_does_not_understand_ends_at_once(cluster: SmallCluster) -> None:
    cluster.api.refuse("create", "jobs", 'Job "x" is invalid: spec.template: Required value', code=422)
    engine = cluster.engine(keep_ended_seconds=0.0)
    end = wait_for_end(engine, engine.start(cluster.spec(WRITES)))
    assert isinstance(end, Exited)
    assert "Required value" in end.detail
    wait_for_nothing_left(cluster)


def test_what_somebody_else_made_under_its_name_is_not_adopted(cluster: SmallCluster) -> None:
    cluster.kubelet.makes_pods = False
    engine, spec = cluster.engine(), cluster.spec(WRITES)
    metadata = {"name": job_name(spec.id), "namespace": "default", "uid": "u", "labels": {"app": "theirs"}}
    cluster.api.put("jobs", {"kind": "Job", "metadata": metadata, "spec": {}})
    end = wait_for_end(engine, engine.start(spec))
    assert isinstance(end, Exited)
    assert "somebody else made the Job" in end.reason


def test_a_stop_before_the_cluster_took_it_leaves_nothing_there(cluster: SmallCluster) -> None:
    cluster.api.refuse("create", "jobs", FORBIDDEN)
    engine = cluster.engine()
    handle = engine.start(cluster.spec(WRITES))
    wait_for(engine, handle, waiting("may not create"))
    engine.stop(handle)
    end = wait_for_end(engine, handle)
    assert isinstance(end, Exited)
    assert end.reason == "cancelled"
    wait_for_nothing_left(cluster)


def test_a_second_pod_of_a_job_runs_nothing(cluster: SmallCluster) -> None:
    engine = cluster.engine()
    spec = cluster.spec(
        "import time\nopen('runs','a').write('x'); print('begun', flush=True); time.sleep(3)", outputs=("runs",)
    )
    handle = begun(engine, spec)
    cluster.kubelet.make_pod(job_of(cluster, handle))
    wait_for(engine, handle, lambda _: len(cluster.kubelet.started) == 2)
    end = wait_for_end(engine, handle)
    assert isinstance(end, Exited)
    assert end.exit_code == 0
    assert ran_once(spec)
    assert [line.text for line in engine.logs(handle)] == ["begun"]


def test_an_attempt_that_has_ended_on_the_server_lets_no_pod_begin(cluster: SmallCluster) -> None:
    """Taken for lost, its token dead: whatever the cluster starts late does nothing."""
    cluster.kubelet.makes_pods = False
    engine, spec = cluster.engine(), cluster.spec(WRITES, outputs=("runs",))
    handle = engine.start(spec)
    wait_for(engine, handle, lambda _: cluster.api.get("jobs", "default", job_name(handle)) is not None)
    cluster.end_token(spec)
    cluster.kubelet.make_pod(job_of(cluster, handle))
    end = wait_for_end(engine, handle)
    assert isinstance(end, Exited | Lost)
    assert not (Path(spec.directory) / "out").exists()
    assert not any(line.text == "begun" for line in engine.logs(handle))


def test_a_pod_that_comes_after_the_verdict_runs_nothing(cluster: SmallCluster) -> None:
    """Its token lives for a moment longer: until the worker has looked."""
    cluster.kubelet.makes_pods = False
    engine, spec = cluster.engine(pending_seconds=0.0), cluster.spec(WRITES, outputs=("runs",))
    handle = engine.start(spec)
    job = job_of(cluster, handle)
    job["status"] = {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}
    cluster.api.put("jobs", job)
    end = wait_for_end(engine, handle)
    assert isinstance(end, Lost)
    assert "BackoffLimitExceeded" in end.why
    cluster.kubelet.make_pod(job)
    deadline = time.monotonic() + 60
    while not cluster.kubelet.started or cluster.kubelet.running[cluster.kubelet.started[0]].poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not (Path(spec.directory) / "started").exists()
    assert not any(line.text == "begun" for line in engine.logs(handle))


def test_what_was_given_up_without_its_cluster_is_not_tried_again_and_again(cluster: SmallCluster) -> None:
    """The order's secret part is forgotten with the attempt's end: nothing can be made of it any more."""
    with cluster.api.away():
        engine = cluster.engine()
        handle = engine.start(cluster.spec(WRITES))
        wait_for(engine, handle, waiting("does not answer"))
        engine.close()
        forget_order(cluster.root / handle)
    end = wait_for_end(cluster.engine(), handle)
    assert isinstance(end, Lost)
    assert "given up" in end.why


def test_an_ended_job_is_taken_away_once_and_never_asked_for_again(cluster: SmallCluster) -> None:
    engine = cluster.engine(keep_ended_seconds=0.0)
    handle = engine.start(cluster.spec("print('begun')"))
    wait_for_end(engine, handle)
    name = job_name(handle)
    deadline = time.monotonic() + 30
    while cluster.api.get("jobs", "default", name) or not (cluster.root / handle / "tidied").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    engine.close()
    again = cluster.engine(keep_ended_seconds=0.0)
    other = again.start(cluster.spec("print('begun')"))  # its keeper looks at all that is there
    wait_for_end(again, other)
    asked = [each for each in cluster.api.log if each.startswith("DELETE") and each.endswith(f"/jobs/{name}")]
    assert len(asked) == 1


def test_what_had_ended_before_a_restart_is_taken_away_although_nobody_asks(cluster: SmallCluster) -> None:
    engine = cluster.engine()
    handle = engine.start(cluster.spec("print('begun')"))
    wait_for_end(engine, handle)
    engine.close()
    assert cluster.api.get("jobs", "default", job_name(handle)) is not None
    cluster.engine(keep_ended_seconds=0.0).resume()
    deadline = time.monotonic() + 30
    while cluster.api.get("jobs", "default", job_name(handle)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_folder_that_cannot_be_read_holds_up_nobody(cluster: SmallCluster) -> None:
    broken = cluster.spec()
    (Path(broken.directory) / "elsewhere.json").write_text("{}")
    engine = cluster.engine()
    end = wait_for_end(engine, engine.start(cluster.spec("print('begun')")))
    assert isinstance(end, Exited)
    assert end.exit_code == 0


def wait_for_nothing_left(cluster: SmallCluster) -> None:
    deadline = time.monotonic() + 30
    while left := [key for key in cluster.api.objects if key[0] in ("jobs", "pods", "secrets")]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def job_of(cluster: SmallCluster, handle: str) -> Any:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = cluster.api.get("jobs", "default", job_name(handle))
        if found:
            return found
        time.sleep(0.05)
    pytest.fail("the Job was never made")
