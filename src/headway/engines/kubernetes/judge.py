"""What the cluster's objects say of an attempt that brought no last word; pure: objects in, an end or a reason out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headway.engines.base import Exited, Lost
from headway.engines.kubernetes.documents import ENVIRONMENT, STEP
from headway.engines.kubernetes.ends import (
    NOT_STARTED,
    SETTLES,
    end_of_layout,
    end_of_pod,
    end_of_step,
    ended_now,
    past_deadline,
)
from headway.engines.kubernetes.folder import Begun
from headway.engines.kubernetes.options import KubernetesOptions
from headway.engines.kubernetes.reading import (
    LONGEST,
    Document,
    condition,
    init_statuses,
    job_failure,
    latest_event,
    running_since,
    seconds_of,
    since_when_runs,
    waiting,
)
from headway.kube_errors import refusal

_MOUNT_PATIENCE = 20.0
_CONFIG_PATIENCE = 60.0
_FETCHES_IN = 20.0  # after that, whoever looks is told what may be in the way
_NEVER = frozenset({"ErrImageNeverPull", "InvalidImageName"})
_PULL = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError"})
_CONFIG = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_ABSENT = ("not found", "denied", "unauthorized", "does not exist", "manifest unknown", "no such")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that is known of an attempt whose pod has not said the last word."""

    job: Document | None
    pods: Sequence[Document]
    events: Sequence[Document] = ()  # of the Job and its pods, where they were asked for
    begun: Begun | None = None
    is_stopped: bool = False
    created_at: float = 0.0
    heard_at: float = 0.0  # when the pod last spoke to the server; 0 = never


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """No end yet."""

    why: str = ""  # for a person; "" = nothing to tell
    asks_events: bool = False  # the reason stands in the events, which were not asked for


def judge(facts: Facts, now: float, options: KubernetesOptions) -> Exited | Lost | Waits:
    """Return how the attempt ended, as far as the cluster knows, or what it waits for."""
    if facts.job is not None and job_failure(facts.job) == "DeadlineExceeded":
        return _deadline(facts, now)
    if facts.begun is not None:
        return _running(facts, facts.begun, now)
    if not facts.pods:
        return _without_pod(facts, now, options)
    pod = max(facts.pods, key=lambda each: str(each["metadata"].get("creationTimestamp", "")))
    return (
        end_of_pod(pod, now, is_stopped=facts.is_stopped, heard_at=facts.heard_at)
        or end_of_layout(pod, now)
        or end_of_step(pod, now, is_stopped=facts.is_stopped)
        or _not_begun(pod, facts, now, options)
    )


def _running(facts: Facts, begun: Begun, now: float) -> Exited | Lost | Waits:
    pod = next((each for each in facts.pods if each["metadata"].get("uid") == begun.pod_uid), None)
    if pod is None:
        if facts.is_stopped:
            return ended_now(143, "cancelled", now)
        where = f" on node {begun.node}" if begun.node else ""
        return Lost(why=f"its pod{where} is gone and left no exit record: somebody deleted it, or its node was removed")
    gone = end_of_pod(pod, now, is_stopped=facts.is_stopped, heard_at=facts.heard_at)
    return gone or end_of_step(pod, now, is_stopped=facts.is_stopped) or Waits()


def _deadline(facts: Facts, now: float) -> Exited:
    if facts.begun is None:
        text = "it did not begin before the deadline of its Job (activeDeadlineSeconds)"
        return ended_now(NOT_STARTED, text, now, detail="its pod waited: `kubectl describe job` shows for what")
    return past_deadline(now)


def _without_pod(facts: Facts, now: float, options: KubernetesOptions) -> Exited | Lost | Waits:
    waited = now - facts.created_at
    if waited < SETTLES:
        return Waits()
    if facts.job is None:
        if facts.is_stopped:
            return ended_now(143, "cancelled", now)
        return Lost(why="somebody deleted its Job from the cluster before it began")
    if failure := job_failure(facts.job):
        # From 1.26 on a pod that is deleted counts as failed, and the Job makes no other one.
        return Lost(why=f"its pod was taken away before it began (drained, or deleted), and its Job ended: {failure}")
    if (facts.job.get("spec") or {}).get("suspend"):
        return Waits(why="its Job is held back (suspended): whatever queues jobs in this cluster lets it go on")
    return _not_made(facts, waited, now, options)


def _not_made(facts: Facts, waited: float, now: float, options: KubernetesOptions) -> Exited | Waits:
    said = latest_event(facts.events, "FailedCreate")
    if not said:
        return Waits(why="the cluster has made no pod of it yet", asks_events=True)
    refused = refusal(said)
    if waited > options.create_seconds:
        detail = "; ".join(part for part in (refused.cause, refused.hint) if part)
        return ended_now(NOT_STARTED, f"the cluster did not let it run: {refused.message}", now, detail=detail)
    return Waits(why=f"{refused.message} ({refused.cause}); {refused.hint}", asks_events=True)


def _not_begun(pod: Document, facts: Facts, now: float, options: KubernetesOptions) -> Exited | Waits:
    age = now - seconds_of(pod["metadata"].get("creationTimestamp"), now)
    found = waiting(pod)
    if found is not None:
        reason, said, image = found
        if reason in _NEVER or reason in _PULL:
            return _without_image(reason, said, image, age=age, now=now, options=options)
        if reason in _CONFIG:
            return _without_container(said or reason, age, now)
    unscheduled = condition(pod, "PodScheduled", "False")
    if unscheduled is not None:
        return _unscheduled(unscheduled, now, options)
    return _preparing(pod, facts, now, options)


def _without_image(
    reason: str, said: str, image: str, *, age: float, now: float, options: KubernetesOptions
) -> Exited | Waits:
    if reason in _NEVER:
        text = f"no node has the image {image}, and it may not be fetched"
        hint = "write its name correctly, or load it into the nodes, or let it be fetched (pull policy IfNotPresent)"
        return ended_now(NOT_STARTED, text, now, detail=f"{said}; {hint}" if said else hint)
    is_absent = any(each in said.lower() for each in _ABSENT)
    patience = min(_CONFIG_PATIENCE, options.image_seconds) if is_absent else options.image_seconds
    if age <= patience:
        return Waits(why=f"waits for the image {image}: {said or reason}")
    hint = "check its name and tag, and HEADWAY_KUBERNETES_PULL_SECRET for a private registry"
    text = f"the image {image} cannot be fetched"
    return ended_now(NOT_STARTED, text, now, detail=f"{said}; {hint}" if said else hint)


def _without_container(said: str, age: float, now: float) -> Exited | Waits:
    if age > _CONFIG_PATIENCE:
        return ended_now(NOT_STARTED, "its container cannot be made", now, detail=said)
    return Waits(why=f"its container cannot be made yet: {said}")


def _unscheduled(found: Document, now: float, options: KubernetesOptions) -> Exited | Waits:
    said = str(found.get("message") or found.get("reason") or "").strip()[:LONGEST]
    waited = now - seconds_of(found.get("lastTransitionTime"), now)
    if waited <= options.pending_seconds:
        return Waits(why=f"waits for a node that has room: {said}")
    text = f"no node took it within {options.pending_seconds / 60:g} minutes"
    hint = "ask for less in `resources:` of the step, or add nodes; HEADWAY_KUBERNETES_PENDING_MINUTES is the patience"
    return ended_now(NOT_STARTED, text, now, detail=f"{said}; {hint}")


def _preparing(pod: Document, facts: Facts, now: float, options: KubernetesOptions) -> Waits:
    for status in init_statuses(pod):
        if since := running_since(status):
            is_environment = status.get("name") == ENVIRONMENT
            return Waits(why="its pod makes the environment" if is_environment else _fetching(since, now, options))
    if since := since_when_runs(pod, STEP):  # by itself: its environment stands, or it needs none
        return Waits(why=_fetching(since, now, options))
    if now - seconds_of(pod["metadata"].get("creationTimestamp"), now) < _MOUNT_PATIENCE:
        return Waits(why="its pod is being prepared")
    said = latest_event(facts.events, "FailedMount", "FailedAttachVolume")
    return Waits(why=f"waits for a volume: {said}" if said else "its pod is being prepared", asks_events=True)


def _fetching(since: str, now: float, options: KubernetesOptions) -> str:
    if now - seconds_of(since, now) < _FETCHES_IN:
        return "its pod fetches the source"
    return (
        f"its pod has not got the source yet: is {options.server_url} (HEADWAY_KUBERNETES_SERVER_URL) an address that "
        "pods reach? `headway doctor` says whether anything listens there, the pod's own log what it meets"
    )
