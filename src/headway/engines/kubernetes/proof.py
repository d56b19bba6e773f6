"""Whether the cluster answers, and whether the server may do there what attempts need."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from headway.engines.kubernetes.options import KubernetesOptions
from headway.engines.proof import Finding
from headway.errors import HeadwayError
from headway.kube_errors import rights_command

if TYPE_CHECKING:
    from headway.kube import Kube

Rights = tuple[tuple[str, str, tuple[str, ...]], ...]  # kind, subresource, verbs

# The least that attempts need; deploy/kubernetes/rbac.yaml gives no more
RIGHTS: Rights = (
    ("Job", "", ("create", "get", "list", "watch", "delete")),
    ("Pod", "", ("list", "watch")),
    ("Pod", "log", ("get",)),
    ("Secret", "", ("create", "get", "patch", "delete")),
    ("Event", "", ("list",)),
)

_ANSWERS = 3.0


def prove(connect: Callable[[], Kube], options: KubernetesOptions) -> Iterator[Finding]:
    """Look at the cluster, then at each namespace that projects may name."""
    try:
        kube = connect()
        version = kube.version()
    except HeadwayError as error:
        yield Finding(name="kubernetes", state="fail", found=error.message, cause=error.cause, hint=error.hint)
        return
    yield Finding(name="kubernetes", state="ok", found=f"{version} at {kube.address}")
    yield _address(options.server_url)
    for namespace in dict.fromkeys((options.namespace, *options.namespaces)):
        yield _namespace(kube, namespace)
    if not options.enforces_network:
        yield Finding(
            name="kubernetes network",
            state="warn",
            found="code from forks is not taken: nobody has said that the cluster enforces NetworkPolicy",
            hint="`headway kubernetes manifests network`, where the network enforces that, and set "
            "HEADWAY_KUBERNETES_ENFORCES_NETWORK=1",
        )


def _address(url: str) -> Finding:
    """Say whether anything listens at the address that pods are told; that they reach it, too, only they can say."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if parts.hostname in ("localhost", "::1") or str(parts.hostname).startswith("127."):
        return Finding(
            name="kubernetes address",
            state="fail",
            found=f"pods are told {url}, which leads each pod to itself",
            hint="set HEADWAY_KUBERNETES_SERVER_URL to an address of this machine that pods reach",
        )
    try:
        socket.create_connection((str(parts.hostname), port), timeout=_ANSWERS).close()
    except OSError as error:
        return Finding(
            name="kubernetes address",
            state="warn",
            found=f"pods are told {url}, and nothing answers there from here either",
            cause=str(error),
            hint="listen there (HEADWAY_HOST, HEADWAY_PORT), or correct HEADWAY_KUBERNETES_SERVER_URL",
        )
    return Finding(name="kubernetes address", state="ok", found=f"pods are told {url}; it answers from here")


def missing_rights(kube: Kube, rights: Rights, namespace: str) -> list[str]:
    """Ask the cluster for each right, and return in words those that the server lacks in a namespace."""
    return [
        f"{verb} {kind.lower()}s{f'/{part}' if part else ''}"
        for kind, part, verbs in rights
        for verb in verbs
        if not kube.may(verb, kind, namespace=namespace, subresource=part)
    ]


def _namespace(kube: Kube, namespace: str) -> Finding:
    name = f"kubernetes namespace {namespace}"
    try:
        missing = missing_rights(kube, RIGHTS, namespace)
    except HeadwayError as error:
        return Finding(name=name, state="fail", found=error.message, cause=error.cause, hint=error.hint)
    if missing:
        return Finding(
            name=name,
            state="fail",
            found=f"the server may not {', '.join(missing)} there",
            cause="it asked the cluster (SelfSubjectAccessReview); a namespace that is not there looks the same",
            hint=rights_command(namespace),
        )
    return Finding(name=name, state="ok", found="the server may do all that attempts need")
