"""The Secret and the Job of an attempt, as pure functions of the attempt and the operator's options."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import msgspec

from headway.engines.base import AttemptSpec
from headway.engines.kubernetes.options import ATTEMPT, ENVIRONMENTS, INSIDE, ORDER, KubernetesOptions
from headway.engines.kubernetes.placing import accelerator_count, accelerator_nodes, cache_volume
from headway.engines.kubernetes.pod_order import pod_command
from headway.engines.kubernetes.standing import Place
from headway.environments.model import EnvKind, Tier

Document = dict[str, Any]

MANAGED_BY = "headway"
COMPONENT = "attempt"
ATTEMPT_LABEL = "headway.dev/attempt"
SERVER_LABEL = "headway.dev/server"
SOURCE, ENVIRONMENT, STEP = "source", "environment", "step"
_KEEP_ENDED = 86_400  # where the cluster has it (1.23); the engine itself takes them away earlier
_DEADLINE_SPARE = 3_600
_LONGEST_VARIABLE = 96 << 10  # bytes; Linux takes 128 KiB, its name and what JSON's escapes add included
_LABEL = re.compile(r"[^A-Za-z0-9._-]+")


def job_name(attempt: str) -> str:
    """Return the one name that the Job of an attempt can have: creating it again finds it."""
    return f"headway-{attempt.lower()}"


def server_label(server_url: str, root: str) -> str:
    """Return what marks the objects of this server: another one's in the same namespace are not its business."""
    return hashlib.sha256(f"{server_url} {root}".encode()).hexdigest()[:16]


def selector(server: str) -> str:
    """Return the label selector of everything that this server's attempts have."""
    return f"app.kubernetes.io/managed-by={MANAGED_BY},app.kubernetes.io/component={COMPONENT},{SERVER_LABEL}={server}"


def secret_document(spec: AttemptSpec, options: KubernetesOptions, *, namespace: str, server: str) -> Document:
    """Return the order of an attempt: the pod's description only names it, so no value stands there."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": job_name(spec.id), "namespace": namespace, "labels": _labels(spec, server)},
        "immutable": True,
        "type": "Opaque",
        "stringData": {"command.json": _command(spec, options), "token": spec.door.token if spec.door else ""},
    }


def environment_place(spec: AttemptSpec, namespace: str) -> Place | None:
    """Return the environment that the attempt's pod must find or make; None when its image is all that it needs."""
    if spec.env is None or spec.env.kind is EnvKind.IMAGE or spec.image:
        return None
    return Place(namespace=namespace, tier=spec.tier, digest=spec.env.digest)


def job_document(
    spec: AttemptSpec,
    options: KubernetesOptions,
    *,
    namespace: str,
    server: str,
    source_digest: str,
    environment_stands: bool = False,
) -> Document:
    """Return the Job of an attempt: one pod, tried once by the cluster; whether to try again is decided here.

    Nothing to install and Headway's own image: then its one container fetches the source itself. Each container that
    comes before costs a round of the kubelet, about a second.
    """
    labels = _labels(spec, server)
    place = environment_place(spec, namespace)
    makes_environment = place is not None and not environment_stands
    is_alone = not (makes_environment or spec.image) and len(_command(spec, options)) <= _LONGEST_VARIABLE
    job: Document = {
        "backoffLimit": 0,
        "completions": 1,
        "parallelism": 1,
        "ttlSecondsAfterFinished": _KEEP_ENDED,
        "template": {"metadata": {"labels": labels}},
    }
    pod = _pod(spec, options, source_digest, is_alone=is_alone, makes_environment=makes_environment)
    job["template"]["spec"] = pod
    if spec.timeout is not None:
        # A backstop only: the supervisor ends the step at its own timeout, which counts from the step's beginning.
        waits = options.pending_seconds + options.drain_seconds + _DEADLINE_SPARE
        job["activeDeadlineSeconds"] = int(spec.timeout.total_seconds() + spec.grace.total_seconds() + waits)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(spec.id),
            "namespace": namespace,
            "labels": labels,
            "annotations": {"headway.dev/step": spec.task, "headway.dev/job": spec.job_id},
        },
        "spec": job,
    }


def _labels(spec: AttemptSpec, server: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/managed-by": MANAGED_BY,
        "app.kubernetes.io/component": COMPONENT,
        SERVER_LABEL: server,
        ATTEMPT_LABEL: spec.id,
        "headway.dev/step": _LABEL.sub("-", spec.task)[:63].strip("-._") or "step",
        "headway.dev/tier": Tier(spec.tier).name.lower(),
        "headway.dev/network": "open" if spec.network else "none",
    }


def _command(spec: AttemptSpec, options: KubernetesOptions) -> str:
    return json.dumps(pod_command(spec, options))


def _pod(
    spec: AttemptSpec, options: KubernetesOptions, source_digest: str, *, is_alone: bool, makes_environment: bool
) -> Document:
    told = {"HEADWAY_POD_SERVER": options.server_url, "HEADWAY_POD_SOURCE": source_digest}
    told |= {"HEADWAY_POD_ATTEMPT": spec.id, "HEADWAY_POD_FOLDER": ATTEMPT}
    before = [] if is_alone else [_source_container(spec, options, told)]
    if makes_environment:
        before.append(_environment_container(spec, options))
    wait = int(spec.grace.total_seconds()) + 60
    pod: Document = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": wait,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": options.user,
            "runAsGroup": options.user,
            "fsGroup": options.user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": before,
        "containers": [_step_container(spec, options, told if is_alone else {})],
        "volumes": _volumes(spec, options, is_alone=is_alone, makes_environment=makes_environment),
        "tolerations": [
            {"key": f"node.kubernetes.io/{each}", "operator": "Exists", "effect": "NoExecute"}
            | {"tolerationSeconds": options.lost_seconds}
            for each in ("not-ready", "unreachable")
        ],
    }
    if options.pull_secret:
        pod["imagePullSecrets"] = [{"name": options.pull_secret}]
    if options.runtime_class:
        pod["runtimeClassName"] = options.runtime_class
    nodes = options.node_selector | accelerator_nodes(spec.resources.accelerators, options.accelerators)
    if nodes:
        pod["nodeSelector"] = nodes
    return pod


def _container(name: str, image: str, options: KubernetesOptions, **more: Any) -> Document:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": options.pull_policy,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
        },
        **more,
    }


def _source_container(spec: AttemptSpec, options: KubernetesOptions, told: dict[str, str]) -> Document:
    told = {**told, "HEADWAY_POD_ORDER": ORDER}
    mounts: list[Document] = [
        {"name": "attempt", "mountPath": ATTEMPT},
        {"name": "order", "mountPath": ORDER, "readOnly": True},
    ]
    if spec.image:
        told["HEADWAY_POD_INSIDE"] = INSIDE
        mounts.append({"name": "inside", "mountPath": INSIDE})
    return _container(
        SOURCE,
        options.image,
        options,
        command=["python", "-I", "-m", "headway.sandbox.in_pod", SOURCE],
        env=_env(told),
        resources=_small(spec),
        volumeMounts=mounts,
    )


def _environment_container(spec: AttemptSpec, options: KubernetesOptions) -> Document:
    """Has neither order nor token: what it fetches from an index is not trusted with them."""
    order = {
        "env": msgspec.to_builtins(spec.env),
        "tier": spec.tier,
        "source": str(pod_command(spec, options)["cwd"]),
        "cache": ENVIRONMENTS,
        "is_kept": bool(options.cache.claim or options.cache.host_path),
    }
    told = {"HOME": "/tmp", "TMPDIR": "/tmp", "HEADWAY_POD_ENVIRONMENT": json.dumps(order)}  # noqa: S108  # its own
    container = _container(
        ENVIRONMENT,
        options.image,
        options,
        command=["python", "-I", "-m", "headway.environments.in_pod"],
        env=_env(told | options.index_variables),
        resources=_small(spec),
        volumeMounts=[
            {"name": "attempt", "mountPath": f"{ATTEMPT}/work", "subPath": "work", "readOnly": True},
            {"name": "environments", "mountPath": ENVIRONMENTS},
            {"name": "scratch", "mountPath": "/tmp"},  # noqa: S108  # the same
        ],
    )
    if options.index_secret:
        container["envFrom"] = [{"secretRef": {"name": options.index_secret}}]
    return container


def _step_container(spec: AttemptSpec, options: KubernetesOptions, told: dict[str, str]) -> Document:
    """Run the step; `told` is what it needs to fetch the source before, where no container has done so."""
    mounts: list[Document] = [
        {"name": "attempt", "mountPath": ATTEMPT},
        {"name": "attempt", "mountPath": "/tmp", "subPath": "tmp"},  # noqa: S108  # its own
    ]
    if environment_place(spec, options.namespace):
        mounts.append({"name": "environments", "mountPath": ENVIRONMENTS, "readOnly": True})
    for number, each in enumerate(spec.volumes):
        mounts.append({"name": f"volume-{number}", "mountPath": each.path, "readOnly": each.read_only})
    command = ["python3", "-I", "-m", "headway.sandbox.in_pod", STEP]
    if spec.image:
        mounts.append({"name": "inside", "mountPath": INSIDE, "readOnly": True})
        command = ["python3", "-I", "-S", f"{INSIDE}/pod.py"]
    fields = {"UID": "metadata.uid", "NAME": "metadata.name", "NODE": "spec.nodeName"}
    environment = [
        {"name": f"HEADWAY_POD_{name}", "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()
    ]
    if told:
        # No file: a mounted Secret could be read by the code, the first process's variables cannot (`hide_memory`).
        environment += [
            {"name": f"HEADWAY_POD_{name}", "valueFrom": {"secretKeyRef": {"name": job_name(spec.id), "key": key}}}
            for name, key in (("COMMAND", "command.json"), ("TOKEN", "token"))
        ]
    return _container(
        STEP,
        spec.image or options.image,
        options,
        command=command,
        env=[*_env({"HEADWAY_POD_FOLDER": ATTEMPT, **told}), *environment],
        resources=_resources(spec, options),
        volumeMounts=mounts,
    )


def _volumes(
    spec: AttemptSpec, options: KubernetesOptions, *, is_alone: bool, makes_environment: bool
) -> list[Document]:
    attempt: Document = {"name": "attempt", "emptyDir": {}}
    if spec.resources.disk_mb:
        # Twice, because the source and the outputs are packed beside themselves.
        attempt["emptyDir"]["sizeLimit"] = f"{2 * spec.resources.disk_mb + options.spare_disk_mb}Mi"
    volumes: list[Document] = [attempt]
    if not is_alone:
        volumes.append({"name": "order", "secret": {"secretName": job_name(spec.id), "defaultMode": 0o440}})
    if spec.image:
        volumes.append({"name": "inside", "emptyDir": {"sizeLimit": "16Mi"}})
    if environment_place(spec, options.namespace):
        volumes.append(
            {"name": "environments", **cache_volume(claim=options.cache.claim, host_path=options.cache.host_path)}
        )
    if makes_environment:
        volumes.append({"name": "scratch", "emptyDir": {}})
    for number, each in enumerate(spec.volumes):
        claim = {"claimName": each.claim, "readOnly": each.read_only}
        volumes.append({"name": f"volume-{number}", "persistentVolumeClaim": claim})
    return volumes


def _resources(spec: AttemptSpec, options: KubernetesOptions) -> Document:
    """What the step asks for, and a little for the supervisor beside it; requests equal limits for memory."""
    resources = spec.resources
    requests: dict[str, str] = {}
    limits: dict[str, str] = {}
    memory = resources.memory_mb or options.step_memory_mb
    if memory:
        requests["memory"] = limits["memory"] = f"{memory + options.overhead_memory_mb}Mi"
    if resources.cpus:
        requests["cpu"] = limits["cpu"] = f"{max(1, round(resources.cpus * 1000))}m"
    if count := accelerator_count(resources.accelerators):
        limits[options.accelerator_resource] = count
    return {key: value for key, value in (("requests", requests), ("limits", limits)) if value}


def _small(spec: AttemptSpec) -> Document:
    cpus = max(1.0, spec.resources.cpus or 1.0)
    limits = {"cpu": f"{round(cpus * 1000)}m", "memory": "1Gi"}
    return {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": limits}


def _env(values: dict[str, str]) -> list[Document]:
    return [{"name": name, "value": value} for name, value in values.items()]
