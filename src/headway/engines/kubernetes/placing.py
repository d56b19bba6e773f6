"""What pods of steps and of endpoints share: the nodes that have their accelerators, and the cache of environments."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from headway.errors import UsageError


def accelerator_count(asked: str | None) -> str:
    """Return how many are asked for by `NAME:COUNT`; "" when none are."""
    if not asked:
        return ""
    count = asked.partition(":")[2]
    if count and not count.isdigit():
        raise UsageError(f"accelerators: {asked!r} names no number", hint="write NAME:NUMBER, such as H100:1")
    return str(int(count or 1))


def accelerator_nodes(asked: str | None, known: Mapping[str, str]) -> dict[str, str]:
    """Return the label of the nodes that have what is asked for; where the operator names none, any node may.

    Raises:
        UsageError: the operator names others only.
    """
    if not asked or not known:
        return {}
    name = asked.partition(":")[0]
    if name not in known:
        raise UsageError(
            f"this cluster has no accelerators called {name!r}",
            cause=f"the operator names: {', '.join(sorted(known))}",
            hint="use one of these in `resources: {accelerators: ...}`, or have it added to "
            "HEADWAY_KUBERNETES_ACCELERATORS",
        )
    label, _, value = known[name].partition("=")
    return {label: value}


def cache_volume(*, claim: str, host_path: str, limit: str = "") -> dict[str, Any]:
    """Return where environments are kept: a claim, a folder of the node that must be there, or nothing that lasts."""
    if claim:
        return {"persistentVolumeClaim": {"claimName": claim}}
    if host_path:
        # One that the kubelet makes would be root's, and nobody could write to it.
        return {"hostPath": {"path": posixpath.normpath(host_path), "type": "Directory"}}
    return {"emptyDir": {"sizeLimit": limit} if limit else {}}
