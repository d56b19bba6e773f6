"""Every end of an attempt in a cluster, as the real thing on a real node: told apart, with what to do about it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from contracts.engine import wait_for, wait_for_end
from fakes.kubernetes_node import Node
from fakes.pod_attempts import PodAttempts, pod_attempts
from headway.engines.base import Alive, Exited, Lost, Mount, Starting
from headway.engines.kubernetes.documents import job_name
from headway.projects.model import Resources

_EATS = """
import time
kept = []
for _ in range(4000):
    kept.append(bytearray(b"x" * (1 << 20)))
print("it fitted", flush=True)
"""
_MARKS_AND_HANGS = "import time; print('begun', flush=True); time.sleep(600)"


@pytest.fixture
def attempts(tmp_path: Path, node: Node, namespace: str) -> Iterator[PodAttempts]:
    with pod_attempts(tmp_path, node, namespace) as found:
        yield found


def starting_because(words: str) -> Any:
    return lambda seen: isinstance(seen, Starting) and words in seen.why


def begun(attempts: PodAttempts, engine: Any, spec: Any) -> str:
    """Start and wait until the code runs."""
    handle = str(engine.start(spec))
    wait_for(engine, handle, lambda _: any(line.text == "begun" for line in engine.logs(handle)))
    return handle


# --- what the step does to itself ------------------------------------------------------------------


def test_too_much_memory_is_told_with_the_limit(attempts: PodAttempts) -> None:
    engine = attempts.engine()
    spec = attempts.spec(_EATS, resources=Resources(memory_mb=150, disk_mb=100))
    end = wait_for_end(engine, engine.start(spec))
    assert isinstance(end, Exited)
    assert (end.exit_code, end.reason) == (137, "memory")
    text = " ".join(line.text for line in engine.logs(spec.id))
    assert "150 MB" in text or "150Mi" in end.detail or "memory" in end.detail
    assert "it fitted" not in text


def test_a_pod_killed_whole_by_the_kernel_is_told_as_memory(attempts: PodAttempts) -> None:
    """Nothing of ours is left to say it: the cluster does (OOMKilled)."""
    engine = attempts.engine(overhead_memory_mb=0)
    # The supervisor's own watch is blind to it: what it counts is above the pod's limit.
    spec = attempts.spec(_EATS, resources=Resources(memory_mb=4000, disk_mb=100))
    handle = _start_altered(engine, spec, lambda job: _step(job)["resources"].update(_memory("40Mi")))
    end = wait_for_end(engine, handle)
    assert isinstance(end, Exited)
    assert (end.exit_code, end.reason) == (137, "memory")


def test_writing_too_much_gets_the_pod_evicted_and_that_is_told(attempts: PodAttempts) -> None:
    code = "import time\nopen('big','wb').write(b'x' * (60 << 20))\nprint('begun', flush=True)\ntime.sleep(600)"
    engine = attempts.engine()
    spec = attempts.spec(code, resources=Resources(disk_mb=4000))
    handle = _start_altered(engine, spec, lambda job: _volume(job, "attempt")["emptyDir"].update(sizeLimit="20Mi"))
    end = wait_for(engine, handle, lambda seen: isinstance(seen, Exited | Lost))
    assert isinstance(end, Exited), end
    assert end.reason == "disk"
    assert "evicted" in end.detail
    assert "resources: {disk" in end.detail


def test_the_deadline_of_the_job_is_a_timeout(attempts: PodAttempts) -> None:
    engine = attempts.engine()
    spec = attempts.spec(_MARKS_AND_HANGS)
    handle = _start_altered(engine, spec, lambda job: job["spec"].update(activeDeadlineSeconds=6))
    end = wait_for_end(engine, handle)
    assert isinstance(end, Exited)
    assert end.reason == "timeout"


def test_outputs_arrive_and_metrics_beside_them(attempts: PodAttempts) -> None:
    code = "import os; os.mkdir('model'); open('model/a.bin','w').write('A'); open('metrics.json','w').write('{}')"
    engine = attempts.engine()
    spec = attempts.spec(code, outputs=("model", "absent.txt"))
    end = wait_for_end(engine, engine.start(spec))
    assert isinstance(end, Exited)
    assert end.exit_code == 0
    folder = Path(spec.directory)
    assert (folder / "out" / "model" / "a.bin").read_text() == "A"
    assert (folder / "out" / "metrics.json").exists()
    assert not (folder / "work").exists()


# --- what the cluster does not give ----------------------------------------------------------------


def test_an_image_that_no_node_has_is_told_by_its_name(attempts: PodAttempts) -> None:
    engine = attempts.engine(pull_policy="Never")
    end = wait_for_end(engine, engine.start(attempts.spec(image="localhost/nobody-has-it:1")))
    assert isinstance(end, Exited)
    assert "localhost/nobody-has-it:1" in end.reason
    assert "image" in end.reason
    assert end.detail


def test_an_image_that_cannot_be_fetched_is_waited_for_and_then_given_up(attempts: PodAttempts) -> None:
    engine = attempts.engine(image_seconds=6.0)
    handle = engine.start(attempts.spec(image="registry.invalid/none:1"))
    waits = wait_for(engine, handle, lambda seen: not isinstance(seen, Starting) or "registry.invalid" in seen.why)
    assert isinstance(waits, Starting)
    end = wait_for_end(engine, handle)
    assert isinstance(end, Exited)
    assert "cannot be fetched" in end.reason
    assert "HEADWAY_KUBERNETES_PULL_SECRET" in end.detail


def test_a_step_that_no_node_can_hold_waits_says_so_and_is_given_up(attempts: PodAttempts) -> None:
    engine = attempts.engine(pending_seconds=8.0)
    handle = engine.start(attempts.spec(resources=Resources(cpus=500.0, disk_mb=10)))
    waits = wait_for(engine, handle, starting_because("waits for a node"))
    assert "cpu" in waits.why.lower()
    end = wait_for_end(engine, handle)
    assert isinstance(end, Exited)
    assert "no node took it" in end.reason
    assert "Insufficient cpu" in end.detail


def test_accelerators_become_what_the_cluster_calls_them(attempts: PodAttempts) -> None:
    engine = attempts.engine()
    handle = engine.start(attempts.spec(resources=Resources(accelerators="H100:2", disk_mb=10)))
    waits = wait_for(engine, handle, starting_because("waits for a node"))
    assert "nvidia.com/gpu" in waits.why
    engine.stop(handle)
    end = wait_for_end(engine, handle)
    assert isinstance(end, Exited)
    assert end.reason == "cancelled"


def test_a_volume_that_is_not_there_is_named(attempts: PodAttempts) -> None:
    engine = attempts.engine(pending_seconds=5.0)
    mount = Mount(name="data", claim="flights-data", path="/data")
    handle = engine.start(attempts.spec(volumes=(mount,)))
    waits = wait_for(engine, handle, lambda seen: isinstance(seen, Starting) and "flights-data" in seen.why)
    assert "not found" in waits.why
    end = wait_for_end(engine, handle)
    assert isinstance(end, Exited)
    assert "flights-data" in end.detail


def test_the_source_that_arrives_must_be_the_one_that_was_ordered(attempts: PodAttempts) -> None:
    engine = attempts.engine()
    spec = attempts.spec("print('begun')")

    def other(job: Any) -> None:
        environment = job["spec"]["template"]["spec"]["containers"][0]["env"]
        next(each for each in environment if each["name"] == "HEADWAY_POD_SOURCE")["value"] = "0" * 64

    end = wait_for_end(engine, _start_altered(engine, spec, other))
    assert isinstance(end, Exited)
    assert "not the one that was ordered" in end.reason
    assert "0000" in end.detail


# --- what the cluster refuses ----------------------------------------------------------------------

_QUOTA = """
apiVersion: v1
kind: ResourceQuota
metadata: {name: small}
spec: {hard: {pods: "0"}}
"""


def test_a_quota_holds_it_back_says_so_and_lets_it_go_on_when_raised(attempts: PodAttempts) -> None:
    attempts.node.run_kubectl("-n", attempts.namespace, "apply", "-f", "-", text=_QUOTA)
    time.sleep(2)  # the quota's own controller must have seen it
    engine = attempts.engine()
    handle = engine.start(attempts.spec("print('begun')"))
    waits = wait_for(engine, handle, starting_because("quota small"))
    assert "raise the quota" in waits.why
    attempts.node.run_kubectl("-n", attempts.namespace, "delete", "resourcequota", "small")
    # The cluster's Job controller tries again by itself, after a pause that grows.
    end = wait_for_end(engine, handle)
    assert isinstance(end, Exited)
    assert (end.exit_code, end.reason) == (0, "")


def test_a_quota_that_stays_is_an_end_in_time(attempts: PodAttempts) -> None:
    attempts.node.run_kubectl("-n", attempts.namespace, "apply", "-f", "-", text=_QUOTA)
    time.sleep(2)
    engine = attempts.engine(create_seconds=6.0)
    end = wait_for_end(engine, engine.start(attempts.spec()))
    assert isinstance(end, Exited)
    assert "quota small" in end.reason


def test_limits_of_the_namespace_are_told_as_such(attempts: PodAttempts) -> None:
    limits = """
apiVersion: v1
kind: LimitRange
metadata: {name: few}
spec: {limits: [{type: Container, max: {cpu: "2"}}]}
"""
    attempts.node.run_kubectl("-n", attempts.namespace, "apply", "-f", "-", text=limits)
    engine = attempts.engine()
    handle = engine.start(attempts.spec(resources=Resources(cpus=3.0, disk_mb=10)))
    waits = wait_for(engine, handle, starting_because("limits"))
    assert "maximum cpu usage" in waits.why
    engine.stop(handle)
    wait_for_end(engine, handle)


def test_a_namespace_that_is_not_there_is_named_and_waited_for(attempts: PodAttempts) -> None:
    missing = f"{attempts.namespace}-later"
    engine = attempts.engine(namespace=missing)
    handle = engine.start(attempts.spec("print('begun')"))
    waits = wait_for(engine, handle, starting_because(f"no namespace '{missing}'"))
    assert f"kubectl create namespace {missing}" in waits.why
    attempts.node.run_kubectl("create", "namespace", missing)
    try:
        end = wait_for_end(engine, handle)
        assert isinstance(end, Exited)
        assert end.exit_code == 0
    finally:
        attempts.node.run_kubectl("delete", "namespace", missing, "--wait=false")


# --- what happens to pods --------------------------------------------------------------------------


def test_a_pod_that_somebody_deletes_is_lost_and_its_successor_runs_nothing(attempts: PodAttempts) -> None:
    """The Job makes a second pod of it; the server lets only the first run the code."""
    engine = attempts.engine()
    spec = attempts.spec("print('begun', flush=True)\nimport time; time.sleep(600)", outputs=("never",))
    handle = begun(attempts, engine, spec)
    pods = ("-n", attempts.namespace, "-l", f"job-name={job_name(handle)}")
    attempts.node.run_kubectl("delete", "pod", *pods, "--grace-period=0", "--force")
    end = wait_for_end(engine, handle)
    assert isinstance(end, Lost)
    assert [line.text for line in engine.logs(handle)].count("begun") == 1


def test_a_drained_pod_is_lost_not_cancelled(attempts: PodAttempts) -> None:
    engine = attempts.engine()
    handle = begun(attempts, engine, attempts.spec(_MARKS_AND_HANGS))
    attempts.node.run_kubectl(
        "-n", attempts.namespace, "delete", "pod", "-l", f"job-name={job_name(handle)}", "--wait=false"
    )
    end = wait_for_end(engine, handle)
    assert isinstance(end, Lost)
    assert "took its pod away" in end.why


def test_a_job_that_somebody_deletes_before_it_began_is_lost(attempts: PodAttempts) -> None:
    engine = attempts.engine()
    handle = engine.start(attempts.spec(resources=Resources(cpus=500.0, disk_mb=10)))
    wait_for(engine, handle, starting_because("waits for a node"))
    attempts.node.run_kubectl("-n", attempts.namespace, "delete", "job", job_name(handle), "--wait=false")
    end = wait_for_end(engine, handle)
    assert isinstance(end, Lost)
    assert "deleted" in end.why


def test_the_server_may_be_killed_while_a_pod_runs(attempts: PodAttempts) -> None:
    """Another engine over the same folder, and nothing in memory: it finds what runs, and its end."""
    engine = attempts.engine()
    spec = attempts.spec(
        "import time\nprint('begun', flush=True)\ntime.sleep(4)\nopen('runs','a').write('x')", outputs=("runs",)
    )
    handle = begun(attempts, engine, spec)
    engine.close()
    reopened = attempts.engine()
    assert isinstance(reopened.observe(handle), Alive)
    end = wait_for_end(reopened, handle)
    assert isinstance(end, Exited)
    assert end.exit_code == 0
    assert (Path(spec.directory) / "out" / "runs").read_text() == "x"


def test_a_job_that_was_made_while_nobody_noted_it_is_adopted(attempts: PodAttempts) -> None:
    """Killed between the cluster's yes and the note of it: creating again finds it."""
    engine = attempts.engine()
    spec = attempts.spec("open('runs','a').write('x')", outputs=("runs",), grace=timedelta(seconds=2))
    handle = engine.start(spec)
    wait_for(engine, handle, lambda _: (Path(spec.directory) / "job.json").exists())
    engine.close()
    (Path(spec.directory) / "job.json").unlink()
    reopened = attempts.engine()
    end = wait_for_end(reopened, handle)
    assert isinstance(end, Exited)
    assert end.exit_code == 0
    assert (Path(spec.directory) / "out" / "runs").read_text() == "x"


def test_ended_jobs_are_taken_away_with_their_secrets(attempts: PodAttempts) -> None:
    # A pod that is deleted before its kubelet has seen it end stays for its grace of 65 seconds.
    engine = attempts.engine(keep_ended_seconds=3.0)
    wait_for_end(engine, engine.start(attempts.spec("print('begun')")))
    deadline = time.monotonic() + 120
    while attempts.node.run_kubectl(
        "-n", attempts.namespace, "get", "jobs,pods,secrets", "-l", "headway.dev/attempt", "-o", "name"
    ):
        assert time.monotonic() < deadline, "something of it was left in the cluster"
        time.sleep(0.5)


def _start_altered(engine: Any, spec: Any, alter: Any) -> str:
    """Order an attempt whose Job is changed before the cluster sees it, as only a broken cluster would have it."""
    import headway.engines.kubernetes.engine as module

    made = module.job_document

    def altered(*given: Any, **named: Any) -> Any:
        job = made(*given, **named)
        alter(job)
        return job

    module.job_document = altered
    try:
        return str(engine.start(replace(spec)))
    finally:
        module.job_document = made


def _step(job: Any) -> Any:
    return job["spec"]["template"]["spec"]["containers"][0]


def _volume(job: Any, name: str) -> Any:
    return next(each for each in job["spec"]["template"]["spec"]["volumes"] if each["name"] == name)


def _memory(text: str) -> dict[str, Any]:
    return {"requests": {"memory": text}, "limits": {"memory": text}}
