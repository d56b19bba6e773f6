"""What the operator says of the cluster; a project's headway.yaml adds nothing to it but a namespace among these."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headway.settings import KubernetesSettings

POD_ROOT = "/headway"
ATTEMPT = f"{POD_ROOT}/attempt"
ENVIRONMENTS = f"{POD_ROOT}/environments"
INSIDE = f"{POD_ROOT}/inside"
ORDER = f"{POD_ROOT}/order"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """Where environments are kept between pods: exactly one of the two, or neither (made anew for each pod)."""

    claim: str = ""  # a PersistentVolumeClaim; with several nodes one that all of them may write (ReadWriteMany)
    host_path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesOptions:
    """How attempts run in the cluster."""

    image: str  # Headway's own: lays out, makes environments, and runs steps that name no image
    server_url: str  # the server as pods reach it
    namespace: str = "default"  # for projects that name none
    namespaces: tuple[str, ...] = ()  # those that a project may name; () = only `namespace`
    cache: Cache = field(default_factory=Cache)
    index_variables: dict[str, str] = field(default_factory=dict)  # UV_*, HTTPS_PROXY ...: how packages are reached
    index_secret: str = ""  # a Secret of the namespace with further such variables
    pull_policy: str = "IfNotPresent"
    pull_secret: str = ""
    runtime_class: str = ""
    node_selector: dict[str, str] = field(default_factory=dict)
    accelerators: dict[str, str] = field(default_factory=dict)  # name in headway.yaml -> "label=value" of its nodes
    accelerator_resource: str = "nvidia.com/gpu"
    enforces_network: bool = False  # the cluster's network enforces NetworkPolicy
    user: int = 10001
    pending_seconds: float = 3600.0  # an attempt that no node takes is given up after this
    create_seconds: float = 1800.0  # so is one that the cluster refuses for so long (quota, rights, admission)
    lost_seconds: int = 120  # a node that is silent for so long has lost its pods
    step_memory_mb: int = 0  # for steps that say nothing; 0 = none asked for
    overhead_memory_mb: int = 64  # supervisor and door, beside what the step asks for
    spare_disk_mb: int = 1024
    image_seconds: float = 300.0  # an image that cannot be fetched is given up after this
    keep_ended_seconds: float = 300.0  # ended Jobs are taken away after this, and their disk space with them
    hold_seconds: float = 100.0
    answer_seconds: float = 15.0
    drain_seconds: float = 900.0
    sample_seconds: float = 5.0
    poll_seconds: float = 0.5  # how often the keeper looks at what it wants
    watch_seconds: int = 20

    def allows(self, namespace: str) -> bool:
        """Whether a project may have its pods there."""
        return namespace == self.namespace or namespace in self.namespaces


def options_from(settings: KubernetesSettings) -> KubernetesOptions:
    """Return what the operator's settings say; they were checked when they were read."""
    kind, _, place = settings.cache.partition(":")
    return KubernetesOptions(
        image=settings.image,
        server_url=settings.server_url.rstrip("/"),
        namespace=settings.namespaces[0],
        namespaces=settings.namespaces,
        cache=Cache(claim=place if kind == "claim" else "", host_path=place if kind == "host" else ""),
        index_variables=settings.package_variables,
        index_secret=settings.index_secret,
        pull_policy=settings.pull_policy,
        pull_secret=settings.pull_secret,
        runtime_class=settings.runtime_class,
        node_selector=dict(each.split("=", 1) for each in settings.node_selector),
        accelerators=dict(each.split("=", 1) for each in settings.accelerators),
        accelerator_resource=settings.accelerator_resource,
        enforces_network=settings.enforces_network,
        pending_seconds=settings.pending_minutes * 60.0,
        step_memory_mb=settings.step_memory_mb,
    )
