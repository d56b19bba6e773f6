"""Reading the cluster's objects, of which any field may be absent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

Document = Mapping[str, Any]
LONGEST = 400  # characters of what the cluster says that are shown

_COMMON = (None, "PodInitializing", "ContainerCreating")


def job_failure(job: Document) -> str:
    """Return why a Job has failed; "" when it has not."""
    for each in (job.get("status") or {}).get("conditions") or ():
        if each.get("type") == "Failed" and each.get("status") == "True":
            return str(each.get("reason") or "Failed")
    return ""


def init_statuses(pod: Document) -> list[Document]:
    """Return what is known of the first containers; a sidecar that the cluster adds runs beside and is none of them."""
    sidecars = {
        each.get("name")
        for each in (pod.get("spec") or {}).get("initContainers") or ()
        if each.get("restartPolicy") == "Always"
    }
    found = (pod.get("status") or {}).get("initContainerStatuses") or ()
    return [each for each in found if each.get("name") not in sidecars]


def terminated(pod: Document, name: str) -> Document | None:
    """Return how a container ended; None when it has not."""
    for each in (pod.get("status") or {}).get("containerStatuses") or ():
        if each.get("name") == name:
            found = (each.get("state") or {}).get("terminated")
            return found if isinstance(found, dict) else None
    return None


def running_since(status: Document) -> str:
    """Return since when a container runs, "now" where the cluster does not say; "" when it does not run."""
    found = (status.get("state") or {}).get("running")
    return "" if found is None else str(found.get("startedAt") or "now")


def since_when_runs(pod: Document, name: str) -> str:
    """Return since when the pod's container of that name runs; "" when it does not."""
    found = (pod.get("status") or {}).get("containerStatuses") or ()
    return next((running_since(each) for each in found if each.get("name") == name), "")


def waiting(pod: Document) -> tuple[str, str, str] | None:
    """Return reason, message and image of a container that waits for more than its turn."""
    for each in [*init_statuses(pod), *((pod.get("status") or {}).get("containerStatuses") or ())]:
        found = (each.get("state") or {}).get("waiting")
        if found and found.get("reason") not in _COMMON:
            said = str(found.get("message") or "").strip()[:LONGEST]
            return str(found["reason"]), said, str(each.get("image") or "")
    return None


def condition(pod: Document, kind: str, status: str) -> Document | None:
    """Return the condition of that kind when it has that status."""
    for each in (pod.get("status") or {}).get("conditions") or ():
        if each.get("type") == kind and each.get("status") == status:
            return dict(each)
    return None


def last_words(end: Document) -> dict[str, Any]:
    """Return what a container of ours left as its termination message; {} for anybody else's."""
    try:
        found = json.loads(str(end.get("message") or ""))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def latest_event(events: Sequence[Document], *reasons: str) -> str:
    """Return what the newest event with one of these reasons says; "" when there is none."""
    found = [each for each in events if each.get("reason") in reasons]
    if not found:
        return ""
    newest = max(found, key=lambda each: str(each.get("lastTimestamp") or each.get("eventTime") or ""))
    return str(newest.get("message") or "")[:LONGEST]


def seconds_of(text: object, otherwise: float) -> float:
    """Return a time of the cluster as seconds since 1970."""
    try:
        return datetime.fromisoformat(str(text)).timestamp() if text else otherwise
    except ValueError:
        return otherwise
