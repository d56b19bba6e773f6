"""The real Kubernetes of one node that tests run on: what leads to it, and its outages."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "infra" / "kubernetes" / "node"
IMAGE = "localhost/headway:test"
UID = 10001  # whom the image runs as


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A running node. `machine` is this machine's address as pods see it: a server for them listens there."""

    room: Path
    kubeconfig: Path
    address: str
    machine: str
    proxy: str
    kubectl: Path

    def stop(self, part: str) -> None:
        """End etcd, apiserver, controllers, scheduler, kubelet or proxy: pods run on."""
        _node("stop", self.room, part)

    def start(self, part: str) -> None:
        """Begin it again as it was."""
        _node("start", self.room, part)
        if part in {"apiserver", "etcd"}:
            self._wait_for_answers()

    def _wait_for_answers(self) -> None:
        deadline = time.monotonic() + 120
        while True:
            try:
                self.run_kubectl("get", "namespaces")
            except AssertionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return

    @contextmanager
    def without(self, part: str) -> Iterator[None]:
        """An outage of one part."""
        self.stop(part)
        try:
            yield
        finally:
            self.start(part)

    def run_kubectl(self, *words: str, text: str | None = None) -> str:
        """What kubectl answers; it must succeed."""
        argv = [self.kubectl, "--kubeconfig", self.kubeconfig, *words]
        done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr}"
        return done.stdout


def _node(verb: str, room: Path, *words: str) -> dict[str, str]:
    done = subprocess.run([SCRIPT, verb, room, *words], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, f"{SCRIPT} {verb} ended with {done.returncode}; see above and the logs in {room}"
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def _of(settings: dict[str, str]) -> Node:
    return Node(
        room=Path(settings["HEADWAY_TEST_SOCKET"]).parent,
        kubeconfig=Path(settings["KUBECONFIG"]),
        address=settings["HEADWAY_TEST_NODE"],
        machine=settings["HEADWAY_TEST_MACHINE"],
        proxy=settings["HEADWAY_TEST_PROXY"],
        kubectl=Path(settings["HEADWAY_TEST_KUBECTL"]),
    )


@contextmanager
def running_node(*, own: bool = False) -> Iterator[Node]:
    """The node that tools/with-kubernetes started around us, or one of our own."""
    if "HEADWAY_TEST_NODE" in os.environ and not own:
        yield _of(dict(os.environ))
        return
    room = Path(tempfile.mkdtemp(prefix="headway-kube.", dir="/tmp"))  # short, for the sockets in it
    try:
        yield _of(_node("up", room))
    finally:
        _node("down", room)
        shutil.rmtree(room)
