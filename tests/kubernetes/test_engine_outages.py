"""Parts of a real cluster end, hang and come back while attempts run: nothing is lost, nothing is done twice."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from contracts.engine import wait_for
from fakes.kubernetes_node import Node
from fakes.pod_attempts import PodAttempts, pod_attempts
from headway.engines.base import Alive, Exited, Lost, Starting
from headway.engines.kubernetes.documents import job_name

WRITES = "import time\nprint('begun', flush=True)\ntime.sleep({})\nopen('runs','a').write('x')"
HANGS = "import time; print('begun', flush=True); time.sleep(900)"
_LONG = 240.0


@pytest.fixture
def attempts(tmp_path: Path, node: Node, namespace: str) -> Iterator[PodAttempts]:
    with pod_attempts(tmp_path, node, namespace) as found:
        yield found


@contextmanager
def frozen(node: Node, part: str) -> Iterator[None]:
    """The part takes connections and answers nobody."""
    pid = int((node.room / "processes" / f"{part}.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def begun(engine: Any, spec: Any) -> str:
    handle = str(engine.start(spec))
    wait_for(engine, handle, lambda _: any(line.text == "begun" for line in engine.logs(handle)))
    return handle


def patiently(engine: Any, handle: str) -> Exited | Lost:
    """Wait longer than a contract does: kubelet and controllers take their time after an outage."""
    deadline = time.monotonic() + _LONG
    while time.monotonic() < deadline:
        seen = engine.observe(handle)
        if isinstance(seen, Exited | Lost):
            return seen
        time.sleep(0.2)
    pytest.fail(f"no end; last seen: {seen}")


def wait_until_not_ready(node: Node, namespace: str) -> None:
    """The cluster takes about forty seconds to miss a kubelet."""
    ready = "{.items[0].status.conditions[?(@.type=='Ready')].status}"
    deadline = time.monotonic() + _LONG
    while node.run_kubectl("-n", namespace, "get", "pods", "-o", f"jsonpath={ready}") != "False":
        assert time.monotonic() < deadline
        time.sleep(1)


def kill_pod(uid: str) -> None:
    """End what runs in a pod as the loss of its node would: nobody is told."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"HEADWAY_POD_UID={uid}".encode() in (process / "environ").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)


def ran_once(spec: Any) -> bool:
    return (Path(spec.directory) / "out" / "runs").read_text() == "x"


def test_the_api_server_is_restarted_while_attempts_run_and_begin(attempts: PodAttempts, node: Node) -> None:
    engine = attempts.engine()
    running = attempts.spec(WRITES.format(8), outputs=("runs",))
    handle = begun(engine, running)
    later = attempts.spec(WRITES.format(0), outputs=("runs",))
    with node.without("apiserver"):
        engine.start(later)
        told = wait_for(engine, later.id, lambda seen: isinstance(seen, Starting) and "does not answer" in seen.why)
        assert told
        end = patiently(engine, handle)  # the pod needs our server, not the cluster's
        assert isinstance(end, Exited)
        assert end.exit_code == 0
    end = patiently(engine, later.id)
    assert isinstance(end, Exited)
    assert end.exit_code == 0
    assert ran_once(running)
    assert ran_once(later)


def test_the_api_server_hangs_and_a_stop_arrives_all_the_same(attempts: PodAttempts, node: Node) -> None:
    engine = attempts.engine(watch_seconds=5)
    handle = begun(engine, attempts.spec(HANGS))
    with frozen(node, "apiserver"):
        seen = wait_for(engine, handle, lambda seen: isinstance(seen, Alive))
        assert seen
        engine.stop(handle)
        end = patiently(engine, handle)
        assert isinstance(end, Exited)
        assert end.reason == "cancelled"


def test_etcd_is_restarted_and_the_watch_finds_what_it_missed(attempts: PodAttempts, node: Node) -> None:
    engine = attempts.engine(watch_seconds=5)
    spec = attempts.spec(HANGS)
    handle = begun(engine, spec)
    with node.without("etcd"):
        time.sleep(3)
        assert isinstance(engine.observe(handle), Alive)
    attempts.node.run_kubectl(
        "-n", attempts.namespace, "delete", "pod", "-l", f"job-name={job_name(handle)}", "--grace-period=0", "--force"
    )
    end = patiently(engine, handle)
    assert isinstance(end, Lost)


def test_a_node_that_is_lost_loses_its_attempts(attempts: PodAttempts, node: Node) -> None:
    """A kubelet that says nothing is not enough while the pod itself speaks; when both are silent, it is lost."""
    engine = attempts.engine(lost_seconds=5)
    spec = attempts.spec(HANGS)
    handle = begun(engine, spec)
    uid = json.loads((Path(spec.directory) / "started").read_text())["uid"].partition(".")[0]
    with frozen(node, "kubelet"):
        wait_until_not_ready(node, attempts.namespace)
        time.sleep(10)
        assert isinstance(engine.observe(handle), Alive)
        kill_pod(uid)
        end = patiently(engine, handle)
    assert isinstance(end, Lost)
    assert "does not answer any more" in end.why
    assert "n1" in end.why or "node" in end.why
