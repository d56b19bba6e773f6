"""What the server must be allowed to do in a namespace of endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.engines.kubernetes.proof import Rights, missing_rights
from headway.engines.proof import Finding
from headway.kube_errors import rights_command

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headway.kube import Kube

# The least that endpoints need; deploy/kubernetes/rbac.yaml gives no more.
RIGHTS: Rights = (
    ("Deployment", "", ("create", "patch", "list", "delete")),
    ("Service", "", ("create", "patch", "delete")),
    ("Secret", "", ("create", "patch", "delete")),
    ("Pod", "", ("list",)),
    ("PodDisruptionBudget", "", ("create", "patch", "delete")),
)


def prove(kube: Kube, namespaces: Iterable[str]) -> Iterator[Finding]:
    """Say of each namespace whether endpoints could live there.

    Errors: those of `Kube`.
    """
    for namespace in namespaces:
        missing = missing_rights(kube, RIGHTS, namespace)
        yield Finding(
            name=f"kubernetes endpoints in {namespace}",
            state="fail" if missing else "ok",
            found=f"the server may not {', '.join(missing)} there" if missing else "the server may do all they need",
            hint=rights_command(namespace) if missing else "",
        )
