"""Ends that a pod did not tell of itself: its container's, its node's, its Job's."""

from __future__ import annotations

from typing import Any

from headway.engines.base import Exited, Isolation, Lost
from headway.engines.kubernetes.documents import ENVIRONMENT, STEP
from headway.engines.kubernetes.reading import (
    LONGEST,
    Document,
    condition,
    init_statuses,
    last_words,
    seconds_of,
    terminated,
)

NOT_STARTED = 125
SETTLES = 3.0  # what arrives a moment later than the object that tells of it
_KUBELET_PATIENCE = 30.0
_OWN_DISK = ("Usage of EmptyDir volume", "ephemeral local storage usage exceeds", "exceeds the total limit of")
_NODE_GONE = frozenset({"NodeLost", "NodeShutdown", "Shutdown", "Terminated", "NodeAffinity"})
_TAKEN_AWAY = Lost(why="the cluster took its pod away (the node is drained, or a more important pod needed the place)")
_PAST_DEADLINE = "the cluster ended it at the Job's deadline (activeDeadlineSeconds)"
_MEMORY_HINT = "raise `resources: {memory: 8Gi}` of the step in headway.yaml"


def ended_now(code: int, reason: str, now: float, *, detail: str = "") -> Exited:
    """Return the end of an attempt whose times nobody told."""
    return Exited(exit_code=code, reason=reason, detail=detail, isolation=Isolation.L3, started_at=now, finished_at=now)


def end_by_record(record: dict[str, Any], *, is_stopped: bool, is_overdue: bool) -> Exited | Lost:
    """Return the end that a pod's record stands for; nobody cancelled a pod that the cluster told to go."""
    reason, detail = str(record.get("reason", "")), ""
    if _was_told_to_go(record):
        if not (is_stopped or is_overdue):
            return _TAKEN_AWAY
        reason, detail = ("cancelled", "") if is_stopped else ("timeout", _PAST_DEADLINE)
    now = float(record.get("finished_at") or 0.0)
    return Exited(
        exit_code=int(record.get("exit_code", 1)),
        reason=reason,
        detail=detail,
        isolation=Isolation.L3,
        started_at=float(record.get("started_at") or now),
        finished_at=now,
        undelivered=int(record.get("undelivered") or 0),
        peak_memory_mb=float(record.get("peak_memory_mb") or 0.0),
        cpu_seconds=float(record.get("cpu_seconds") or 0.0),
    )


def past_deadline(now: float) -> Exited:
    """Return the end of an attempt that outlived its Job and said nothing."""
    return ended_now(143, "timeout", now, detail=_PAST_DEADLINE)


def end_of_step(pod: Document, now: float, *, is_stopped: bool) -> Exited | Lost | None:
    """Judge the step's own container; None while it runs, and for a moment after its end."""
    end = terminated(pod, STEP)
    if end is None or now - seconds_of(end.get("finishedAt"), now - SETTLES) < SETTLES:
        return None  # its last word may be on the way into the folder
    code = int(end.get("exitCode", 1))
    if end.get("reason") == "OOMKilled":
        return _out_of_memory(pod, code, now)
    record = last_words(end)
    if record:
        return _by_last_words(record, now, is_stopped=is_stopped)
    if is_stopped:
        return ended_now(code or 143, "cancelled", now)
    said = str(end.get("message") or "").strip()[-LONGEST:]
    if code in (127, 128):
        return ended_now(127, "launch", now, detail=_cannot_start(said))
    return Lost(why=f"its container ended with {code} and left no exit record" + (f": {said}" if said else ""))


def end_of_pod(pod: Document, now: float, *, is_stopped: bool, heard_at: float = 0.0) -> Exited | Lost | None:
    """Judge a pod that its node took away, or that went with it; what was heard of just now lives."""
    status = pod.get("status") or {}
    reason, said = str(status.get("reason") or ""), str(status.get("message") or "").strip()[:LONGEST]
    node = str((pod.get("spec") or {}).get("nodeName") or "?")
    if reason == "Evicted":
        return _evicted(node, said, now)
    if reason.startswith("Preempt"):
        return Lost(why=f"a more important pod took its place on node {node}")
    if reason in _NODE_GONE:
        return Lost(why=f"node {node} went down ({reason})" + (f": {said}" if said else ""))
    return _silent_node(pod, node, now, is_stopped=is_stopped, heard_at=heard_at)


def _silent_node(pod: Document, node: str, now: float, *, is_stopped: bool, heard_at: float) -> Exited | Lost | None:
    """Judge a pod whose kubelet says nothing: shall be gone and is not, or is not ready though nothing tests it."""
    deleted = (pod.get("metadata") or {}).get("deletionTimestamp")
    unready = condition(pod, "Ready", "False") if heard_at else None
    since = deleted or (unready or {}).get("lastTransitionTime")
    if not since or now - seconds_of(since, now) <= _KUBELET_PATIENCE or now - heard_at <= _KUBELET_PATIENCE:
        return None
    if is_stopped:
        return ended_now(143, "cancelled", now)
    if not deleted and terminated(pod, STEP) is not None:
        return None  # ended, and judged by how
    return Lost(why=f"node {node} does not answer any more (lost, or cut off), and its pod is not heard of either")


def end_of_layout(pod: Document, now: float) -> Exited | None:
    """Judge a first container that ended badly: the one for the source, or the one for the environment."""
    for status in init_statuses(pod):
        end = (status.get("state") or {}).get("terminated")
        if not end or not end.get("exitCode"):
            continue
        if end.get("reason") == "OOMKilled":
            text = "making the environment took more memory than a first container gets (1 GiB)"
            return ended_now(NOT_STARTED, text, now, detail="take fewer or smaller packages, or bring an `image:`")
        record = last_words(end)
        is_environment = status.get("name") == ENVIRONMENT
        message = record.get("message") or (
            "the environment was not made" if is_environment else "the pod could not be laid out"
        )
        said = record or {"cause": str(end.get("message") or "")[-LONGEST:]}
        return _not_laid_out(said, str(message), now)
    return None


def _not_laid_out(said: dict[str, Any], message: str, now: float) -> Exited:
    detail = "; ".join(str(said[part]) for part in ("cause", "hint") if said.get(part))
    return ended_now(NOT_STARTED, message, now, detail=detail)


def _evicted(node: str, said: str, now: float) -> Exited | Lost:
    if any(each in said for each in _OWN_DISK):
        detail = f"node {node} evicted its pod: {said}; raise `resources: {{disk: ...}}` of the step, or write less"
        return ended_now(137, "disk", now, detail=detail)
    hint = "give the step `resources: {memory: ...}`, so that a node keeps room for it"
    return Lost(why=f"node {node} evicted its pod: {said}; {hint}")


def _out_of_memory(pod: Document, code: int, now: float) -> Exited:
    containers = (pod.get("spec") or {}).get("containers") or ()
    step: Document = next((each for each in containers if each.get("name") == STEP), {})
    limit = ((step.get("resources") or {}).get("limits") or {}).get("memory", "")
    what = f"the pod's limit was {limit}" if limit else "the node had no more, and the step names no limit"
    return ended_now(code or 137, "memory", now, detail=f"the cluster killed it (OOMKilled): {what}; {_MEMORY_HINT}")


def _was_told_to_go(record: dict[str, Any]) -> bool:
    return record.get("reason") == "cancelled"


def _by_last_words(record: dict[str, Any], now: float, *, is_stopped: bool) -> Exited | Lost:
    """The pod ended, and the server did not hear of it: the cluster kept its last words."""
    if record.get("message"):
        return _not_laid_out(record, str(record["message"]), now)
    if "exit_code" not in record:
        return Lost(why=str(record.get("why") or record.get("message") or "its pod did not run the code"))
    if _was_told_to_go(record) and not is_stopped:
        return _TAKEN_AWAY
    code, reason = int(record["exit_code"]), str(record.get("reason") or "")
    if code == 0 and not reason:
        why = str(record.get("undeliverable") or "the server was away for too long")[:LONGEST]
        return ended_now(1, "it ended well, but its results were not brought to the server", now, detail=why)
    return ended_now(code, reason, now)


def _cannot_start(said: str) -> str:
    if "python3" in said:
        return "the step's image has no python3 (3.9 or newer), which runs the supervisor: add it to the image"
    return said
