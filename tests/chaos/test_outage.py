"""Unmodified MLflow code in a job and outside one, while its server is away: no error, and everything there once.

Seconds in the whole suite; `make test-outage` (HEADWAY_TEST_OUTAGE=65) makes it more than a minute.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.attempts import Attempts
from fakes.headway_server import HeadwayServer, told
from headway.engines.base import DoorSpec
from headway.sandbox.isolation import IsolationReport

SECONDS = float(os.environ.get("HEADWAY_TEST_OUTAGE", "4"))
PATIENCE = 300.0

pytestmark = [pytest.mark.chaos, pytest.mark.mlflow, pytest.mark.timeout(900)]

# Logs all the time; what waits for an answer of the server (log_model makes a model) is in it too.
TRAIN = """\
import time
from pathlib import Path
import mlflow
from mlflow.pyfunc import PythonModel

class Twice(PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input

mlflow.set_experiment("outage")
step = 0
with mlflow.start_run() as run:
    Path("begun").write_text(run.info.run_id)
    while not Path("away").exists():
        mlflow.log_metric("loss", step, step=step)
        step += 1
        time.sleep(0.02)
    ends = time.monotonic() + 1
    while time.monotonic() < ends or not Path("modelled").exists():
        mlflow.log_metric("loss", step, step=step)
        mlflow.log_metrics({"f1": step, "auc": step}, step=step)
        mlflow.set_tag("last", step)
        step += 1
        time.sleep(0.02)
        if time.monotonic() > ends:
            mlflow.log_text("made while nobody was there", "notes/away.txt")
            mlflow.pyfunc.log_model(name="model", python_model=Twice(), pip_requirements=[])
            Path("modelled").touch()
    mlflow.log_param("steps", step)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HeadwayServer]:
    server = HeadwayServer(tmp_path / "server")
    server.start()
    yield server
    server.kill()


def wait_for(path: Path, process: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"{path.name} did not come"
        time.sleep(0.02)


def storm(server: HeadwayServer, work: Path) -> None:
    """Kill it while requests are on their way, twice in a row, and leave it away."""
    server.kill()
    server.start()
    time.sleep(0.5)
    server.kill()
    (work / "away").touch()
    time.sleep(SECONDS)
    server.start()


def check(server: HeadwayServer, run_id: str) -> None:
    run = server.ask("GET", "runs/get", None, run_id=run_id)["run"]
    assert run["info"]["status"] == "FINISHED"
    steps = int(told(run["data"]["params"])["steps"])
    assert server.history(run_id, "loss") == [(step, step) for step in range(steps)]
    away = server.history(run_id, "f1")
    assert away == server.history(run_id, "auc")
    assert [step for step, _ in away] == list(range(away[0][0], steps))
    assert told(run["data"]["tags"])["last"] == str(steps - 1)
    assert server.content(run_id, "notes/away.txt") == b"made while nobody was there"
    found = server.ask("POST", "logged-models/search", {"experiment_ids": [run["info"]["experiment_id"]]})["models"]
    assert [each["info"]["status"] for each in found] == ["LOGGED_MODEL_READY"]


def test_outside_a_job(server: HeadwayServer, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "train.py").write_text(TRAIN)
    environment = os.environ | {
        "HEADWAY_URL": server.url,
        "HEADWAY_TOKEN": server.token,
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "HOME": str(tmp_path),
    }
    command = [sys.executable, "-m", "headway.cli.main", "run", sys.executable, "train.py"]
    process = subprocess.Popen(
        command, cwd=work, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for(work / "begun", process)
    storm(server, work)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, f"{out}\n{err}"
    check(server, (work / "begun").read_text())


def test_in_a_job(server: HeadwayServer, tmp_path: Path) -> None:
    made = server.ask("POST", "runs/create", {"experiment_id": "0"})["run"]["info"]
    attempts = Attempts(tmp_path, IsolationReport(level=0), drain_seconds=120, hold_seconds=100)
    door = DoorSpec(
        server_file=str(server.data / "server.json"), token=server.token, run_id=made["run_id"], experiment_id="0"
    )
    code = TRAIN.replace('mlflow.set_experiment("outage")\n', "")
    spec = attempts.spec(code, door=door, network=True, argv=("python", "main.py"))
    handle = attempts.engine.start(spec)
    work = attempts.root / handle / "work"
    wait_for(work / "begun")
    storm(server, work)
    end = attempts.end(handle)
    assert (end.exit_code, end.undelivered) == (0, 0), attempts.text(handle)
    assert (work / "begun").read_text() == made["run_id"]
    check(server, made["run_id"])
