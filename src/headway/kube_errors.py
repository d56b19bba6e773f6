"""What a cluster says when it does not do what it was asked, as errors that name the cause and the way out."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Any

from headway.errors import Conflict, HeadwayError, NotFound, Refused, Unreachable, UsageError

_CANNOT = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]+)")?'
)
_QUOTA = re.compile(r"exceeded quota: (?P<quota>[^,]+), requested: (?P<asked>.+?), used: (?P<used>.+?), limited: (.+)")
_MISSING_NAMESPACE = re.compile(r'namespaces "(?P<name>[^"]+)" not found')
_LONGEST = 500


def rights_command(namespace: str) -> str:
    """Return what gives the server its rights in a namespace, wherever Headway is installed."""
    return f"headway kubernetes manifests rbac --namespace {namespace} | kubectl apply -f -"


class Why(StrEnum):
    """Why a cluster refuses."""

    RBAC = "rbac"
    QUOTA = "quota"
    ADMISSION = "admission"
    LOGIN = "login"
    LIMITS = "limits"  # a LimitRange, or what the cluster allows a container


class ClusterAway(Unreachable):
    """The API server does not answer, or answers that it cannot now."""

    code = "CLUSTER_AWAY"

    @classmethod
    def of(cls, address: str, error: Exception) -> ClusterAway:
        """Return the error for a connection that failed."""
        why = str(error) or type(error).__name__
        return cls(
            f"the cluster at {address} does not answer",
            cause=why[:_LONGEST],
            hint="jobs go on by themselves once it does; `headway doctor` says when",
        )


class WatchGap(Unreachable):
    """Changes were missed: what is there must be listed again."""

    code = "WATCH_GAP"


class ClusterRefused(Refused):
    """The cluster understood and does not allow it."""

    code = "CLUSTER_REFUSED"

    def __init__(self, message: str, *, why: Why, cause: str = "", hint: str = "") -> None:
        """Keep the kind of refusal beside the words."""
        super().__init__(message, cause=cause, hint=hint)
        self.why = why


def explain(method: str, path: str, status: int, text: str, address: str) -> HeadwayError:
    """Return the error that an answer of the API server stands for."""
    said = _said(text)
    message = str(said.get("message") or text)[:_LONGEST]
    if status == 401:
        return ClusterRefused(
            f"the cluster at {address} does not know the server's login",
            why=Why.LOGIN,
            cause=message,
            hint="renew the token or certificate in the kubeconfig that HEADWAY_KUBERNETES_KUBECONFIG names",
        )
    if status == 403:
        return refusal(message)
    if status == 404:
        return _absent(message, path)
    if status in (409, 410):
        kind = Conflict if status == 409 else WatchGap
        return kind(f"the cluster has moved on with {path}", cause=message, hint="it is read again by itself")
    if status in (400, 413, 415, 422):
        return refusal(message) if _is_admission(message) else _senseless(method, path, message)
    return ClusterAway(
        f"the cluster at {address} answers {status} to {method} {path}",
        cause=message,
        hint="jobs go on by themselves once it does better; `headway doctor` says when",
    )


def refusal(message: str) -> ClusterRefused:
    """Return what a refusal says, by the server or by one of its controllers in an event."""
    if found := _QUOTA.search(message):
        return ClusterRefused(
            f"the quota {found['quota']} of the namespace is used up",
            why=Why.QUOTA,
            cause=f"asked for {found['asked']}, in use {found['used']}, allowed {found[4]}"[:_LONGEST],
            hint="it is tried again by itself; wait for other jobs, lower `resources:` of the step, or raise the quota",
        )
    if "failed quota" in message:
        return ClusterRefused(
            "the quota of the namespace demands a figure that the step does not give",
            why=Why.QUOTA,
            cause=message[:_LONGEST],
            hint="give `resources: {cpus: 1, memory: 2Gi}` to the step in headway.yaml",
        )
    if found := _CANNOT.search(message):
        where = f" in the namespace {found['namespace']}" if found["namespace"] else ""
        return ClusterRefused(
            f"the server may not {found['verb']} {found['resource']}{where}",
            why=Why.RBAC,
            cause=f"{found['user']} lacks the right ({found['verb']} {found['resource']}"
            + (f".{found['group']}" if found["group"] else "")
            + ")",
            hint=rights_command(found["namespace"] or "NAMESPACE"),
        )
    if re.search(r"(maximum|minimum) (cpu|memory|ephemeral-storage) usage per|must be less than or equal", message):
        return ClusterRefused(
            "the namespace's limits do not allow what the step asks for",
            why=Why.LIMITS,
            cause=message[:_LONGEST],
            hint="lower `resources:` of the step, or change the LimitRange of the namespace",
        )
    return ClusterRefused(
        "an admission rule of the cluster refuses the pod",
        why=Why.ADMISSION,
        cause=message[:_LONGEST],
        hint="show this to whoever runs the cluster: the rule's own words are above",
    )


def _is_admission(message: str) -> bool:
    return "admission webhook" in message or "violates PodSecurity" in message or "security policy" in message


def _absent(message: str, path: str) -> HeadwayError:
    if found := _MISSING_NAMESPACE.search(message):
        return NotFound(
            f"the cluster has no namespace {found['name']!r}",
            cause="engine: {namespace: ...} of headway.yaml or HEADWAY_KUBERNETES_NAMESPACES names it",
            hint=f"kubectl create namespace {found['name']}, then {rights_command(found['name'])}",
        )
    return NotFound(f"the cluster has no {path}", cause=message)


def _senseless(method: str, path: str, message: str) -> UsageError:
    return UsageError(
        f"the cluster does not take this {path.rpartition('/')[2]}",
        cause=f"{method} {path}: {message}"[:_LONGEST],
        hint="look at `resources:`, `image:` and `volumes:` of the step in headway.yaml",
    )


def _said(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
