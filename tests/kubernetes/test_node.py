"""The node keeps what the other tests rely on: restricted pods run, packages come in, nothing else goes out."""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path

import pytest

from fakes.kubernetes_node import IMAGE, Node, running_node

RESTRICTED = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def run_pod(node: Node, namespace: str, script: str) -> str:
    """Run a shell script in a restricted pod of Headway's image to its end, and say what it wrote."""
    container = {
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["sh", "-ec", script],
        "securityContext": RESTRICTED,
        "env": [{"name": "HTTPS_PROXY", "value": node.proxy}, {"name": "MACHINE", "value": node.machine}],
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    spec = {"restartPolicy": "Never", "containers": [container], "volumes": [{"name": "tmp", "emptyDir": {}}]}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "one", "namespace": namespace},
        "spec": {"backoffLimit": 0, "template": {"spec": spec | {"automountServiceAccountToken": False}}},
    }
    node.run_kubectl("apply", "-f", "-", text=json.dumps(job))
    try:
        node.run_kubectl("wait", "-n", namespace, "--for=condition=complete", "job/one", "--timeout=90s")
    except AssertionError as never:
        raise AssertionError(node.run_kubectl("logs", "-n", namespace, "job/one")) from never
    return node.run_kubectl("logs", "-n", namespace, "job/one")


def test_a_restricted_pod_runs_headway_and_fetches_packages_through_the_proxy_alone(node: Node, namespace: str) -> None:
    said = run_pod(
        node,
        namespace,
        """
        id -u
        headway --version
        cd /tmp
        uv venv --quiet --python /usr/bin/python3 made
        uv pip install --quiet --python made/bin/python six
        made/bin/python -c 'import six; print("six is here")'
        if env -u HTTPS_PROXY timeout 5 uv pip install --quiet --python made/bin/python --reinstall --no-cache six
        then echo "a way out without the proxy"; fi
        """,
    )
    assert said.startswith("10001\nheadway ")
    assert "six is here" in said
    assert "a way out" not in said


def test_pods_run_on_while_the_api_server_is_away(tmp_path: Path) -> None:
    """On a node of its own: the outage would hit every other test's requests as well."""
    with running_node(own=True) as node:
        node.run_kubectl("create", "deployment", "steady", f"--image={IMAGE}", "--", "sleep", "1000")
        node.run_kubectl("wait", "--for=condition=available", "deployment/steady", "--timeout=60s")
        started = _started(node)
        with node.without("apiserver"), pytest.raises(AssertionError, match=r"refused|Unable to connect"):
            node.run_kubectl("get", "pods")
        for part in ("scheduler", "controllers", "kubelet"):
            with node.without(part):
                pass
        node.run_kubectl("create", "deployment", "later", f"--image={IMAGE}", "--", "sleep", "1000")
        node.run_kubectl("wait", "--for=condition=available", "deployment/later", "--timeout=60s")
        assert _started(node) == started
        room, place = node.room, (node.room / "place").read_text().split()[0]
        assert len(_traces(room, place)) > 10
    assert not room.exists()
    assert _traces(room, place) == []


def _started(node: Node) -> str:
    words = ("-l", "app=steady", "-o", "jsonpath={.items[*].status.containerStatuses[*].state.running.startedAt}")
    return node.run_kubectl("get", "pods", *words)


def _traces(room: Path, place: str) -> list[str]:
    """Every process, mount, interface, network and group of processes of a node."""
    processes = []
    for words in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            processes.append(words.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    mounts = Path("/proc/mounts").read_text().splitlines()
    links = [path.name for path in Path("/sys/class/net").iterdir() if path.name == place]
    groups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/{place}")]
    spaces = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout.splitlines()
    found = [line for line in [*processes, *mounts] if str(room) in line]
    return [*found, *links, *groups, *(line for line in spaces if line.split()[0] == place)]
