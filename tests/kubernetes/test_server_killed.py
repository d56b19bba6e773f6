"""A comment becomes pods; server and worker are killed while one trains, and come back: adopted, once, nothing lost."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from fakes.kubernetes_node import IMAGE, Node
from headway.clock import SystemClock
from headway.db.connection import open_database
from headway.db.migrate import migrate
from headway.forges.local import LocalForge, os_user
from headway.settings import Settings
from headway.tracking.store import RunStore

PATIENCE = 240.0
CONFIG = """\
name: pods
engine: {type: kubernetes}
pipeline:
  steps:
    data: {run: python data.py, outputs: [rows.txt]}
    train:
      run: python train.py
      needs: [data]
      inputs: [rows.txt]
      outputs: [model.txt]
      resources: {cpus: 0.1, memory: 256Mi}
params: {seconds: 30}
metrics:
  score: {goal: maximize}
"""
DATA = "open('rows.txt', 'w').write('1 2 3'); print('rows are written', flush=True)\n"
TRAIN = """\
import json, os, time, urllib.request
uri, run = os.environ["MLFLOW_TRACKING_URI"], os.environ["MLFLOW_RUN_ID"]
headers = {"Content-Type": "application/json", "Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"]}
ends, step = time.monotonic() + float(os.environ["HEADWAY_PARAM_SECONDS"]), 0
print("BEGIN", os.environ["HEADWAY_ATTEMPT"], flush=True)
while time.monotonic() < ends:
    points = [{"key": "loss", "value": step, "step": step, "timestamp": int(time.time() * 1000)}]
    body = json.dumps({"run_id": run, "metrics": points}).encode()
    request = urllib.request.Request(uri + "/api/2.0/mlflow/runs/log-batch", body, headers)
    with urllib.request.urlopen(request) as answer:
        print("ACK", step, answer.status, flush=True)
    step += 1
    time.sleep(0.05)
open("model.txt", "w").write(open("rows.txt").read() + " trained")
json.dump({"score": 0.5}, open("metrics.json", "w"))
print("END", flush=True)
"""


class Server:
    """The real `headway server start`, with the cluster in its settings."""

    def __init__(self, data: Path, node: Node, namespace: str) -> None:
        with socket.socket() as probe:
            probe.bind((node.machine, 0))
            port = probe.getsockname()[1]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADWAY_")}
        self.environment = kept | {
            "HEADWAY_DATA": str(data),
            "HEADWAY_HOST": node.machine,
            "HEADWAY_PORT": str(port),
            "HEADWAY_PUBLIC_URL": "https://headway.example.com",
            "HEADWAY_KUBERNETES_NAMESPACES": namespace,
            "HEADWAY_KUBERNETES_IMAGE": IMAGE,
            "HEADWAY_KUBERNETES_SERVER_URL": f"http://{node.machine}:{port}",
            "HEADWAY_KUBERNETES_KUBECONFIG": str(node.kubeconfig),
            "HEADWAY_KUBERNETES_PROXY": node.proxy,
        }
        self.log = data.parent / "server.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "headway.cli.main", "server", "start"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """Server and worker, as a power cut would."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture
def stage(tmp_path: Path, node: Node, namespace: str) -> Iterator[Any]:
    data, repo = tmp_path / "data", tmp_path / "repo"
    data.mkdir(mode=0o700)
    repo.mkdir()
    for name, content in (("headway.yaml", CONFIG), ("data.py", DATA), ("train.py", TRAIN)):
        (repo / name).write_text(content)
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "start"]):
        git(repo, *words)
    git(repo, "checkout", "-q", "-b", "change", "main")
    (repo / "note.txt").write_text("x")
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "a change")
    database = open_database(Settings(data=data).database_url)
    migrate(database)
    forge = LocalForge(database, SystemClock())
    known = forge.register_repo(repo)
    change = forge.open_change(known.id, "change", author=os_user())
    server = Server(data, node, namespace)
    yield server, database, lambda body: forge.add_comment(known.id, change.number, author=os_user(), body=body), data
    server.kill()


def git(folder: Path, *words: str) -> None:
    who = {f"GIT_{role}_{what}": "pods@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = os.environ | who | {"GIT_CONFIG_GLOBAL": os.devnull}
    subprocess.run(["git", *words], cwd=folder, env=environment, check=True, capture_output=True)


def until(found: Any, server: Server) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (value := found()):
        assert time.monotonic() < deadline, server.log.read_text()[-4000:]
        time.sleep(0.1)
    return value


def test_a_killed_server_finds_its_pods_again(stage: Any) -> None:
    server, database, comment, data = stage

    def read(query: str) -> list[Any]:
        with database.read() as tx:
            return list(tx.execute(text(query)))

    def log_of(task: str) -> str:
        found = read(
            f"select attempt.directory from attempt join task on task.id = attempt.task_id where task.name = '{task}'"
        )
        path = Path(found[-1][0]) / "log" if found else None
        return path.read_text() if path and path.exists() else ""

    server.start()
    comment("/train")
    over = "select 1 from command where state = 'refused' union select 1 from job where settled_at is not null"
    until(lambda: log_of("train").count("ACK") > 10 or read(over), server)
    assert read(over) == [], read("select name, state, reason from task")
    server.kill()
    time.sleep(4)  # the step goes on meanwhile, and logs into its door's journal
    server.start()
    until(lambda: read("select 1 from job where settled_at is not null"), server)

    assert read("select state, reason from job") == [("succeeded", "")]
    assert read("select name, state, attempts from task order by position") == [
        ("data", "succeeded", 1),
        ("train", "succeeded", 1),
    ]
    assert {isolation for (isolation,) in read("select isolation from attempt")} == {3}
    said = log_of("train")
    assert said.count("BEGIN") == said.count("END") == 1
    acked = [int(step) for step in re.findall(r"ACK (\d+) 200", said)]
    assert acked == list(range(len(acked)))  # every line arrived, none twice
    run_id = read("select run_id from task where name = 'train'")[0][0]
    with database.read() as tx:
        stored = [point.step for point in RunStore(tx, actor="test", clock=SystemClock()).history(run_id, "loss")]
    assert sorted(stored) == acked
    assert list((data / "contents").rglob("*"))
    assert '"adopted": 1' in server.log.read_text()
