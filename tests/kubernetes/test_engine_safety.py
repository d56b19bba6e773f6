"""What code in a pod can reach, and what rules of the cluster do to attempts: on the real node."""

from __future__ import annotations

import base64
import http.server
import json
import re
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from contracts.engine import wait_for, wait_for_end
from fakes.kubernetes_node import Node
from fakes.pod_attempts import PodAttempts, pod_attempts
from headway.engines.base import DoorSpec, Exited, Starting
from headway.projects.model import Resources

# Looks wherever code of this user can look, for anything like a token of ours; what it finds it prints.
TOKEN = r"hw_[A-Za-z0-9]{4,}_[A-Za-z0-9_-]{20,}"
PROBE = r"""
import os, re, sys
token = re.compile(rb"(?:headway|hw)_[A-Za-z0-9]{4,}_[A-Za-z0-9_-]{20,}")

def look(name, data):
    for found in set(token.findall(data)):
        print("FOUND", name, found.decode(), flush=True)

for top in ("/headway", "/proc/self", "/var/run/secrets", "/run", "/tmp", "/etc", "/home", "/data"):
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            try:
                if os.path.isfile(path) and os.path.getsize(path) < 1 << 20:
                    look(path, open(path, "rb").read())
            except OSError:
                pass
seen = 0
for pid in filter(str.isdigit, os.listdir("/proc")):
    seen += 1
    if int(pid) == os.getpid():
        continue
    for name in ("environ", "cmdline"):
        try:
            look(f"/proc/{pid}/{name}", open(f"/proc/{pid}/{name}", "rb").read())
        except OSError:
            pass
    try:
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for line in maps:
                span, rights = line.split()[:2]
                begin, end = (int(each, 16) for each in span.split("-"))
                if "r" in rights and end - begin < 64 << 20:
                    try:
                        memory.seek(begin)
                        look(f"/proc/{pid}/mem", memory.read(end - begin))
                    except (OSError, ValueError, OverflowError):
                        pass
    except OSError:
        pass
print("SEEN", seen, "processes")
for path in ("/x", "/headway/inside/x", "/headway/inside/pod.py", "/usr/x", "/etc/x"):
    try:
        open(path, "a").close()
        print("WROTE", path)
    except OSError:
        pass
print("UID", os.getuid(), os.getgid())
status = open("/proc/self/status").read()
print("CAPS", re.search(r"CapEff:\s*(\w+)", status)[1], re.search(r"NoNewPrivs:\s*(\d)", status)[1])
print("SECCOMP", re.search(r"Seccomp:\s*(\d)", status)[1])
print("ENV", sorted(name for name in os.environ if "KUBERNETES" in name or "POD" in name))
print("ACCOUNT", os.path.exists("/var/run/secrets/kubernetes.io"))
print("PLACEHOLDER", os.environ["MLFLOW_TRACKING_TOKEN"][:5])
"""


@pytest.fixture
def attempts(tmp_path: Path, node: Node, namespace: str) -> Iterator[PodAttempts]:
    with pod_attempts(tmp_path, node, namespace) as found:
        yield found


def test_code_finds_no_token_and_no_way_up(attempts: PodAttempts) -> None:
    engine = attempts.engine()
    spec = attempts.spec(PROBE)
    token = spec.door.token if spec.door else ""
    # With a door: the token is in the pod for as long as the code runs.
    door = DoorSpec(server_file="", token=token, run_id="0" * 32, experiment_id="1")
    decoy = f"hw_decoy1_{'d' * 40}"
    variables = {"DECOY": decoy}
    spec = attempts.spec(PROBE, door=door, id=spec.id, directory=spec.directory, cwd=spec.cwd, variables=variables)
    end = wait_for_end(engine, engine.start(spec))
    said = [line.text for line in engine.logs(spec.id)]
    assert isinstance(end, Exited)
    assert end.exit_code == 0, said
    assert [line for line in said if line.startswith("WROTE")] == []
    found = [line.split() for line in said if line.startswith("FOUND")]
    # It would have found the token: its own variable is found, and in its own process alone.
    assert re.fullmatch(TOKEN, token)
    assert found
    assert {what for _, _, what in found} == {decoy}
    assert all(place.startswith("/proc/self") for _, place, _ in found), found
    assert token not in "\n".join(said)
    assert "UID 10001 10001" in said
    assert "CAPS 0000000000000000 1" in said
    assert "SECCOMP 2" in said
    assert "ENV []" in said
    assert "ACCOUNT False" in said
    assert "PLACEHOLDER door_" in said


# --- admission -------------------------------------------------------------------------------------


@contextmanager
def admission(node: Node, namespace: str, folder: Path) -> Iterator[None]:
    """A real admission webhook of the cluster, for this namespace: no pod without an owner."""
    key, certificate = folder / "hook.key", folder / "hook.crt"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=hook", "-days", "2"]
    subprocess.run([*words, "-addext", f"subjectAltName=IP:{node.machine}"], check=True, capture_output=True)

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the standard library's name
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = {"code": 403, "message": "every pod here needs the label cost-centre"}
            answer = {"uid": asked["request"]["uid"], "allowed": False, "status": status}
            body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer})
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer((node.machine, 0), Hook)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    node.run_kubectl("label", "namespace", namespace, f"hooked={namespace}")
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    hook = {
        "name": "owners.example.com",
        "clientConfig": {
            "url": f"https://{node.machine}:{server.server_address[1]}/",
            "caBundle": base64.b64encode(certificate.read_bytes()).decode(),
        },
        "rules": [rule],
        "namespaceSelector": {"matchLabels": {"hooked": namespace}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    document = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": namespace},
        "webhooks": [hook],
    }
    node.run_kubectl("apply", "-f", "-", text=json.dumps(document))
    try:
        yield
    finally:
        node.run_kubectl("delete", "validatingwebhookconfiguration", namespace)
        server.shutdown()


def test_a_rule_of_the_cluster_is_shown_in_its_own_words(attempts: PodAttempts, tmp_path: Path) -> None:
    with admission(attempts.node, attempts.namespace, tmp_path):
        engine = attempts.engine(create_seconds=10.0)
        handle = engine.start(attempts.spec("print('never')", resources=Resources(disk_mb=10)))
        told = wait_for(engine, handle, lambda seen: not isinstance(seen, Starting) or "cost-centre" in seen.why)
        assert isinstance(told, Starting)
        assert "admission rule" in told.why
        end = wait_for_end(engine, handle)
    assert isinstance(end, Exited)
    assert end.exit_code == 125
    assert "admission rule" in end.reason
    assert "cost-centre" in end.detail


# --- doctor ----------------------------------------------------------------------------------------


def test_doctor_says_what_is_there_and_what_is_missing(attempts: PodAttempts) -> None:
    found = {each.name: each for each in attempts.engine().prove()}
    assert found["kubernetes"].state == "ok"
    assert "v1." in found["kubernetes"].found
    assert found[f"kubernetes namespace {attempts.namespace}"].state == "ok"
    assert found["kubernetes network"].state == "warn"
