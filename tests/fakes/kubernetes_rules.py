"""What a cluster would say of documents: schemas of ten versions, and the restricted profile of pod security."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

_FILE = Path(__file__).parents[1] / "schemas" / "kubernetes.json"
VERSIONS = tuple(f"1.{minor}" for minor in range(28, 38))

_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
}
_SELINUX = {None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
_PROFILES = {"RuntimeDefault", "Localhost"}


@cache
def _extract() -> Any:
    return json.loads(_FILE.read_text())


@cache
def _validator(version: str, kind: str) -> jsonschema.Draft202012Validator:
    found = _extract()
    schemas = {name: found["schemas"][mark] for name, mark in found["versions"][version].items()}
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{found['kinds'][kind]}", "$defs": schemas})


def schema_problems(document: dict[str, Any], version: str) -> list[str]:
    """What a version of Kubernetes does not take of a document: unknown fields too, as `--validate=strict` says."""
    validator = _validator(version, f"{document['apiVersion']} {document['kind']}")
    return [
        f"{'/'.join(map(str, each.absolute_path))}: {each.message}"[:300] for each in validator.iter_errors(document)
    ]


def restricted_problems(pod: dict[str, Any]) -> list[str]:
    """Every rule of the restricted profile (and of the baseline below it) that a pod's spec breaks."""
    return [*_of_pod(pod), *(problem for each in _containers(pod) for problem in _of_container(pod, each))]


def _containers(pod: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from pod.get(field, ())


def _of_pod(pod: dict[str, Any]) -> Iterator[str]:
    security = pod.get("securityContext", {})
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield field
    for volume in pod.get("volumes", ()):
        for kind in set(volume) - {"name"} - _VOLUMES:
            yield f"volume {volume['name']} is a {kind}"
    for each in security.get("sysctls", ()):
        if each["name"] not in _SYSCTLS:
            yield f"sysctl {each['name']}"
    yield from _shared("pod", security)


def _shared(where: str, security: dict[str, Any]) -> Iterator[str]:
    if security.get("runAsUser") == 0:
        yield f"{where}: runs as root"
    if security.get("seccompProfile", {"type": "RuntimeDefault"}).get("type") not in _PROFILES:
        yield f"{where}: seccomp is off"
    if security.get("appArmorProfile", {"type": "RuntimeDefault"}).get("type") not in _PROFILES:
        yield f"{where}: AppArmor is off"
    linux = security.get("seLinuxOptions", {})
    if linux.get("type") not in _SELINUX or linux.get("user") or linux.get("role"):
        yield f"{where}: SELinux options"
    if security.get("windowsOptions", {}).get("hostProcess"):
        yield f"{where}: hostProcess"


def _of_container(pod: dict[str, Any], container: dict[str, Any]) -> Iterator[str]:
    where, security, outer = container["name"], container.get("securityContext", {}), pod.get("securityContext", {})
    yield from _shared(where, security)
    if security.get("privileged"):
        yield f"{where}: privileged"
    if security.get("allowPrivilegeEscalation") is not False:
        yield f"{where}: may gain privileges"
    capabilities = security.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", ()):
        yield f"{where}: keeps capabilities"
    if set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
        yield f"{where}: adds capabilities"
    if security.get("procMount", "Default") != "Default":
        yield f"{where}: procMount"
    yield from _inherited(where, security, outer)
    yield from _reached(container)


def _inherited(where: str, security: dict[str, Any], outer: dict[str, Any]) -> Iterator[str]:
    if not security.get("runAsNonRoot", outer.get("runAsNonRoot")):
        yield f"{where}: may run as root"
    if "seccompProfile" not in security and "seccompProfile" not in outer:
        yield f"{where}: has no seccomp profile"


def _reached(container: dict[str, Any]) -> Iterator[str]:
    where = container["name"]
    for port in container.get("ports", ()):
        if port.get("hostPort"):
            yield f"{where}: host port {port['hostPort']}"
    hooks = [container.get(name, {}) for name in ("livenessProbe", "readinessProbe", "startupProbe")]
    hooks += container.get("lifecycle", {}).values()
    for hook in hooks:
        for action in ("httpGet", "tcpSocket"):
            if hook.get(action, {}).get("host"):
                yield f"{where}: a probe of another host"
