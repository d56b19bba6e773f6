"""The rest of a small cluster: a Job controller and a kubelet that runs containers as processes of this machine."""

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

from fakes.kubernetes_api import Change, Document, KubernetesApi, now
from headway.sandbox.inside import processes

_SYSTEM = "/opt/headway"


@dataclass
class LocalKubelet:
    """Every pod has a folder in which `/headway` stands; the order's and the variables' paths are moved there."""

    api: KubernetesApi
    folder: Path
    node: str = "n1"
    makes_pods: bool = True  # False: the Job controller does nothing (a quota, an admission rule)
    runs_pods: bool = True  # False: no node takes them
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)  # uids of pods whose step container was started
    caches: dict[Path, str] = field(default_factory=dict)  # a pod's folder -> the hostPath of its environments

    def __post_init__(self) -> None:
        self.api.on_change.append(self._on_change)

    def close(self) -> None:
        """End every pod with all that it has started: a container's end would."""
        for process in list(self.running.values()):
            below = [each.pid for each in processes.descendants(process.pid, processes.snapshot())]
            for pid in (process.pid, *below):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()

    def make_pod(self, job: Document) -> Document:
        """What the Job controller does, also a second time where a pod was deleted."""
        metadata = job["metadata"]
        template = job["spec"]["template"]
        pod = {
            "apiVersion": "v1", "kind": "Pod", "spec": {**template["spec"], "nodeName": self.node},
            "metadata": {
                "name": f"{metadata['name']}-{uuid.uuid4().hex[:5]}", "namespace": metadata["namespace"],
                "uid": str(uuid.uuid4()), "creationTimestamp": now(),
                "labels": {**template["metadata"]["labels"], "job-name": metadata["name"]},
                "ownerReferences": [{"kind": "Job", "name": metadata["name"], "uid": metadata["uid"]}],
            },
            "status": {"phase": "Pending"},
        }  # fmt: skip
        return self.api.put("pods", pod)

    def _on_change(self, change: Change) -> None:
        document = change.document
        if change.plural == "jobs" and change.type == "ADDED" and self.makes_pods:
            threading.Thread(target=self.make_pod, args=(document,), daemon=True).start()
        if change.plural != "pods":
            return
        if change.type == "ADDED" and self.runs_pods:
            threading.Thread(target=self._run, args=(document,), daemon=True).start()
        elif change.type == "MODIFIED" and document["metadata"].get("deletionTimestamp"):
            threading.Thread(target=self._end, args=(document,), daemon=True).start()

    def _end(self, pod: Document) -> None:
        metadata = pod["metadata"]
        process = self.running.get(metadata["uid"])
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=pod["spec"]["terminationGracePeriodSeconds"])
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        time.sleep(0.1)
        self.api.remove("pods", metadata["namespace"], metadata["name"])
        owner = metadata["ownerReferences"][0]["name"]
        job = self.api.get("jobs", metadata["namespace"], owner)
        if job is not None and job["metadata"].get("deletionTimestamp"):
            self.api.remove("jobs", metadata["namespace"], owner)

    def _run(self, pod: Document) -> None:
        room = self.folder / pod["metadata"]["uid"]
        for name in ("attempt", "inside", "order", "environments"):
            (room / "headway" / name).mkdir(parents=True)
        cache = next((each for each in pod["spec"]["volumes"] if each["name"] == "environments"), {})
        if "hostPath" in cache:
            self.caches[room] = cache["hostPath"]["path"]
        secret = self._secret(pod)
        if secret is None:
            return
        for name, text in secret["stringData"].items():
            (room / "headway" / "order" / name).write_text(self._moved(text, room))
        spec = pod["spec"]
        for container in spec["initContainers"]:
            code = self._container(pod, container, room, secret, kind="initContainerStatuses")
            if code:
                self._phase(pod, "Failed")
                return
        code = self._container(pod, spec["containers"][0], room, secret, kind="containerStatuses")
        self._phase(pod, "Failed" if code else "Succeeded")

    def _secret(self, pod: Document) -> Document | None:
        name = pod["metadata"]["labels"]["job-name"]  # the Secret of an attempt is called as its Job is
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            found = self.api.get("secrets", pod["metadata"]["namespace"], name)
            if found:
                return found
            time.sleep(0.1)
        return None

    def _container(self, pod: Document, container: Document, room: Path, secret: Document, *, kind: str) -> int:
        name, uid = container["name"], pod["metadata"]["uid"]
        command = [self._moved(part, room) for part in container["command"]]
        if command[0] in {"python", "python3"}:
            command[0] = sys.executable
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HEADWAY_POD_TERMINATION": str(room / f"{name}.last")}
        for each in container["env"]:
            path = each.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath", "")
            fields = {"metadata.uid": uid, "metadata.name": pod["metadata"]["name"], "spec.nodeName": self.node}
            key = each.get("valueFrom", {}).get("secretKeyRef", {}).get("key", "")
            value = secret["stringData"][key] if key else each.get("value", "")
            environment[each["name"]] = fields[path] if path else self._moved(value, room)
        said = room / f"{name}.log"
        self.api.logs[pod["metadata"]["name"], name] = said.read_bytes
        began = now()
        with said.open("wb") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        self.running[uid] = process
        if kind == "containerStatuses":
            self.started.append(uid)
        self._status(pod, kind, {"name": name, "image": container["image"], "state": {"running": {"startedAt": began}}})
        code = process.wait()
        last = room / f"{name}.last"
        message = last.read_text() if last.exists() else said.read_text(errors="replace")[-2000:] if code else ""
        end: dict[str, Any] = {
            "exitCode": code if code >= 0 else 128 - code, "reason": "Error" if code else "Completed",
            "message": message, "startedAt": began, "finishedAt": now(),
        }  # fmt: skip
        self._status(pod, kind, {"name": name, "image": container["image"], "state": {"terminated": end}})
        return code

    def _status(self, pod: Document, kind: str, status: Document) -> None:
        with self.api.lock:
            present = self.api.get("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])
            if present is None or present["metadata"]["uid"] != pod["metadata"]["uid"]:
                return
            others = [each for each in present["status"].get(kind, ()) if each["name"] != status["name"]]
            present["status"] = {**present["status"], "phase": "Running", kind: [*others, status]}
            self.api.put("pods", present)

    def _phase(self, pod: Document, phase: str) -> None:
        with self.api.lock:
            present = self.api.get("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])
            if present is not None:
                present["status"]["phase"] = phase
                self.api.put("pods", present)

    def _moved(self, text: str, room: Path) -> str:
        if room in self.caches:
            text = text.replace("/headway/environments", self.caches[room])
        # Headway's environment first: its path holds the other.
        return text.replace(_SYSTEM, "\0").replace("/headway/", f"{room}/headway/").replace("\0", sys.prefix)
