"""What the operator says of every pod of an endpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headway.serving.front import Options
from headway.serving.kubernetes.exchange import PORT

if TYPE_CHECKING:
    from headway.settings import KubernetesSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSettings:
    """How endpoints run in the cluster."""

    image: str
    server_url: str  # as the pods reach the server
    namespaces: tuple[str, ...]  # those that may be used; the first is the usual one
    cache: str = "empty"  # where environments stand: empty | claim:NAME | host:/path
    variables: dict[str, str] = field(default_factory=dict)  # of the agent: package index, proxy
    index_secret: str = ""  # a Secret whose entries are variables of the agent, e.g. an index with a password
    pull_policy: str = "IfNotPresent"
    pull_secret: str = ""
    runtime_class: str = ""
    node_selector: dict[str, str] = field(default_factory=dict)
    accelerators: dict[str, str] = field(default_factory=dict)  # name in headway.yaml -> "label=value" of its nodes
    accelerator_resource: str = "nvidia.com/gpu"
    service_port: int = PORT
    options: Options = field(default_factory=Options)


def pod_settings(settings: KubernetesSettings) -> PodSettings:
    """Return what the operator's settings say; they were checked when they were read."""
    return PodSettings(
        image=settings.image,
        server_url=settings.server_url.rstrip("/"),
        namespaces=settings.namespaces,
        cache=settings.cache,
        variables=settings.package_variables,
        index_secret=settings.index_secret,
        pull_policy=settings.pull_policy,
        pull_secret=settings.pull_secret,
        runtime_class=settings.runtime_class,
        node_selector=dict(each.split("=", 1) for each in settings.node_selector),
        accelerators=dict(each.split("=", 1) for each in settings.accelerators),
        accelerator_resource=settings.accelerator_resource,
    )
