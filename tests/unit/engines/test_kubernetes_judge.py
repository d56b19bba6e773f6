"""What becomes of an attempt by what its cluster shows: every end with its own words and a way out."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from headway.engines.base import Exited, Lost
from headway.engines.kubernetes.ends import end_by_record
from headway.engines.kubernetes.folder import AttemptFolder, Begun, Created, Ordered
from headway.engines.kubernetes.judge import Facts, Waits, judge
from headway.engines.kubernetes.options import KubernetesOptions

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
OPTIONS = KubernetesOptions(image="headway:1", server_url="http://headway:7474")
BEGUN = Begun(uid="u1.abc", pod="headway-x-1", node="n1", at=NOW.timestamp() - 60)


def ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(*, uid: str = "u1", age: float = 60, **status: Any) -> dict[str, Any]:
    limits = {"resources": {"limits": {"memory": "512Mi"}}}
    return {
        "metadata": {"name": f"headway-x-{uid}", "uid": uid, "creationTimestamp": ago(age)},
        "spec": {"nodeName": "n1", "containers": [{"name": "step", **limits}]},
        "status": status,
    }


def step(**state: Any) -> list[dict[str, Any]]:
    return [{"name": "step", "image": "registry/step:1", "state": state}]


def ended(code: int, *, reason: str = "Error", message: str = "", since: float = 10) -> list[dict[str, Any]]:
    end = {"exitCode": code, "reason": reason, "message": message, "finishedAt": ago(since), "startedAt": ago(50)}
    return step(terminated=end)


def judged(*pods: dict[str, Any], job: Any = "there", **facts: Any) -> Exited | Lost | Waits:
    given = {"created_at": NOW.timestamp() - 60, **facts}
    document = {"metadata": {"name": "headway-x"}} if job == "there" else job
    return judge(Facts(job=document, pods=pods, **given), NOW.timestamp(), OPTIONS)


# --- after the code began --------------------------------------------------------------------------


def test_while_the_step_runs_there_is_nothing_to_say() -> None:
    assert judged(pod(containerStatuses=step(running={"startedAt": ago(50)})), begun=BEGUN) == Waits()


def test_killed_for_memory_names_limit_and_key() -> None:
    found = judged(pod(containerStatuses=ended(137, reason="OOMKilled")), begun=BEGUN)
    assert isinstance(found, Exited)
    assert (found.reason, found.exit_code) == ("memory", 137)
    assert "512Mi" in found.detail
    assert "resources: {memory: 8Gi}" in found.detail


def test_an_end_a_moment_ago_is_given_time_to_arrive_by_the_pods_own_word() -> None:
    assert judged(pod(containerStatuses=ended(1, since=1)), begun=BEGUN) == Waits()


def test_last_words_that_the_server_never_heard_are_believed() -> None:
    record = json.dumps({"exit_code": 3, "reason": "", "undeliverable": "the server is away"})
    found = judged(pod(containerStatuses=ended(3, message=record)), begun=BEGUN)
    assert isinstance(found, Exited)
    assert (found.exit_code, found.reason) == (3, "")


def test_a_good_end_whose_results_never_came_is_no_success() -> None:
    record = json.dumps({"exit_code": 0, "reason": "", "undeliverable": "the server is away"})
    found = judged(pod(containerStatuses=ended(0, message=record)), begun=BEGUN)
    assert isinstance(found, Exited)
    assert found.exit_code == 1
    assert "not brought to the server" in found.reason
    assert found.detail == "the server is away"


def test_last_words_of_a_pod_that_the_cluster_told_to_go_are_no_cancelling() -> None:
    record = json.dumps({"exit_code": 143, "reason": "cancelled", "undeliverable": "the server is away"})
    drained = pod(containerStatuses=ended(143, message=record))
    assert isinstance(judged(drained, begun=BEGUN), Lost)
    stopped = judged(drained, begun=BEGUN, is_stopped=True)
    assert isinstance(stopped, Exited)
    assert stopped.reason == "cancelled"


def test_an_end_without_any_word_is_lost() -> None:
    found = judged(pod(containerStatuses=ended(143, message="Terminated")), begun=BEGUN)
    assert isinstance(found, Lost)
    assert "143" in found.why


def test_an_image_without_python_is_told_as_such() -> None:
    said = 'exec: "python3": executable file not found in $PATH: unknown'
    found = judged(pod(containerStatuses=ended(128, reason="StartError", message=said)))
    assert isinstance(found, Exited)
    assert found.reason == "launch"
    assert "no python3" in found.detail


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ('Usage of EmptyDir volume "attempt" exceeds the limit "1Gi".', Exited, "resources: {disk"),
        (
            "Container step exceeded: ephemeral local storage usage exceeds the total limit of containers 1Gi",
            Exited,
            "disk",
        ),
        ("The node was low on resource: memory.", Lost, "resources: {memory"),
    ],
)
def test_an_eviction_is_the_steps_own_doing_or_the_nodes(said: str, kind: type, words: str) -> None:
    found = judged(pod(phase="Failed", reason="Evicted", message=said), begun=BEGUN)
    assert isinstance(found, kind)
    text = found.detail if isinstance(found, Exited) else found.why if isinstance(found, Lost) else ""
    assert words in text
    assert said[:40] in text


@pytest.mark.parametrize(("reason", "words"), [("NodeLost", "went down"), ("Preempting", "more important pod")])
def test_a_pod_taken_away_is_lost(reason: str, words: str) -> None:
    found = judged(pod(phase="Failed", reason=reason), begun=BEGUN)
    assert isinstance(found, Lost)
    assert words in found.why


def test_a_pod_that_is_gone_is_lost_or_cancelled() -> None:
    lost = judged(begun=BEGUN)
    assert isinstance(lost, Lost)
    assert "n1" in lost.why
    stopped = judged(begun=BEGUN, is_stopped=True)
    assert isinstance(stopped, Exited)
    assert stopped.reason == "cancelled"


def test_another_pod_of_the_job_is_not_the_one_that_began() -> None:
    assert isinstance(judged(pod(uid="u2", containerStatuses=step(running={})), begun=BEGUN), Lost)


def test_a_silent_node_is_believed_lost_only_when_the_pod_is_silent_too() -> None:
    unready = pod(
        containerStatuses=step(running={}),
        conditions=[{"type": "Ready", "status": "False", "lastTransitionTime": ago(90)}],
    )
    speaking = judged(unready, begun=BEGUN, heard_at=NOW.timestamp() - 3)
    assert speaking == Waits()
    silent = judged(unready, begun=BEGUN, heard_at=NOW.timestamp() - 100)
    assert isinstance(silent, Lost)
    assert "does not answer" in silent.why


def test_a_pod_that_should_have_gone_long_ago_is_on_a_lost_node() -> None:
    leaving = pod(containerStatuses=step(running={}))
    leaving["metadata"]["deletionTimestamp"] = ago(60)
    assert isinstance(judged(leaving, begun=BEGUN, heard_at=NOW.timestamp() - 100), Lost)
    assert judged(leaving, begun=BEGUN, heard_at=NOW.timestamp() - 3) == Waits()


def test_the_jobs_deadline_is_a_timeout_and_before_the_code_a_reason() -> None:
    job = {"status": {"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]}}
    ran = judged(job=job, begun=BEGUN)
    assert isinstance(ran, Exited)
    assert ran.reason == "timeout"
    never = judged(job=job)
    assert isinstance(never, Exited)
    assert "did not begin" in never.reason


def test_a_job_that_ended_before_its_pod_began_is_lost_and_one_that_is_held_back_waits() -> None:
    job = {"status": {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}}
    found = judged(job=job)
    assert isinstance(found, Lost)
    assert "BackoffLimitExceeded" in found.why
    held = judged(job={"spec": {"suspend": True}})
    assert isinstance(held, Waits)
    assert "suspended" in held.why


def test_a_pod_of_one_container_says_that_it_fetches_the_source() -> None:
    found = judged(pod(containerStatuses=step(running={"startedAt": ago(1)})))
    assert found == Waits(why="its pod fetches the source")


@pytest.mark.parametrize("where", ["first container", "only container"])
def test_a_source_that_does_not_come_names_the_address(where: str) -> None:
    running = {"running": {"startedAt": ago(30)}}
    states = (
        {"initContainerStatuses": [{"name": "source", "state": running}]}
        if where == "first container"
        else {"containerStatuses": step(**running)}
    )
    found = judged(pod(**states))
    assert isinstance(found, Waits)
    assert "http://headway:7474 (HEADWAY_KUBERNETES_SERVER_URL)" in found.why


def test_a_sidecar_that_the_cluster_adds_is_no_first_container() -> None:
    found = pod(initContainerStatuses=init("istio-proxy", exitCode=137))
    found["spec"]["initContainers"] = [{"name": "istio-proxy", "restartPolicy": "Always"}]
    assert isinstance(judged(found), Waits)


# --- before the code began -------------------------------------------------------------------------


def init(name: str, **end: Any) -> list[dict[str, Any]]:
    return [{"name": name, "image": "headway:1", "state": {"terminated": {"exitCode": 1, "finishedAt": ago(5), **end}}}]


def test_an_environment_that_was_not_made_is_told_in_its_makers_words() -> None:
    told = json.dumps({"message": "there is no package 'pandsa'", "cause": "not found", "hint": "mend its name"})
    found = judged(pod(initContainerStatuses=init("environment", message=told)))
    assert isinstance(found, Exited)
    assert found.reason == "there is no package 'pandsa'"
    assert found.detail == "not found; mend its name"


def test_a_first_container_that_says_nothing_is_shown_by_its_log() -> None:
    found = judged(pod(initContainerStatuses=init("source", message="Traceback: boom")))
    assert isinstance(found, Exited)
    assert found.reason == "the pod could not be laid out"
    assert "boom" in found.detail


def test_a_first_container_killed_for_memory_is_told() -> None:
    found = judged(pod(initContainerStatuses=init("environment", reason="OOMKilled", exitCode=137)))
    assert isinstance(found, Exited)
    assert "1 GiB" in found.reason


@pytest.mark.parametrize("reason", ["ErrImageNeverPull", "InvalidImageName"])
def test_an_image_that_can_never_come_ends_it_at_once(reason: str) -> None:
    found = judged(pod(age=1, containerStatuses=step(waiting={"reason": reason, "message": "not present"})))
    assert isinstance(found, Exited)
    assert "registry/step:1" in found.reason
    assert found.detail


def test_an_image_that_may_still_come_is_waited_for() -> None:
    waits = step(waiting={"reason": "ImagePullBackOff", "message": "Back-off pulling image"})
    soon = judged(pod(age=20, containerStatuses=waits))
    assert isinstance(soon, Waits)
    assert "registry/step:1" in soon.why
    assert isinstance(judged(pod(age=400, containerStatuses=waits)), Exited)
    absent = step(waiting={"reason": "ErrImagePull", "message": "manifest unknown: not found"})
    assert isinstance(judged(pod(age=70, containerStatuses=absent)), Exited)


def test_a_container_that_cannot_be_made_says_why() -> None:
    said = "container has runAsNonRoot and image has non-numeric user"
    waits = step(waiting={"reason": "CreateContainerConfigError", "message": said})
    soon = judged(pod(age=5, containerStatuses=waits))
    assert isinstance(soon, Waits)
    assert said in soon.why
    late = judged(pod(age=120, containerStatuses=waits))
    assert isinstance(late, Exited)
    assert late.detail == said


def test_no_room_on_any_node_is_shown_and_given_up_in_time() -> None:
    def unscheduled(since: float) -> dict[str, Any]:
        said = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
        return {"type": "PodScheduled", "status": "False", "message": said, "lastTransitionTime": ago(since)}

    soon = judged(pod(conditions=[unscheduled(30)]))
    assert isinstance(soon, Waits)
    assert "3 Insufficient nvidia.com/gpu" in soon.why
    late = judged(pod(conditions=[unscheduled(4000)]))
    assert isinstance(late, Exited)
    assert "no node took it within 60 minutes" in late.reason
    assert "HEADWAY_KUBERNETES_PENDING_MINUTES" in late.detail


def event(reason: str, message: str) -> dict[str, Any]:
    return {"reason": reason, "message": message, "lastTimestamp": ago(3)}


QUOTA = (
    'Error creating: pods "x" is forbidden: exceeded quota: team, requested: requests.memory=8Gi, '
    "used: requests.memory=60Gi, limited: requests.memory=64Gi"
)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (QUOTA, "the quota team of the namespace is used up"),
        ('pods "x" is forbidden: failed quota: team: must specify limits.cpu', "resources: {cpus: 1, memory: 2Gi}"),
        ('admission webhook "v.example" denied the request: no owner label', "no owner label"),
        ('pods "x" is forbidden: violates PodSecurity "restricted:latest": unrestricted', "admission rule"),
        ("maximum memory usage per Container is 1Gi, but limit is 8Gi", "limits do not allow"),
    ],
)
def test_a_job_without_a_pod_is_explained_by_its_events(message: str, words: str) -> None:
    first = judged()
    assert isinstance(first, Waits)
    assert first.asks_events
    waits = judged(events=[event("FailedCreate", message)])
    assert isinstance(waits, Waits)
    assert words in waits.why
    over = judged(events=[event("FailedCreate", message)], created_at=NOW.timestamp() - 4000)
    assert isinstance(over, Exited)
    assert over.exit_code == 125


def test_a_volume_that_does_not_come_is_named() -> None:
    said = 'MountVolume.SetUp failed for volume "order": secret "x" not found'
    waits = judged(pod(age=40), events=[event("FailedMount", said)])
    assert isinstance(waits, Waits)
    assert said in waits.why


def test_a_job_that_somebody_deleted_is_lost() -> None:
    assert isinstance(judged(job=None), Lost)
    stopped = judged(job=None, is_stopped=True)
    assert isinstance(stopped, Exited)
    assert stopped.reason == "cancelled"
    assert judged(job=None, created_at=NOW.timestamp() - 1) == Waits()  # it may not be listed yet


@pytest.mark.parametrize("status", [{}, {"conditions": None}, {"containerStatuses": [{"name": "step"}]}, {"reason": 5}])
def test_objects_with_holes_in_them_are_waited_for(status: dict[str, Any]) -> None:
    assert isinstance(judged(pod(age=1, **status)), Waits)


# --- the pod's own word ----------------------------------------------------------------------------


def test_a_cancelled_end_that_nobody_asked_for_was_the_clusters_doing() -> None:
    record = {"exit_code": 143, "reason": "cancelled", "started_at": 1.0, "finished_at": 2.0}
    assert isinstance(end_by_record(record, is_stopped=False, is_overdue=False), Lost)
    asked = end_by_record(record, is_stopped=True, is_overdue=True)
    assert isinstance(asked, Exited)
    assert asked.reason == "cancelled"


def test_a_pod_that_was_told_to_go_at_the_deadline_ran_out_of_time() -> None:
    record = {"exit_code": 143, "reason": "cancelled", "started_at": 1.0, "finished_at": 2.0, "peak_memory_mb": 5}
    end = end_by_record(record, is_stopped=False, is_overdue=True)
    assert isinstance(end, Exited)
    assert (end.reason, end.peak_memory_mb) == ("timeout", 5.0)
    assert "deadline" in end.detail


def test_a_last_word_is_overdue_from_the_deadline_of_its_job_on(tmp_path: Path) -> None:
    folder = AttemptFolder(tmp_path)
    folder.order(Ordered(namespace="n", ordered_at=0.0, secret={}, job={"spec": {"activeDeadlineSeconds": 60}}))
    assert not folder.is_overdue
    folder.note_created(Created(uid="u", created_at=1000.0))
    (tmp_path / "exit.json").write_text("{}")
    for said_at, is_overdue in ((1030.0, False), (1060.0, True), (1059.0, True)):
        os.utime(tmp_path / "exit.json", (said_at, said_at))
        assert folder.is_overdue is is_overdue
