"""From an empty cluster to the first check, as docs/how-to/kubernetes.md says it: the server itself is a pod here."""

from __future__ import annotations

import io
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from fakes.endpoint_pods import wait_until
from fakes.kubernetes_node import IMAGE, UID, Node
from headway.cli.kubernetes import document

# The page's own small repository.
TRAIN = 'import json\nopen("metrics.json", "w").write(json.dumps({"val_auc": 0.9}))\n'
BETTER = TRAIN.replace("0.9", "0.95")
PROJECT = """\
name: mini
run: python train.py
engine: {type: kubernetes}
metrics: {val_auc: maximize}
gates:
  - {metric: val_auc, min: 0.5}
"""
FIRST = f"""\
set -e
mkdir /data/mini && cd /data/mini
export GIT_AUTHOR_NAME=ada GIT_AUTHOR_EMAIL=a@example.com GIT_COMMITTER_NAME=ada GIT_COMMITTER_EMAIL=a@example.com
git init -q -b main .
printf %s '{TRAIN}' >train.py
printf %s '{PROJECT}' >headway.yaml
git add . && git commit -q -m 'First'
headway train main
git checkout -q -b better
printf %s '{BETTER}' >train.py
git commit -q -a -m 'Better'
headway change open --title 'Better'
headway change comment 1 /train
for _ in $(seq 60); do headway gate --change 1 >/tmp/gate 2>&1 && break || sleep 1; done
cat /tmp/gate
"""
# The test node has no storage classes: whoever runs a cluster has one.
VOLUME = """\
apiVersion: v1
kind: PersistentVolume
metadata: {{name: {name}}}
spec:
  capacity: {{storage: 50Gi}}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Delete
  claimRef: {{namespace: {name}, name: headway-data}}
  hostPath: {{path: /tmp/{name}, type: DirectoryOrCreate}}
"""


@pytest.fixture
def spaces(node: Node) -> Iterator[tuple[str, str]]:
    """The names of two namespaces that are not there yet: the server's and that of its pods."""
    mark = secrets.token_hex(3)
    server, jobs = f"headway-{mark}", f"jobs-{mark}"
    volume = Path("/tmp", server)
    volume.mkdir()
    shutil.chown(volume, UID, UID)  # a cluster gives a volume to the pod's group; a folder of the node it does not
    yield server, jobs
    node.run_kubectl("delete", "namespace", server, jobs, "--wait=false", "--ignore-not-found")
    node.run_kubectl("delete", "persistentvolume", server, "--wait=false", "--ignore-not-found")
    shutil.rmtree(volume, ignore_errors=True)


def made(node: Node, part: str, server: str, jobs: str) -> None:
    """Apply one of the documents, with the server's namespace called otherwise: tests run beside each other."""
    text = document(part, namespace=jobs, image=IMAGE)
    for each in YAML(typ="safe").load_all(text):
        plain = YAML(typ="safe")
        if each["metadata"].get("namespace") == "headway":
            each["metadata"]["namespace"] = server
        if each["kind"] == "Namespace" and each["metadata"]["name"] == "headway":
            each["metadata"]["name"] = server
        for subject in each.get("subjects", ()):
            subject["namespace"] = server
        stream = io.StringIO()
        plain.dump(each, stream)
        node.run_kubectl("apply", "-f", "-", text=stream.getvalue())


def test_an_empty_cluster_answers_the_first_check(node: Node, spaces: tuple[str, str]) -> None:
    server, jobs = spaces
    made(node, "namespaces", server, jobs)
    node.run_kubectl("apply", "-f", "-", text=VOLUME.format(name=server))
    made(node, "server", server, jobs)
    made(node, "rbac", server, jobs)
    made(node, "quota", server, jobs)
    made(node, "network", server, jobs)
    node.run_kubectl("-n", server, "rollout", "status", "deployment/headway-server", "--timeout=90s")

    def inside(script: str) -> str:
        return node.run_kubectl("-n", server, "exec", "deployment/headway-server", "--", "sh", "-c", script)

    wait_until(lambda: "the server may do all that attempts need" in inside("headway doctor || true"))
    said = inside("headway doctor || true")
    assert f"kubernetes endpoints in {jobs}" in said
    assert "the server may not" not in said

    checked = inside(FIRST)
    assert "passed" in checked, checked
    found = node.run_kubectl("-n", jobs, "get", "jobs", "-o", "name")
    assert len(found.split()) == 2  # both trainings were pods
