"""From the comment to the report where steps run in a cluster: source down, outputs up, environments by digest."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fakes.attempts import CLIENT, wait_until
from fakes.kubernetes_api import KubernetesApi
from fakes.local_kubelet import LocalKubelet
from flows.conftest import House, Stage, open_house, propose_files
from headway.app import KUBERNETES, open_app
from headway.auth.secrets import SecretStore
from headway.engines.kubernetes.engine import KubernetesEngine
from headway.environments.model import Tier
from headway.environments.shelf import Shelf
from headway.settings import AllowedVolume, KubernetesSettings, Settings
from headway.worker import Worker

if TYPE_CHECKING:
    from headway.engines.base import Engine
    from headway.forges.model import Change

CLUSTER = KubernetesSettings(
    namespaces=("ml", "churn"),
    image="localhost/headway:test",
    server_url="http://127.0.0.1:1",
    images=("registry.example/ml/*",),
    volumes=(AllowedVolume(name="data", claim="ml-data", read_only=True),),
)
CONFIG = """\
name: tiny
engine: {type: kubernetes, namespace: churn}
pipeline:
  steps:
    prepare: {run: python prepare.py, outputs: [build/rows.txt]}
    train: {run: python train.py, inputs: [build/rows.txt], outputs: [build/model]}
metrics: {score: maximize}
"""
PREPARE = 'from pathlib import Path\nprint("preparing")\nPath("build/rows.txt").write_text("7")\n'
TRAIN = (
    CLIENT
    + """
from pathlib import Path
rows = Path("build/rows.txt").read_text()
point(1)
Path("build/model").mkdir()
Path("build/model/weights.txt").write_text("w" * 1000)
Path("build/model/run.sh").write_text("#!/bin/sh")
Path("build/model/run.sh").chmod(0o755)
print("trained on", rows, "rows", os.environ.get("WAREHOUSE"))
json.dump({"score": 0.75}, open("metrics.json", "w"))
"""
)


@dataclass(frozen=True, kw_only=True)
class Clustered:
    house: House
    api: KubernetesApi
    cache: Path

    def new_stage(self, folder: Path) -> Stage:
        return self.house.new_stage(folder)

    def jobs(self) -> list[dict[str, Any]]:
        """Every Job that was made here, in order."""
        added = [each for each in self.api.history if each.plural == "jobs" and each.type == "ADDED"]
        return [each.document for each in added]


@contextlib.contextmanager
def clustered(folder: Path, **more: Any) -> Iterator[Clustered]:
    """A Headway whose cluster is this machine, set up as an operator does: by its settings alone."""
    api = KubernetesApi(namespaces={"ml", "churn"})
    api.start()
    kubelet = LocalKubelet(api, folder / "kubelet")
    index = http.server.ThreadingHTTPServer(("127.0.0.1", 0), EmptyIndex)
    threading.Thread(target=index.serve_forever, args=(0.05,), daemon=True).start()
    port = free_port()
    cluster = replace(
        CLUSTER,
        kubeconfig=str(api.kubeconfig(folder)),
        server_url=f"http://127.0.0.1:{port}",
        cache=f"host:{folder / 'cache'}",
        index_url=f"http://127.0.0.1:{index.server_address[1]}/simple",
        **more,
    )
    with open_house(Settings(data=folder / "data", port=port, slots=1, kubernetes=cluster)) as house:
        yield Clustered(house=house, api=api, cache=folder / "cache")
        wait_until(lambda: not house.worker.background.is_busy)
        closed(house.app.engines[KUBERNETES])
    kubelet.close()
    api.stop()
    index.shutdown()
    index.server_close()


class EmptyIndex(http.server.BaseHTTPRequestHandler):
    """A package index that has nothing."""

    def do_GET(self) -> None:  # the standard library's name
        self.send_error(404)

    def log_message(self, *_: Any) -> None: ...


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def closed(engine: Engine) -> KubernetesEngine:
    """The engine as a process that ended leaves it: what runs goes on."""
    assert isinstance(engine, KubernetesEngine)
    engine.close()
    return engine


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clustered]:
    with clustered(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture
def scene(shared: Clustered, tmp_path: Path) -> Stage:
    return shared.new_stage(tmp_path / "repo")


def test_a_comment_becomes_pods_and_a_report(shared: Clustered, scene: Stage) -> None:
    before = len(shared.jobs())
    with scene.app.database.write() as tx:
        SecretStore(tx).set(scene.repo.id, "WAREHOUSE", value="s3cr3t-w0rd", at=scene.app.clock.now(), by="ada")
    config = CONFIG + "env: {secrets: [WAREHOUSE]}\n"
    scene.write({"headway.yaml": config, "prepare.py": PREPARE, "train.py": TRAIN}, message="the project")
    change = propose_files(scene, "better", {"train.py": TRAIN + "# better\n"}, "/train")
    (job,) = scene.settled(1)
    assert (job.state, job.engine) == ("succeeded", "kubernetes"), (job.reason, scene.log(job))
    scene.assert_ended(job)
    outputs = {each.path: each for task in scene.tasks(job).values() for each in task.outputs}
    assert sorted(outputs) == ["build/model/run.sh", "build/model/weights.txt", "build/rows.txt"]
    assert (outputs["build/model/run.sh"].executable, outputs["build/rows.txt"].executable) == (True, False)
    result = scene.result(job)
    assert result.metrics == {"score": 0.75, "loss": 1.5}
    assert result.isolation == "L3"
    assert "prepare | preparing" in scene.log(job)
    assert "train | trained on 7 rows" in scene.log(job)
    scene.expect_status(change, "tiny", "success")
    assert "0.75" in scene.report(change)
    made = shared.jobs()[before:]
    assert len(made) == 2
    for each in made:
        assert each["metadata"]["namespace"] == "churn"
        assert "s3cr3t" not in json.dumps(each)  # by reference: it stands in the Secret alone
        assert "hw_" not in json.dumps(each)
    attempts = scene.attempts(job)
    for path in (path for each in attempts for path in Path(each.directory).rglob("*") if path.is_file()):
        assert b"s3cr3t" not in path.read_bytes(), path  # neither in the log nor in what was ordered
        assert b"hw_0" not in path.read_bytes(), path
    assert not any((Path(each.directory) / "source.tar").exists() for each in attempts)

    scene.comment(change, "/train")  # again: nothing has changed
    again = scene.settled(2)[0]
    assert {task.state for task in scene.tasks(again).values()} == {"reused"}


def wheel(folder: Path, version: str) -> str:
    name = f"leaf-{version}-py3-none-any.whl"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / name, "w") as made:
        made.writestr("leaf.py", f"version = {version!r}\n")
        made.writestr(f"leaf-{version}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: leaf\nVersion: {version}\n")
        made.writestr(
            f"leaf-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        made.writestr(f"leaf-{version}.dist-info/RECORD", "leaf.py,,\n")
    return name


SCORE = 'import json\njson.dump({"score": 1}, open("metrics.json", "w"))\n'
LEAF = 'import leaf, sys\nprint("leaf", leaf.version, sys.prefix)\n' + SCORE
WAIT = """import os, time
print("waiting", flush=True)
while not os.path.exists(os.environ["FLAG"]):
    time.sleep(0.05)
"""
ONE_STEP = "name: tiny\nengine: {type: kubernetes}\nrun: python train.py\nmetrics: {score: maximize}\n"


def test_environments_are_made_in_the_cluster_each_trust_on_its_own_shelf(shared: Clustered, scene: Stage) -> None:
    name = wheel(scene.folder, "1.0")
    scene.write({"headway.yaml": ONE_STEP, "train.py": LEAF, "requirements.txt": f"./{name}\n"}, message="the project")
    change = propose_files(scene, "better", {"train.py": LEAF + "# better\n"}, "/train")
    (first,) = scene.settled(1)
    assert first.state == "succeeded", (first.reason, scene.log(first))
    with scene.app.database.read():
        digest = scene.result(first).env_digest
    root = shared.cache
    assert "leaf 1.0" in scene.log(first)
    assert f"{root}/change/envs/{digest}" in scene.log(first)
    assert Shelf(root, Tier.CHANGE).find(digest) is not None
    assert Shelf(root, Tier.MAIN).find(digest) is None
    assert not (scene.app.data / "environments" / "change").exists()  # nothing is made on the server
    order = json.loads((scene.app.data / "environments" / "orders" / digest / "order.json").read_text())
    assert (order["spec"]["digest"], order["tier"]) == (digest, Tier.CHANGE)

    before = (root / "change" / "envs" / digest / "headway.json").stat().st_ino
    scene.write({"train.py": LEAF + "# best\n"}, branch="better")
    scene.comment(change, "/train")
    assert scene.settled(2)[0].state == "succeeded"
    assert (root / "change" / "envs" / digest / "headway.json").stat().st_ino == before

    scene.command("/train")  # main itself: what a change made is not good enough for it
    third = scene.settled(3)[0]
    assert (third.state, third.tier) == ("succeeded", Tier.MAIN), third.reason
    assert Shelf(root, Tier.MAIN).find(digest) is not None
    assert f"{root}/main/envs/{digest}" in scene.log(third)


@pytest.mark.parametrize(
    ("line", "says", "pods"),
    [
        ("nosuchpackage==1.0", "nosuchpackage", 1),  # only the pod can know, and it tells in uv's words
        ("leaf @ git+https://example.invalid/leaf@abc", "comes from git and would have to be built", 0),
    ],
)
def test_an_environment_that_cannot_be_made_says_why(
    shared: Clustered, scene: Stage, line: str, says: str, pods: int
) -> None:
    before = len(shared.jobs())
    files = {"headway.yaml": ONE_STEP, "train.py": LEAF, "requirements.txt": f"{line}\n"}
    scene.write(files, message="the project")
    scene.command("/train")
    (job,) = scene.settled(1)
    assert job.state == "failed"
    assert says in job.reason, job.reason
    assert len(shared.jobs()) - before == pods
    scene.assert_ended(job)


def test_outputs_that_are_no_plain_files_fail_the_step_with_the_reason(scene: Stage) -> None:
    config = ONE_STEP.replace(
        "run: python train.py", "pipeline: {steps: {train: {run: python train.py, outputs: [model]}}}"
    )
    code = 'import os\nos.mkdir("model")\nos.symlink("/etc/passwd", "model/weights")\n'
    scene.write({"headway.yaml": config, "train.py": code}, message="the project")
    scene.command("/train")
    (job,) = scene.settled(1)
    assert job.state == "failed"
    assert "model/weights" in job.reason, job.reason
    assert "link" in job.reason


def test_a_stop_reaches_the_pod(shared: Clustered, scene: Stage) -> None:
    code = 'import time\nprint("training", flush=True)\ntime.sleep(300)\n'
    scene.write({"headway.yaml": ONE_STEP, "train.py": code}, message="the project")
    change = propose_files(scene, "slow", {"train.py": code + "# slow\n"}, "/train")
    scene.tick_until(lambda: [job for job in scene.jobs() if "training" in scene.log(job)], what="a running step")
    scene.comment(change, "/stop")
    (job,) = scene.settled(1)
    assert job.state == "cancelled", job.reason
    scene.assert_ended(job)


def test_more_attempts_than_this_machine_has_slots_run_at_once(scene: Stage) -> None:
    steps = "\n".join(f"    s{number}: {{run: python wait.py, outputs: [o{number}]}}" for number in range(3))
    config = f"name: tiny\nengine: {{type: kubernetes}}\npipeline:\n  steps:\n{steps}\n"
    code = WAIT + 'open("o" + os.environ["HEADWAY_TASK"][1:], "w").close()\n'
    flag = scene.folder.parent / "flag"
    scene.write(
        {"headway.yaml": f"{config}env: {{variables: {{FLAG: {flag}}}}}\n", "wait.py": code}, message="the project"
    )
    scene.command("/train")
    scene.tick_until(
        lambda: [job for job in scene.jobs() if scene.log(job).count("waiting") == 3], what="three steps at once"
    )
    flag.touch()
    (job,) = scene.settled(1)
    assert job.state == "succeeded", job.reason


def put_away(scene: Stage) -> None:
    """Close a second app over the same data, when none of its threads works on anything."""
    scene.tick_until(lambda: not scene.worker.background.is_busy, what="quiet")
    scene.worker.background.close()
    scene.app.close()


def test_a_restarted_server_finds_what_runs(tmp_path: Path) -> None:
    with clustered(tmp_path) as found:
        scene = found.new_stage(tmp_path / "repo")
        flag = tmp_path / "flag"
        config = f"{ONE_STEP}env: {{variables: {{FLAG: {flag}}}}}\n"
        scene.write({"headway.yaml": config, "train.py": WAIT + SCORE}, message="the project")
        scene.command("/train")
        scene.tick_until(lambda: [job for job in scene.jobs() if "waiting" in scene.log(job)], what="a running step")
        closed(scene.app.engines[KUBERNETES])  # as a killed worker leaves it
        fresh = open_app(scene.app.settings)
        scene.app = fresh
        scene.worker = Worker(scene.app)
        threading.Timer(1.0, flag.touch).start()
        (job,) = scene.settled(1)
        closed(fresh.engines[KUBERNETES])
        put_away(scene)
        assert job.state == "succeeded", job.reason
        assert len(found.jobs()) == 1


def test_a_cluster_that_is_not_set_up_any_more_holds_up_nothing_and_lets_jobs_be_stopped(tmp_path: Path) -> None:
    with clustered(tmp_path) as found:
        scene = found.new_stage(tmp_path / "repo")
        config = f"{ONE_STEP}env: {{variables: {{FLAG: {tmp_path / 'flag'}}}}}\n"
        scene.write({"headway.yaml": config, "train.py": WAIT + SCORE}, message="the project")
        scene.command("/train")
        (job,) = scene.tick_until(lambda: [job for job in scene.jobs() if "waiting" in scene.log(job)], what="a step")
        closed(scene.app.engines[KUBERNETES])
        scene.app = open_app(replace(scene.app.settings, kubernetes=KubernetesSettings()))
        scene.worker = Worker(scene.app)
        scene.tick_until(lambda: "is not set up here now" in scene.tasks(job)["train"].reason, what="the reason")
        assert "waiting" in scene.log(job)
        local = ONE_STEP.replace("kubernetes", "local")
        scene.write({"headway.yaml": local, "train.py": SCORE}, branch="here")
        scene.command("/train", branch="here")  # the default branch has the rules: refused, and told
        scene.tick_until(lambda: [each for each in scene.jobs() if each.state == "refused"], what="a refusal")
        scene.command(f"/stop {job.number}")
        ended = scene.tick_until(lambda: [each for each in scene.jobs() if each.id == job.id and each.settled_at])[0]
        assert ended.state == "cancelled"
        scene.assert_ended(ended)
        put_away(scene)


# --- a fork -----------------------------------------------------------------------------------------


def forked(scene: Stage, files: dict[str, str]) -> Change:
    """A stranger's change, whose exact commit a maintainer has asked to be trained."""
    scene.write(files, branch="fork")
    change = scene.forge.open_change(scene.repo.id, "fork", author="stranger", from_fork=True)
    scene.comment(change, f"/approve @{change.head_sha}")
    scene.tick_until(lambda: "may run" in "".join(scene.answers(change)), what="the grant")
    scene.comment(change, f"/train @{change.head_sha}")
    return change


def test_a_forks_code_gets_a_pod_without_network_secrets_or_a_place_on_others_shelves(tmp_path: Path) -> None:
    with clustered(tmp_path, enforces_network=True) as found:
        scene = found.new_stage(tmp_path / "repo")
        with scene.app.database.write() as tx:
            SecretStore(tx).set(scene.repo.id, "WAREHOUSE", value="s3cr3t-w0rd", at=scene.app.clock.now(), by="ada")
        name = wheel(scene.folder, "1.0")
        config = f"{ONE_STEP}env: {{secrets: [WAREHOUSE]}}\n"
        scene.write(
            {"headway.yaml": config, "train.py": LEAF, "requirements.txt": f"./{name}\n"}, message="the project"
        )
        forked(scene, {"train.py": LEAF + "# a stranger was here\n"})
        (job,) = scene.settled(1)
        assert (job.state, job.tier) == ("succeeded", Tier.FORK), (job.reason, scene.log(job))
        labels = found.jobs()[-1]["spec"]["template"]["metadata"]["labels"]
        assert (labels["headway.dev/tier"], labels["headway.dev/network"]) == ("fork", "none")
        secrets = [each.document for each in found.api.history if each.plural == "secrets"]
        assert "s3cr3t" not in json.dumps(secrets)
        digest = scene.result(job).env_digest
        assert Shelf(found.cache, Tier.FORK).find(digest) is not None
        assert [each.name for each in found.cache.iterdir()] == ["fork"]


def test_a_fork_is_refused_where_its_network_cannot_be_closed(scene: Stage) -> None:
    scene.write({"headway.yaml": ONE_STEP, "train.py": SCORE}, message="the project")
    forked(scene, {"train.py": SCORE + "# a stranger was here\n"})
    (job,) = scene.settled(1)
    assert job.state == "failed"
    assert "HEADWAY_KUBERNETES_ENFORCES_NETWORK" in job.reason, job.reason


def test_a_fork_sees_no_volume_even_one_that_the_base_mounts(shared: Clustered, scene: Stage) -> None:
    before = len(shared.jobs())
    scene.write({"headway.yaml": ONE_STEP + "volumes: {data: /data}\n", "train.py": SCORE}, message="the project")
    change = forked(scene, {"train.py": SCORE + "# a stranger was here\n"})
    scene.tick_until(lambda: "which code from a fork does not get" in scene.answers(change)[-1], what="a refusal")
    assert scene.jobs() == []
    assert len(shared.jobs()) == before


# --- what the operator and the base branch allow ---------------------------------------------------


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (ONE_STEP + "image: docker.io/evil:1\n", "asks for the image docker.io/evil:1, which may not run here"),
        (ONE_STEP.replace("kubernetes", "kubernetes, namespace: kube-system"), "the namespace kube-system is not for"),
        (ONE_STEP + "volumes: {payroll: /data}\n", "mounts the volume payroll, which this server does not have"),
        (ONE_STEP + "volumes: {data: {path: /data, read_only: false}}\n", "wants to write to the volume data"),
        (ONE_STEP + "data: {rows: /srv/rows.csv}\n", "is a path of the server's machine, and steps run in a cluster"),
    ],
)
def test_what_is_not_allowed_is_refused_before_anything_starts(
    shared: Clustered, scene: Stage, config: str, says: str
) -> None:
    before = len(shared.jobs())
    scene.write({"headway.yaml": config, "train.py": LEAF}, message="the project")
    change = propose_files(scene, "idea", {"train.py": LEAF + "# idea\n"}, "/train")
    answers = scene.tick_until(lambda: scene.answers(change), what="an answer")
    assert says in answers[0], answers
    assert scene.jobs() == []
    assert len(shared.jobs()) == before


def test_a_changes_own_words_on_namespace_and_volumes_have_no_effect(shared: Clustered, scene: Stage) -> None:
    scene.write({"headway.yaml": ONE_STEP, "train.py": SCORE}, message="the project")
    config = ONE_STEP.replace("kubernetes", "kubernetes, namespace: churn") + "volumes: {data: /data}\n"
    change = propose_files(scene, "sly", {"headway.yaml": config}, "/train")
    (job,) = scene.settled(1)
    assert job.state == "succeeded", (job.reason, scene.log(job))
    document = shared.jobs()[-1]
    assert document["metadata"]["namespace"] == "ml"
    assert "ml-data" not in json.dumps(document)
    assert "none is mounted until it is merged" in scene.report(change)
    assert any("this change edits `engine`" in each for each in scene.result(job).notes)
