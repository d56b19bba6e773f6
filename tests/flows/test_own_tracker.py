"""A project's own MLflow server, a real one: its tagged runs are judged, its absence is told, copies arrive once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update
from starlette.applications import Starlette

from fakes.real_mlflow import RealMlflow
from flows.conftest import House, Stage, git, open_house
from headway.auth.model import Role, TokenKind
from headway.auth.tokens import TokenStore
from headway.db import schema
from headway.flow.mirror import want_mirrors
from headway.jobs.store import JobStore
from headway.settings import Settings
from headway.tracking.mirror_store import MirrorStore
from headway.tracking.model import Metric
from headway.tracking.store import RunStore
from headway.web.pages import web_routes

pytestmark = [pytest.mark.mlflow]
TRAIN = 'import json; json.dump({"loss": 0.5}, open("metrics.json", "w"))\n'


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealMlflow]:
    server = RealMlflow(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    data = tmp_path_factory.mktemp("house") / "data"
    with open_house(Settings(data=data, port=0, tracker_hosts="127.0.0.1")) as opened:
        yield opened


@pytest.fixture
def scene(house: House, peer: RealMlflow, tmp_path: Path) -> Stage:
    """A small project, whose gate asks for a metric that its own step does not log."""
    stage = house.new_stage(tmp_path / "repo")
    name = f"flights-{uuid.uuid4().hex[:8]}"
    config = f"""\
name: {name}
run: python train.py
metrics: {{val_auc: {{goal: maximize}}}}
gates: [{{metric: val_auc, min: 0.8}}]
tracking: {{uri: "{peer.uri}", mode: log}}
"""
    stage.write({"headway.yaml": config, "train.py": TRAIN}, message="the project")
    return stage


def name_of(stage: Stage) -> str:
    return (stage.folder / "headway.yaml").read_text().split("\n", 1)[0].removeprefix("name: ")


def trained_elsewhere(peer: RealMlflow, experiment: str, commit: str, *, auc: float) -> str:
    """What a notebook does: an unmodified client that sets one tag."""
    from mlflow import MlflowClient

    client = MlflowClient(peer.uri)
    found = client.get_experiment_by_name(experiment)
    exp = found.experiment_id if found else client.create_experiment(experiment)
    run = client.create_run(exp, run_name="notebook", tags={"headway.commit": commit})
    for step in range(5):
        client.log_metric(run.info.run_id, "val_auc", auc - (4 - step) / 100, step=step)
    client.set_terminated(run.info.run_id)
    return str(run.info.run_id)


def page(stage: Stage, path: str) -> str:
    with stage.app.database.write() as tx:
        token = TokenStore(tx).mint(TokenKind.USER, "ada", role=Role.ADMIN, at=stage.app.clock.now())

    async def ask() -> str:
        transport = httpx.ASGITransport(Starlette(routes=web_routes(stage.app)))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:7474") as client:
            await client.post("/login", data={"token": token})
            answer = await client.get(path)
            assert answer.status_code == 200, answer.text
            return answer.text

    return asyncio.run(ask())


def test_a_run_of_a_notebook_passes_and_blocks(scene: Stage, peer: RealMlflow) -> None:
    scene.write({"train.py": TRAIN + "# better\n"}, branch="better")
    good = scene.open("better")
    scene.write({"train.py": TRAIN + "# worse\n"}, branch="worse")
    bad = scene.open("worse")
    name = name_of(scene)
    run = trained_elsewhere(peer, name, good.head_sha, auc=0.91)
    trained_elsewhere(peer, name, bad.head_sha, auc=0.6)
    scene.expect_status(good, name, "success")
    scene.expect_status(bad, name, "failure")
    report = scene.report(good)
    assert "0.91" in report
    assert "tagged with the commit" in report
    assert f"127.0.0.1:{peer.port}" in report
    assert run in report, "a link out"
    (job,) = [each for each in scene.jobs() if each.commit == good.head_sha]
    for path in (f"/jobs/{job.number}", f"/changes/{scene.repo.id}/{good.number}", "/runs"):
        shown = page(scene, path)
        assert run in shown, path
        assert ">external<" in shown, path


def test_it_goes_away_and_comes_back(scene: Stage, peer: RealMlflow) -> None:
    name = name_of(scene)
    scene.write({"train.py": TRAIN + "# better\n"}, branch="better")
    change = scene.open("better")
    scene.expect_status(change, name, "pending")
    trained_elsewhere(peer, name, change.head_sha, auc=0.9)
    peer.kill()
    try:
        scene.comment(change, "/train")
        (job,) = scene.settled(1, commit=change.head_sha)
        verdict = scene.result(job).verdict
        assert verdict is not None
        assert verdict.outcome == "cannot_tell"
        assert "cannot be reached since" in verdict.checks[0].message
        scene.expect_status(change, name, "failure")
        assert "cannot be reached since" in scene.report(change)
        assert "cannot be reached since" in page(scene, f"/jobs/{job.number}")
        with scene.app.database.read() as tx:
            assert [each.state for each in MirrorStore(tx).of_job(job.id)] == ["waiting"]
    finally:
        peer.start()
    scene.expect_status(change, name, "success")
    result = scene.result(job)
    assert result.metrics == {"loss": 0.5, "val_auc": 0.9}
    scene.tick_until(lambda: _states(scene, job.id) == ["done"], what="the copy of our own run")
    assert "mirrored" in page(scene, f"/jobs/{job.number}")


def _states(stage: Stage, job_id: str) -> list[str]:
    with stage.app.database.read() as tx:
        return [each.state for each in MirrorStore(tx).of_job(job_id)]


WORKER = """
import sys, time
from pathlib import Path
from headway.app import open_app
from headway.flow import mirror
from headway.settings import Settings
app = open_app(Settings(data=Path(sys.argv[1]), tracker_hosts="127.0.0.1"))
while True:
    mirror.visit(app, sys.argv[2], sys.argv[3])
    time.sleep(0.1)
"""


def test_kill_9_in_the_middle_leaves_one_whole_run(scene: Stage, peer: RealMlflow) -> None:
    from mlflow import MlflowClient

    name = name_of(scene)
    scene.write({"train.py": TRAIN + "# long\n"}, branch="long")
    change = scene.open("long")
    scene.comment(change, "/train")
    (job,) = scene.settled(1, commit=change.head_sha)
    scene.tick_until(lambda: _states(scene, job.id) == ["done"], what="the first copy")
    scene.worker.tick()
    with scene.app.database.write() as tx:
        runs = RunStore(tx)
        experiment = runs.experiments.get_or_create(name).id
        long = runs.create_run(experiment, name="long", user_id="ada", job_id=job.id)
        runs.log_metrics(long, [Metric("loss", 1 / (1 + step), 1_000 + step, step) for step in range(10_000)])
        runs.update_run(long, status=None)
        tx.execute(update(schema.task).where(schema.task.c.job_id == job.id).values(run_id=long))
        want_mirrors(tx, job, JobStore(tx).plan(job.plan_id), scene.app)
    client = MlflowClient(peer.uri)
    exp = client.get_experiment_by_name(name).experiment_id

    def copies() -> list[Any]:
        return [each for each in client.search_runs([exp]) if each.data.tags.get("headway.run_id") == long]

    def far(share: int) -> bool:
        return bool(copies()) and len(client.get_metric_history(copies()[0].info.run_id, "loss")) > share

    _until_killed(scene, name, lambda: far(3_000))
    with scene.app.database.write() as tx:
        tx.execute(update(schema.mirror).where(schema.mirror.c.run_id == long).values(next_at=scene.app.clock.now()))
    scene.tick_until(lambda: set(_states(scene, job.id)) == {"done"}, what="the whole copy")
    (copy,) = copies()
    history = client.get_metric_history(copy.info.run_id, "loss")
    assert [(each.timestamp, each.step, each.value) for each in sorted(history, key=lambda each: each.step)] == [
        (1_000 + step, step, 1 / (1 + step)) for step in range(10_000)
    ]


def _until_killed(stage: Stage, name: str, done: Callable[[], bool]) -> None:
    """Let a process of its own copy until so much has arrived, then end it with SIGKILL."""
    command = [sys.executable, "-c", WORKER, str(stage.app.data), stage.repo.id, name]
    process = subprocess.Popen(command)
    until = time.monotonic() + 120
    try:
        while not done():
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait(30)


def test_the_copy_is_what_mlflow_s_own_client_reads(scene: Stage, peer: RealMlflow) -> None:
    from mlflow import MlflowClient

    name = name_of(scene)
    scene.write({"train.py": TRAIN + "# copied\n"}, branch="copied")
    change = scene.open("copied")
    scene.comment(change, "/train")
    (job,) = scene.settled(1, commit=change.head_sha)
    scene.tick_until(lambda: _states(scene, job.id) == ["done"], what="the copy")
    client = MlflowClient(peer.uri)
    (run,) = client.search_runs([client.get_experiment_by_name(name).experiment_id])
    assert (run.info.status, run.data.metrics["loss"]) == ("FINISHED", 0.5)
    assert run.data.tags["mlflow.source.git.commit"] == change.head_sha
    assert run.info.run_name == f"{name}-{job.number}-train"
    assert scene.result(job).outside is not None
    assert scene.result(job).outside.runs == (), "a copy of ours is no evidence"  # type: ignore[union-attr]
    assert git(scene.folder, "status", "--porcelain") == ""
