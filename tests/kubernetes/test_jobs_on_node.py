"""On a real node, set up by settings alone: comment, pods, report; a locked environment, a container, a volume."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes.attempts import CLIENT
from fakes.kubernetes_node import IMAGE, UID, Node
from flows.conftest import House, Stage, open_house, propose_files
from headway.app import KUBERNETES
from headway.engines.kubernetes.engine import KubernetesEngine
from headway.settings import AllowedVolume, KubernetesSettings, Settings

PROJECT = """\
name: tiny
engine: {type: kubernetes}
pipeline:
  steps:
    prepare: {run: python prepare.py, outputs: [build/rows.txt], resources: {cpus: 0.1, memory: 128Mi}}
    train:
      run: python train.py
      inputs: [build/rows.txt]
      outputs: [build/model]
      resources: {cpus: 0.1, memory: 256Mi}
metrics: {score: maximize}
"""
PREPARE = 'from pathlib import Path\nPath("build/rows.txt").write_text("7")\n'
TRAIN = (
    CLIENT
    + """
import six
from pathlib import Path
point(1)
Path("build/model").mkdir()
Path("build/model/weights.txt").write_text("w" * 1000)
print("six", six.__version__, "rows", Path("build/rows.txt").read_text())
json.dump({"score": 0.75}, open("metrics.json", "w"))
"""
)
# The wheel's own hash, as an index states it: a lock without any address.
LOCK = "six==1.17.0 --hash=sha256:4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274\n"
READ = """
import json, os
try:
    open("/data/mine", "w")
    print("wrote")
except OSError as error:
    print("refused:", error.strerror)
print("rows", open(os.environ["HEADWAY_DATA_ROWS"]).read().strip(), os.getuid())
json.dump({"score": 1}, open("metrics.json", "w"))
"""
CONTAINER = """\
name: tiny
engine: {type: kubernetes}
run: python3 train.py
image: localhost/headway:test
volumes: {data: /data}
data: {rows: /data/rows.txt}
resources: {cpus: 0.1, memory: 128Mi}
metrics: {score: maximize}
"""


@dataclass(frozen=True, kw_only=True)
class Clustered:
    house: House
    node: Node
    namespace: str
    place: Path  # a folder that pods may see


def free_port(host: str) -> int:
    with socket.create_server((host, 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture
def clustered(node: Node, namespace: str, tmp_path: Path) -> Iterator[Clustered]:
    place = Path(tempfile.mkdtemp(prefix="headway-node-"))  # pytest's own folders are private
    place.chmod(0o755)
    cache = place / "cache"
    cache.mkdir()
    cache.chmod(0o777)  # hostPath: the kubelet changes no owner
    port = free_port(node.machine)
    cluster = KubernetesSettings(
        namespaces=(namespace,),
        image=IMAGE,
        images=("localhost/headway:*",),
        volumes=(AllowedVolume(name="data", claim="rows", read_only=True),),
        server_url=f"http://{node.machine}:{port}",
        kubeconfig=str(node.kubeconfig),
        cache=f"host:{cache}",
        proxy=node.proxy,
    )
    settings = Settings(data=tmp_path / "data", host=node.machine, port=port, slots=1, kubernetes=cluster)
    with open_house(settings) as house:
        yield Clustered(house=house, node=node, namespace=namespace, place=place)
        engine = house.app.engines[KUBERNETES]
        assert isinstance(engine, KubernetesEngine)
        engine.close()
    node.run_kubectl("delete", "pv", f"rows-{namespace}", "--ignore-not-found", "--wait=false")
    shutil.rmtree(place, ignore_errors=True)


def test_a_comment_becomes_pods_and_a_report(clustered: Clustered, tmp_path: Path) -> None:
    scene: Stage = clustered.house.new_stage(tmp_path / "repo")
    files = {"headway.yaml": PROJECT, "prepare.py": PREPARE, "train.py": TRAIN, "requirements.txt": LOCK}
    scene.write(files, message="the project")
    change = propose_files(scene, "better", {"train.py": TRAIN + "# better\n"}, "/train")
    (job,) = scene.settled(1)
    assert job.state == "succeeded", (job.reason, scene.log(job))
    scene.assert_ended(job)
    result = scene.result(job)
    assert result.metrics == {"score": 0.75, "loss": 1.5}
    assert result.isolation == "L3"
    assert "six 1.17.0 rows 7" in scene.log(job)
    scene.expect_status(change, "tiny", "success")
    assert "0.75" in scene.report(change)
    outputs = {each.path for task in scene.tasks(job).values() for each in task.outputs}
    assert outputs == {"build/rows.txt", "build/model/weights.txt"}
    envs = [
        each.name
        for each in (clustered.place / "cache" / "change" / "envs").iterdir()
        if not each.name.endswith(".lock")
    ]
    assert envs == [result.env_digest]
    assert not (scene.app.data / "environments" / "change").exists()
    scene.comment(change, "/train")
    again = scene.settled(2)[0]
    assert {task.state for task in scene.tasks(again).values()} == {"reused"}


def test_a_step_runs_in_its_own_container_with_a_volume_that_it_only_reads(
    clustered: Clustered, tmp_path: Path
) -> None:
    rows = clustered.place / "rows"
    rows.mkdir()
    rows.chmod(0o755)
    (rows / "rows.txt").write_text("1234\n")
    make_claim(clustered, rows)
    scene: Stage = clustered.house.new_stage(tmp_path / "repo")
    scene.write({"headway.yaml": CONTAINER, "train.py": READ}, message="the project")
    scene.command("/train")
    (job,) = scene.settled(1)
    assert job.state == "succeeded", (job.reason, scene.log(job))
    assert f"rows 1234 {UID}" in scene.log(job)
    assert "refused: Read-only file system" in scene.log(job)
    assert not (rows / "mine").exists()
    scene.command("/train")  # what is in a volume may have changed: it is never taken for the same
    assert scene.tasks(scene.settled(2)[0])["train"].state == "succeeded"


def make_claim(clustered: Clustered, folder: Path) -> None:
    name = f"rows-{clustered.namespace}"
    common = {"storageClassName": "", "accessModes": ["ReadOnlyMany"]}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            **common,
            "capacity": {"storage": "1Mi"},
            "hostPath": {"path": str(folder)},
            "claimRef": {"namespace": clustered.namespace, "name": "rows"},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "rows", "namespace": clustered.namespace},
        "spec": {**common, "volumeName": name, "resources": {"requests": {"storage": "1Mi"}}},
    }
    for each in (volume, claim):
        clustered.node.run_kubectl("apply", "-f", "-", text=json.dumps(each))
