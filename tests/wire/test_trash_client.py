"""Deleted by the real MLflow client, purged by Headway: gone for every client, and gone from the disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy import func, select

from fakes.databases import prepared
from fakes.wire import LiveWire, live_wire
from headway.app import App, open_app
from headway.auth.model import Principal, Role
from headway.db import schema
from headway.flow.purge import Asked, PurgeAnswer, ask_purge, find_purge
from headway.flow.purging import work_off
from headway.flow.trash import list_trash, restore
from headway.settings import Settings

ADMIN = Principal(user="ada", role=Role.ADMIN)
PER_RUN = (schema.metric, schema.text, schema.tail, schema.chunk, schema.run_doc, schema.run_input, schema.run_model)


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[LiveWire]:
    with live_wire(tmp_path) as live:
        yield live


@pytest.fixture
def app(wire: LiveWire, tmp_path: Path) -> Iterator[App]:
    opened = open_app(Settings(data=prepared(tmp_path), auth="none"))
    yield opened
    opened.close()


def logged_run(client: MlflowClient, exp: str, *, points: int = 3) -> str:
    run = client.create_run(exp).info.run_id
    for step in range(points):
        client.log_metric(run, "loss", 1 / (step + 1), step=step)
    client.log_param(run, "lr", "0.1")
    client.set_tag(run, "note", "x")
    client.log_text(run, "hello", "deep/hello.txt")
    client.log_inputs(run, [])
    client.set_terminated(run)
    return run


def purge(app: App, *names: str, **more: bool) -> PurgeAnswer:
    answer = ask_purge(app, Asked(names=names, **more), ADMIN)
    work_off(app)
    return answer


def rows_of_runs(app: App) -> int:
    with app.database.read() as tx:
        return sum(tx.execute(select(func.count()).select_from(table)).scalar_one() for table in PER_RUN)


def test_a_purged_run_is_gone_for_the_client_and_from_the_disk(app: App, wire: LiveWire) -> None:
    client = MlflowClient(wire.uri)
    exp = client.create_experiment("mine")
    kept, gone = logged_run(client, exp), logged_run(client, exp)
    before = rows_of_runs(app)
    client.delete_run(gone)
    (item,) = list_trash(app, ADMIN).items
    assert (item.kind, item.id, item.deleted_by, item.experiment) == ("run", gone, "local", "mine")
    assert item.size is not None
    assert item.size > 5
    assert item.goes_at is not None
    assert (item.goes_at - item.deleted_at).days == 30
    answer = purge(app, gone)
    assert answer.purge is not None
    done = find_purge(app, answer.purge.id)
    assert (done.state, done.total, done.done, done.freed) == ("done", 1, 1, len("hello"))
    with pytest.raises(MlflowException, match=f"Run with id={gone} not found"):
        client.get_run(gone)
    with pytest.raises(MlflowException, match="not found"):
        client.restore_run(gone)
    assert not (app.data / "artifacts" / exp / gone).exists()
    assert (app.data / "artifacts" / exp / kept / "artifacts" / "deep" / "hello.txt").read_text() == "hello"
    assert rows_of_runs(app) == before // 2
    assert client.get_run(kept).data.metrics == {"loss": 1 / 3}
    assert list_trash(app, ADMIN).items == ()


def test_a_purged_experiment_frees_its_name_and_never_its_number(app: App, wire: LiveWire) -> None:
    client = MlflowClient(wire.uri)
    exp = client.create_experiment("again")
    runs = [logged_run(client, exp) for _ in range(2)]
    client.delete_experiment(exp)
    with pytest.raises(MlflowException, match="already exists"):
        client.create_experiment("again")
    (item,) = list_trash(app, ADMIN).items
    assert (item.kind, item.runs, item.name) == ("experiment", 2, "again")
    # The name is free as soon as the purge is asked for, and the number is never used again.
    ask_purge(app, Asked(names=(exp,)), ADMIN)
    with pytest.raises(MlflowException, match=f"No Experiment with id={exp} exists"):
        client.get_experiment(exp)
    second = client.create_experiment("again")
    work_off(app)
    assert int(second) > int(exp)
    assert not (app.data / "artifacts" / exp).exists()
    for run in runs:
        with pytest.raises(MlflowException, match="not found"):
            client.get_run(run)
    # Keys are numbered anew for the new one: what the writer remembers of the old must not leak into it.
    assert client.get_run(logged_run(client, second)).data.params == {"lr": "0.1"}
    with app.database.read() as tx:
        assert tx.execute(select(func.count()).select_from(schema.purge_item)).scalar_one() == 0
        left = tx.execute(select(schema.key.c.exp).distinct()).scalars().all()
    assert left == [int(second)]


def test_a_registered_model_holds_back_what_it_was_made_from(app: App, wire: LiveWire) -> None:
    client = MlflowClient(wire.uri)
    exp = client.create_experiment("registered")
    run = logged_run(client, exp)
    client.create_registered_model("flights")
    version = client.create_model_version("flights", f"runs:/{run}/deep", run_id=run)
    client.delete_run(run)
    held = purge(app, run)
    assert held.purge is None
    assert "version 1 of model flights" in held.held[0].reason
    assert (app.data / "artifacts" / exp / run / "artifacts" / "deep" / "hello.txt").exists()
    client.delete_experiment(exp)
    assert "version 1 of model flights" in purge(app, exp).held[0].reason
    client.delete_model_version("flights", version.version)
    assert purge(app, exp).total == 2
    assert not (app.data / "artifacts" / exp).exists()


def test_a_logged_model_goes_with_its_files_unless_a_version_points_to_it(app: App, wire: LiveWire) -> None:
    mlflow.set_tracking_uri(wire.uri)
    client = MlflowClient(wire.uri)
    exp = client.create_experiment("models")
    models = [client.create_logged_model(exp, name=f"m{each}") for each in range(2)]
    for each in models:
        folder = app.data / "artifacts" / exp / "models" / each.model_id / "artifacts"
        folder.mkdir(parents=True)
        (folder / "MLmodel").write_text("flavors: {}")
        client.finalize_logged_model(each.model_id, "READY")
    client.create_registered_model("flights")
    client.create_model_version("flights", f"models:/{models[0].model_id}", model_id=models[0].model_id)
    for each in models:
        client.delete_logged_model(each.model_id)
    answer = purge(app, *(each.model_id for each in models))
    assert [each.id for each in answer.held] == [models[0].model_id]
    left = app.data / "artifacts" / exp / "models"
    assert [each.name for each in left.iterdir()] == [models[0].model_id]
    with pytest.raises(MlflowException, match="not found"):
        client.get_logged_model(models[1].model_id)
    restore(app, models[0].model_id, ADMIN)
    assert client.get_logged_model(models[0].model_id).name == "m0"


def test_a_running_run_is_not_purged(app: App, wire: LiveWire) -> None:
    client = MlflowClient(wire.uri)
    run = client.create_run("0").info.run_id
    client.delete_run(run)
    answer = purge(app, run)
    assert answer.purge is None
    assert "still running" in answer.held[0].reason
    client.restore_run(run)
    client.set_terminated(run)
    client.delete_run(run)
    assert purge(app, run).total == 1
