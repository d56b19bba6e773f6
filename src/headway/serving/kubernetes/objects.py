"""The objects of an endpoint: Deployment, Service, budget, and the Secret with the token of its pods; pure.

Every pod keeps to the restricted profile of pod security, every field of it (a test looks).
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from headway.engines.kubernetes.placing import accelerator_count, accelerator_nodes, cache_volume
from headway.serving.kubernetes.exchange import ENDPOINT, ENVIRONMENTS, MODELS, PORT, TOKEN
from headway.serving.release import STAGING

if TYPE_CHECKING:
    from headway.serving.kubernetes.options import PodSettings
    from headway.serving.model import Deployment

Document = dict[str, Any]

LABELS = {"app.kubernetes.io/managed-by": "headway", "app.kubernetes.io/component": "endpoint"}
SELECTOR = ",".join(f"{name}={value}" for name, value in LABELS.items())
NAME_LABEL = "headway.dev/endpoint"
SERVER_MARK = "headway.dev/server"  # an annotation: whose endpoint it is
UID = 10001
DRAIN_SECONDS = 10  # from "no new connections" to the end of the process, so that every proxy has heard of it
_LONGEST_SLUG = 48
_PLAIN = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?\Z")
_VERSIONS = 3  # at most so many are loaded at once: the one that serves, the one that comes, one that ends


def slug(name: str) -> str:
    """Return the name of a deployment's objects: what it is called, as far as Kubernetes allows."""
    plain = re.sub(r"[^a-z0-9-]", "-", name.lower())
    if plain == name and _PLAIN.match(plain) and len(plain) <= _LONGEST_SLUG:
        return f"headway-{plain}"
    mark = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"headway-{plain[: _LONGEST_SLUG - 9].strip('-')}-{mark}"


def replicas(wanted: Deployment) -> int:
    """Return how many pods answer; in staging one is enough for a test."""
    return 1 if wanted.environment == STAGING else max(1, wanted.spec.replicas_min)


def digest(documents: tuple[Document, ...]) -> str:
    """Return a digest of what shall stand in the cluster, to tell whether it was applied as it is now."""
    return hashlib.sha256(json.dumps(documents, sort_keys=True).encode()).hexdigest()


def token_secret(name: str, namespace: str, token: str) -> Document:
    """Return the Secret that the agents of a deployment read their token from."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _metadata(name, namespace, f"{slug(name)}-token"),
        "type": "Opaque",
        "stringData": {"token": token},
    }


def service(name: str, namespace: str, port: int = PORT) -> Document:
    """Return the Service that is the endpoint's address."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(name, namespace, slug(name)),
        "spec": {
            "type": "ClusterIP",
            "selector": {NAME_LABEL: slug(name)},
            "ports": [{"name": "http", "port": port, "targetPort": "http", "protocol": "TCP"}],
        },
    }


def budget(name: str, namespace: str) -> Document:
    """Return what keeps a drain from taking the next pod before the last one's successor answers; one alone may go."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(name, namespace, slug(name)),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {NAME_LABEL: slug(name)}}},
    }


def workload(wanted: Deployment, namespace: str, settings: PodSettings, *, server: str = "") -> Document:
    """Return the Deployment; which versions serve is no part of it, so that a rollout replaces no pod."""
    labels = {**LABELS, NAME_LABEL: slug(wanted.name)}
    metadata = _metadata(wanted.name, namespace, slug(wanted.name))
    routes = ", ".join(f"{route.model} v{route.version} {route.weight} %" for route in wanted.routes)
    metadata["annotations"] |= {"headway.dev/routes": routes, "headway.dev/revision": str(wanted.revision)}
    metadata["annotations"][SERVER_MARK] = server
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "replicas": replicas(wanted),
            "selector": {"matchLabels": {NAME_LABEL: slug(wanted.name)}},
            # A new pod answers before an old one ends.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "minReadySeconds": 2,
            "progressDeadlineSeconds": 1800,
            "revisionHistoryLimit": 2,
            "template": {"metadata": {"labels": labels}, "spec": _pod(wanted, settings)},
        },
    }


def _metadata(name: str, namespace: str, object_name: str) -> Document:
    return {
        "name": object_name,
        "namespace": namespace,
        "labels": {**LABELS, NAME_LABEL: slug(name)},
        "annotations": {"headway.dev/deployment": name},
    }


def _cache(cache: str) -> Document:
    kind, _, where = cache.partition(":")
    is_host = kind == "host"
    return cache_volume(claim="" if is_host else where, host_path=where if is_host else "", limit="20Gi")


def _pod(wanted: Deployment, settings: PodSettings) -> Document:
    pod: Document = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": DRAIN_SECONDS + int(settings.options.launch.request_timeout) + 10,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": UID,
            "runAsGroup": UID,
            "fsGroup": UID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_front(wanted, settings), _agent(wanted, settings)],
        "volumes": [
            {"name": "endpoint", "emptyDir": {"sizeLimit": "2Gi"}},
            {"name": "models", "emptyDir": {"sizeLimit": "20Gi"}},
            {"name": "environments", **_cache(settings.cache)},
            {"name": "front-tmp", "emptyDir": {"sizeLimit": "2Gi"}},
            {"name": "agent-tmp", "emptyDir": {"sizeLimit": "2Gi"}},
            {"name": "token", "secret": {"secretName": f"{slug(wanted.name)}-token", "defaultMode": 0o440}},
        ],
    }
    if replicas(wanted) > 1:
        # Together on one node they would go together.
        spread = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
        mine = {"labelSelector": {"matchLabels": {NAME_LABEL: slug(wanted.name)}}}
        pod["topologySpreadConstraints"] = [spread | mine]
    if settings.pull_secret:
        pod["imagePullSecrets"] = [{"name": settings.pull_secret}]
    if settings.runtime_class:
        pod["runtimeClassName"] = settings.runtime_class
    selector = settings.node_selector | accelerator_nodes(wanted.spec.resources.accelerators, settings.accelerators)
    if selector:
        pod["nodeSelector"] = selector
    return pod


def _front(wanted: Deployment, settings: PodSettings) -> Document:
    """The front and its scorers: no token, no way to the server, models and environments for reading only."""
    health = {"path": "/v2/health/live", "port": "http"}
    return {
        "name": "front",
        "image": settings.image,
        "imagePullPolicy": settings.pull_policy,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "command": ["python3", "-m", "headway.serving.kubernetes.pod_front", ENDPOINT],
        "env": [{"name": "HOME", "value": "/tmp"}],  # noqa: S108  # the pod's own
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "resources": _resources(wanted, settings),
        "securityContext": _sealed(),
        "volumeMounts": [
            {"name": "endpoint", "mountPath": ENDPOINT},
            {"name": "models", "mountPath": MODELS, "readOnly": True},
            {"name": "environments", "mountPath": ENVIRONMENTS, "readOnly": True},
            {"name": "front-tmp", "mountPath": "/tmp"},  # noqa: S108  # the pod's own
        ],
        "readinessProbe": {
            "httpGet": {"path": "/v2/health/ready", "port": "http"},
            "periodSeconds": 2,
            "failureThreshold": 2,
            "timeoutSeconds": 2,
        },
        # The front listens only once it knows what to serve: until then only the agent can be at fault.
        "startupProbe": {"httpGet": health, "periodSeconds": 2, "failureThreshold": 1800, "timeoutSeconds": 2},
        "livenessProbe": {"httpGet": health, "periodSeconds": 10, "failureThreshold": 6, "timeoutSeconds": 5},
        "lifecycle": {"preStop": {"exec": {"command": _drain()}}},
    }


def _drain() -> list[str]:
    return ["python3", "-m", "headway.serving.kubernetes.drain", ENDPOINT, str(DRAIN_SECONDS)]


def _agent(wanted: Deployment, settings: PodSettings) -> Document:
    """The agent: it holds the token, fetches files and reports; no code of a model runs beside it."""
    agent: Document = {
        "name": "agent",
        "image": settings.image,
        "imagePullPolicy": settings.pull_policy,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "command": ["python3", "-m", "headway.serving.kubernetes.agent", wanted.name],
        "env": [
            {"name": "HOME", "value": "/tmp"},  # noqa: S108  # the pod's own
            {"name": "HEADWAY_POD_SERVER", "value": settings.server_url},
            {"name": "HEADWAY_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
            {"name": "HEADWAY_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            *({"name": name, "value": value} for name, value in sorted(settings.variables.items())),
        ],
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": _sealed(),
        "volumeMounts": [
            {"name": "endpoint", "mountPath": ENDPOINT},
            {"name": "models", "mountPath": MODELS},
            {"name": "environments", "mountPath": ENVIRONMENTS},
            {"name": "agent-tmp", "mountPath": "/tmp"},  # noqa: S108  # the pod's own
            {"name": "token", "mountPath": TOKEN.rpartition("/")[0], "readOnly": True},
        ],
    }
    if settings.index_secret:
        agent["envFrom"] = [{"secretRef": {"name": settings.index_secret}}]
    return agent


def _resources(wanted: Deployment, settings: PodSettings) -> Document:
    asked = wanted.spec.resources
    cpu = f"{max(1, round(asked.cpus * 1000))}m" if asked.cpus else "100m"
    memory = asked.memory_mb or 0
    found: Document = {
        "requests": {"cpu": cpu, "memory": f"{memory + 256}Mi"},
        "limits": {"memory": f"{memory * _VERSIONS + 512}Mi" if memory else "4Gi"},
    }
    if count := accelerator_count(asked.accelerators):
        found["limits"][settings.accelerator_resource] = count
    return found


def _sealed() -> Document:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
