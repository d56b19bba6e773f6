"""Whether the cluster answers, and whether the server may do there what attempts need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from headway.engines.kubernetes.options import KubernetesOptions
from headway.engines.proof import Finding
from headway.errors import HeadwayError
from headway.kube_errors import MANIFEST

if TYPE_CHECKING:
    from headway.kube import Kube

# kind, subresource, verbs: the least that attempts need; deploy/kubernetes/rbac.yaml gives no more
RIGHTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Job", "", ("create", "get", "list", "watch", "delete")),
    ("Pod", "", ("list", "watch")),
    ("Pod", "log", ("get",)),
    ("Secret", "", ("create", "get", "patch", "delete")),
    ("Event", "", ("list",)),
)


def prove(connect: Callable[[], Kube], options: KubernetesOptions) -> Iterator[Finding]:
    """Look at the cluster, then at each namespace that projects may name."""
    try:
        kube = connect()
        version = kube.version()
    except HeadwayError as error:
        yield Finding(name="kubernetes", state="fail", found=error.message, cause=error.cause, hint=error.hint)
        return
    yield Finding(
        name="kubernetes", state="ok", found=f"{version} at {kube.address}; pods reach us at {options.server_url}"
    )
    for namespace in dict.fromkeys((options.namespace, *options.namespaces)):
        yield _namespace(kube, namespace)
    if not options.enforces_network:
        yield Finding(
            name="kubernetes network",
            state="warn",
            found="code from forks is not taken: nobody has said that the cluster enforces NetworkPolicy",
            hint="apply deploy/kubernetes/network.yaml where the network enforces it, and set "
            "HEADWAY_KUBERNETES_ENFORCES_NETWORK=1",
        )


def _namespace(kube: Kube, namespace: str) -> Finding:
    name = f"kubernetes namespace {namespace}"
    try:
        missing = [
            f"{verb} {kind.lower()}s{f'/{part}' if part else ''}"
            for kind, part, verbs in RIGHTS
            for verb in verbs
            if not kube.may(verb, kind, namespace=namespace, subresource=part)
        ]
    except HeadwayError as error:
        return Finding(name=name, state="fail", found=error.message, cause=error.cause, hint=error.hint)
    if missing:
        return Finding(
            name=name,
            state="fail",
            found=f"the server may not {', '.join(missing)} there",
            cause="it asked the cluster (SelfSubjectAccessReview); a namespace that is not there looks the same",
            hint=f"kubectl apply -n {namespace} -f {MANIFEST}",
        )
    return Finding(name=name, state="ok", found="the server may do all that attempts need")
