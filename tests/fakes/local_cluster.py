"""A cluster on this machine: it takes Jobs and Secrets, and runs the containers of a pod as processes, in turn.

The real programs of the pod run, and speak with a real server; only paths below /headway are moved into a folder, and
nothing is isolated. What only a real node shows is tested on one (tests/kubernetes).
"""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headway.engines.kubernetes.options import ENVIRONMENTS, POD_ROOT
from headway.ids import new_id
from headway.kube import Change, Listing

Document = dict[str, Any]


class LocalCluster:
    """Implements of `headway.kube.Kube` what the engine calls."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.jobs: list[Document] = []  # every Job that was ever made
        self.secrets: list[Document] = []
        self._objects: dict[tuple[str, str], Document] = {}
        self._changes: list[tuple[str, Change]] = []
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._news = threading.Condition()

    # --- what the engine calls ------------------------------------------------------------------

    def create(self, document: Document) -> tuple[Document, bool]:
        kind, name = document["kind"], document["metadata"]["name"]
        with self._news:
            known = self._objects.get((kind, name))
            if known is not None:
                return copy.deepcopy(known), False
            made = copy.deepcopy(document)
            made["metadata"] |= {"uid": new_id().lower(), "creationTimestamp": _now()}
            (self.jobs if kind == "Job" else self.secrets).append(made)
            self._put(kind, made, "ADDED")
        if kind == "Job":
            threading.Thread(target=self._run, args=(made,), daemon=True).start()
        return copy.deepcopy(made), True

    def patch(self, kind: str, name: str, body: Document, *, namespace: str) -> Document | None:
        with self._news:
            known = self._objects.get((kind, name))
            if known is not None:
                known["metadata"] |= body.get("metadata", {})
            return copy.deepcopy(known)

    def delete(self, kind: str, name: str, *, namespace: str, grace: int | None = None, policy: str = "") -> bool:
        with self._news:
            known = self._objects.get((kind, name))
            process = self._processes.get(name)
        if known is None:
            return False
        threading.Thread(target=self._remove, args=(name, process), daemon=True).start()
        return True

    def list(self, kind: str, *, namespace: str, labels: str = "", fields: str = "") -> Listing:
        with self._news:
            items = [each for (of, _), each in self._objects.items() if of == kind and _is_labelled(each, labels)]
            return Listing(items=tuple(copy.deepcopy(items)), version=str(len(self._changes)))

    def watch(self, kind: str, *, namespace: str, labels: str, version: str, seconds: int = 20) -> Iterator[Change]:
        at, deadline = int(version), time.monotonic() + seconds
        while time.monotonic() < deadline:
            with self._news:
                self._news.wait_for(lambda at=at: len(self._changes) > at, timeout=0.2)
                fresh = self._changes[at:]
            at += len(fresh)
            for of, change in fresh:
                if of == kind and _is_labelled(change.document, labels):
                    yield change

    def log(self, pod: str, *, namespace: str, container: str, limit: int = 1 << 20) -> bytes:
        found = self.root / pod / f"{container}.log"
        return found.read_bytes()[-limit:] if found.exists() else b""

    def close(self) -> None:
        """End what still runs."""
        for process in list(self._processes.values()):
            if process.poll() is None:
                process.kill()

    # --- a pod ----------------------------------------------------------------------------------

    def _run(self, job: Document) -> None:
        name = job["metadata"]["name"]
        template = job["spec"]["template"]
        pod = {
            "kind": "Pod",
            "metadata": template["metadata"]
            | {"name": name, "uid": new_id().lower(), "creationTimestamp": _now(), "namespace": "ml"},
            "spec": copy.deepcopy(template["spec"]) | {"nodeName": "here"},
            "status": {"phase": "Pending", "initContainerStatuses": [], "containerStatuses": []},
        }
        self._change("Pod", pod, "ADDED")
        self._mount(pod)
        for container in pod["spec"]["initContainers"]:
            code = self._contain(pod, container, "initContainerStatuses")
            if code != 0:
                self._ended(job, pod, "Failed")
                return
        pod["status"]["phase"] = "Running"
        self._change("Pod", pod, "MODIFIED")
        code = self._contain(pod, pod["spec"]["containers"][0], "containerStatuses")
        self._ended(job, pod, "Succeeded" if code == 0 else "Failed")

    def _mount(self, pod: Document) -> None:
        place = self._place(pod)
        for name in ("attempt", "inside", "order", "logs"):
            (place / name).mkdir(parents=True)
        (self.root / "environments").mkdir(exist_ok=True)
        for volume in pod["spec"]["volumes"]:
            if "secret" in volume:
                secret = self._objects["Secret", volume["secret"]["secretName"]]
                for key, text in secret["stringData"].items():
                    (place / volume["name"] / key).write_text(self._moved(pod, text))

    def _contain(self, pod: Document, container: Document, kind: str) -> int:
        place = self._place(pod)
        told = place / f"{container['name']}.said"
        fields = {"metadata.uid": pod["metadata"]["uid"], "metadata.name": pod["metadata"]["name"]}
        environment = {
            "PATH": os.environ["PATH"],
            "HEADWAY_POD_TERMINATION": str(told),
        }
        for each in container.get("env", ()):
            value = each.get(
                "value", fields.get(each.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath"), "here")
            )
            environment[each["name"]] = self._moved(pod, value)
        command = [sys.executable, *(self._moved(pod, each) for each in container["command"][1:])]
        with (place / f"{container['name']}.log").open("wb") as log:
            process = subprocess.Popen(
                command, env=environment, cwd=place, stdout=log, stderr=log, start_new_session=True
            )
            self._processes[pod["metadata"]["name"]] = process
            code = process.wait()
        ended = {"exitCode": code if code >= 0 else 128 - code, "reason": "Error" if code else "Completed"}
        ended |= {"message": told.read_text() if told.exists() else "", "finishedAt": _now(), "startedAt": _now()}
        pod["status"][kind].append({"name": container["name"], "state": {"terminated": ended}, "restartCount": 0})
        self._change("Pod", pod, "MODIFIED")
        return code

    def _ended(self, job: Document, pod: Document, phase: str) -> None:
        pod["status"]["phase"] = phase
        self._change("Pod", pod, "MODIFIED")
        is_good = phase == "Succeeded"
        ended = {
            "type": "Complete" if is_good else "Failed",
            "status": "True",
            "reason": "" if is_good else "BackoffLimitExceeded",
        }
        self._change("Job", job | {"status": {"conditions": [ended]}}, "MODIFIED")

    def _remove(self, name: str, process: subprocess.Popen[bytes] | None) -> None:
        """What a kubelet does: SIGTERM, a while, SIGKILL; then the objects go."""
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
        time.sleep(0.2)
        with self._news:
            for kind in ("Pod", "Job", "Secret"):
                known = self._objects.pop((kind, name), None)
                if known is not None:
                    self._changes.append((kind, Change(type="DELETED", document=copy.deepcopy(known))))
            self._news.notify_all()

    def _place(self, pod: Document) -> Path:
        return self.root / pod["metadata"]["name"]

    def _moved(self, pod: Document, text: str) -> str:
        moved = text.replace(ENVIRONMENTS, str(self.root / "environments"))
        return moved.replace(f"{POD_ROOT}/", f"{self._place(pod)}/")

    def _change(self, kind: str, document: Document, how: str) -> None:
        with self._news:
            if how == "ADDED" or (kind, document["metadata"]["name"]) in self._objects:
                self._put(kind, document, how)

    def _put(self, kind: str, document: Document, how: str) -> None:
        document["metadata"]["resourceVersion"] = str(len(self._changes) + 1)
        self._objects[kind, document["metadata"]["name"]] = document
        self._changes.append((kind, Change(type=how, document=copy.deepcopy(document))))
        self._news.notify_all()


def values_of(job: Document) -> str:
    """Everything that stands in a Job, as text."""
    return json.dumps(job)


def _is_labelled(document: Document, labels: str) -> bool:
    own = document["metadata"].get("labels", {})
    return all(own.get(name) == value for name, _, value in (each.partition("=") for each in labels.split(",") if each))


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
