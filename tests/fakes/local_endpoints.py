"""The rest of a small cluster for endpoints: a Deployment's pods, each an agent and a front on this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from fakes.kubernetes_api import Change, Document, KubernetesApi, now
from headway.environments.model import Tier
from headway.environments.shelf import Shelf
from headway.serving.kubernetes.agent import Agent, Identity
from headway.serving.kubernetes.fetch import Place
from headway.serving.kubernetes.upstream import Upstream

CLIENT = httpx.Client(timeout=5, verify=False, trust_env=False)


@dataclass
class LocalPod:
    """One pod: its folders, its front's process, its agent's thread."""

    document: Document
    place: Place
    front: subprocess.Popen[bytes]
    stop: threading.Event
    threads: list[threading.Thread] = field(default_factory=list)


class LocalEndpoints:
    """The controllers of Deployments and the kubelet; one pod each, at one port of this machine."""

    def __init__(self, api: KubernetesApi, folder: Path, url: str, *, port: int, environment: str = "") -> None:
        """`environment` is the digest of the one that stands ready: this test's own Python."""
        self.api, self.folder, self.url, self.port, self.environment = api, folder, url, port, environment
        self.pods: dict[str, LocalPod] = {}
        self.runs_pods = True
        self._lock = threading.Lock()
        api.on_change.append(self._on_change)

    def close(self) -> None:
        with self._lock:  # a pod that is being made is made, and no other one begins
            self.runs_pods = False
        for name in list(self.pods):
            self.end(name)

    def _on_change(self, change: Change) -> None:
        if change.plural == "deployments":
            document = change.document
            act = self._end_all if change.type == "DELETED" else self._begin
            threading.Thread(target=act, args=(document,), daemon=True).start()

    def _begin(self, workload: Document) -> None:
        with self._lock:
            if self.pods or not self.runs_pods:
                return
            self.start(workload)

    def start(self, workload: Document) -> None:
        """Make the pod as its template says; its containers are a process and a thread."""
        metadata, template = workload["metadata"], workload["spec"]["template"]
        uid, name = str(uuid.uuid4()), f"{metadata['name']}-{uuid.uuid4().hex[:5]}"
        pod = {
            "apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
            "metadata": {
                "name": name, "namespace": metadata["namespace"], "uid": uid, "creationTimestamp": now(),
                "labels": template["metadata"]["labels"],
            },
            "status": {"phase": "Pending"},
        }  # fmt: skip
        self.api.put("pods", pod)
        room = self.folder / name
        place = Place(
            endpoint=room / "endpoint",
            models=room / "models",
            environments=self.folder / "environments",
            private=room / "private",
        )
        for folder in (place.endpoint, place.models, place.private):
            folder.mkdir(parents=True)
        if self.environment:
            stand_ready(place.environments, self.environment)
        front = subprocess.Popen(
            [sys.executable, "-m", "headway.serving.kubernetes.pod_front", str(place.endpoint)],
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        made = LocalPod(document=pod, place=place, front=front, stop=threading.Event())
        self.pods[name] = made
        for act in (self._agent, self._probe):
            thread = threading.Thread(target=act, args=(made,), daemon=True)
            made.threads.append(thread)
            thread.start()

    def _agent(self, pod: LocalPod) -> None:
        metadata = pod.document["metadata"]
        secret = pod.document["spec"]["volumes"][-1]["secret"]["secretName"]
        found = None
        while found is None and not pod.stop.wait(0.05):
            found = self.api.get("secrets", metadata["namespace"], secret)
        if found is None:
            return
        token = pod.place.private / "token"
        token.write_text(found["stringData"]["token"])
        name = pod.document["spec"]["containers"][1]["command"][-1]
        upstream = Upstream(self.url, name, metadata["uid"], token_file=token)
        Agent(Identity(deployment=name, pod=metadata["name"]), upstream, pod.place, port=self.port).run(pod.stop)
        upstream.close()

    def _probe(self, pod: LocalPod) -> None:
        was = None
        while not pod.stop.wait(0.1):
            is_ready = False
            with contextlib.suppress(httpx.HTTPError):
                is_ready = CLIENT.get(f"http://127.0.0.1:{self.port}/v2/health/ready").status_code == 200
            if is_ready is not was:
                was = is_ready
                self._status(pod, is_ready=is_ready)

    def _status(self, pod: LocalPod, *, is_ready: bool) -> None:
        metadata = pod.document["metadata"]
        found = self.api.get("pods", metadata["namespace"], metadata["name"])
        if found is not None:
            found["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": str(is_ready)}]}
            self.api.put("pods", found)

    def _end_all(self, workload: Document) -> None:
        for name, pod in list(self.pods.items()):
            if pod.document["metadata"]["namespace"] == workload["metadata"]["namespace"]:
                self.end(name)

    def end(self, name: str) -> None:
        """What the kubelet does with a deleted pod, without the time to drain."""
        pod = self.pods.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pod.front.pid, signal.SIGTERM)
        pod.front.wait(60)
        pod.stop.set()
        for thread in pod.threads:
            thread.join(30)
        self.api.remove("pods", pod.document["metadata"]["namespace"], name)


def stand_ready(root: Path, digest: str) -> None:
    """An environment that is this test's own Python, as if uv had made it."""
    shelf = Shelf(root, Tier.MAIN)
    path = shelf.path(digest)
    if path.exists():
        return
    (path / "bin").mkdir(parents=True)
    python = path / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    shelf.finish(digest, seconds=0.0)


def poll(seen: Any, *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline, "not seen in time"
        time.sleep(0.05)
