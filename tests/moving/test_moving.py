"""Moving in from a real MLflow server, its database and a file store; and out again as Parquet."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.moving import Peer, Terminal, logging_to, terminal_in

pytestmark = [pytest.mark.mlflow, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def moved(peer: Peer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    with terminal_in(tmp_path_factory.mktemp("here")) as typed:
        last = typed.moved(peer.uri)
        assert last["whole"] and last["there"] == last["here"], last
        assert (last["here"]["runs"], last["here"]["experiments"], last["here"]["versions"]) == (5, 3, 2)
        yield typed


def test_runs_are_here_as_they_were_there(peer: Peer, moved: Terminal) -> None:
    with logging_to(peer.uri) as mlflow:
        there = {name: mlflow.MlflowClient().get_run(run) for name, run in peer.ids.items()}
        losses = mlflow.MlflowClient().get_metric_history(peer.ids["parent"], "loss/train")
    with logging_to(moved.url, moved.token) as mlflow:
        client = mlflow.MlflowClient()
        for name, run in peer.ids.items():
            here = client.get_run(run)
            assert here.data.params == there[name].data.params
            assert here.data.tags == there[name].data.tags
            same = ("run_id", "run_name", "status", "start_time", "end_time", "lifecycle_stage", "user_id")
            assert [getattr(here.info, each) for each in same] == [getattr(there[name].info, each) for each in same]
            assert [each.dataset.digest for each in here.inputs.dataset_inputs] == [
                each.dataset.digest for each in there[name].inputs.dataset_inputs
            ]
        points = [(p.step, p.timestamp, p.value) for p in client.get_metric_history(peer.ids["parent"], "loss/train")]
        assert repr(points) == repr([(p.step, p.timestamp, p.value) for p in losses])
        assert math.isnan(points[0][2]) and points[1][2] > 1e308
        assert len(client.get_metric_history(peer.ids["child"], "many")) == 900
        assert client.get_experiment_by_name("gone").lifecycle_stage == "deleted"
        assert mlflow.artifacts.load_text(f"runs:/{peer.ids['parent']}/ordner/ä b.txt") == "hi"


def test_a_model_loads_under_its_alias_and_numbers_go_on(moved: Terminal) -> None:
    with logging_to(moved.url, moved.token) as mlflow:
        client = mlflow.MlflowClient()
        model = mlflow.pyfunc.load_model("models:/twice@champion")
        assert model.predict([[5.0]])[0] == pytest.approx(10.0)
        assert {each.version for each in client.search_model_versions("name='twice'")} == {"1", "3"}
        assert client.get_model_version("twice", "1").tags == {"checked": "yes"}
        assert mlflow.register_model(client.get_model_version("twice", "3").source, "twice").version in ("4", 4)
        client.delete_model_version("twice", "4")


def test_the_same_again_writes_nothing_and_says_so(peer: Peer, moved: Terminal) -> None:
    for words in ((peer.uri,), (peer.database, "--artifacts", str(peer.folder / "art"))):
        last = moved.moved(*words)
        assert last["whole"] and last["new_runs"] == 0, last
        assert last["there"] == last["here"]


def test_what_is_another_thing_here_is_left_alone_and_told(peer: Peer, terminal: Terminal) -> None:
    terminal("runs", "list")  # starts the server
    with logging_to(terminal.url, terminal.token) as mlflow:
        mlflow.MlflowClient().create_registered_model("twice", description="ours")
    plan = terminal("import", "mlflow", peer.uri, "--dry-run")
    assert "gone" in plan and "twice" in plan
    assert "no experiment 'nope'" in terminal("import", "mlflow", peer.uri, "--experiment", "nope", code=5)
    last = terminal.moved(peer.uri, "--experiment", "Größen 日本", code=1)
    assert last["here"]["runs"] == 4 and not last["whole"]
    assert {each["what"] for each in last["problems"]} == {"model twice", "model twice/1", "model twice/3"}
    with logging_to(terminal.url, terminal.token) as mlflow:
        assert mlflow.MlflowClient().get_registered_model("twice").description == "ours"


def test_an_import_that_is_killed_goes_on(peer: Peer, terminal: Terminal) -> None:
    terminal("runs", "list")
    process = terminal.start("import", "mlflow", peer.uri, "--json")
    assert process.stdout is not None
    process.stdout.readline()  # it has begun
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    last = terminal.moved(peer.uri)
    assert last["whole"] and last["there"] == last["here"], last


def test_parquet_has_what_the_api_has(peer: Peer, moved: Terminal, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    folder = tmp_path / "out"
    moved("runs", "export", str(folder), "--format", "parquet")
    assert "has runs.parquet already" in moved("runs", "export", str(folder), "--format", "parquet", code=1)
    assert sorted(each.name for each in folder.iterdir()) == [
        "metrics.parquet",
        "params.parquet",
        "runs.parquet",
        "tags.parquet",
    ]
    rows = {
        name: pq.read_table(folder / f"{name}.parquet").to_pylist() for name in ("runs", "metrics", "params", "tags")
    }
    with logging_to(moved.url, moved.token) as mlflow:
        client = mlflow.MlflowClient()
        ids = [each.experiment_id for each in client.search_experiments()]
        runs = {each.info.run_id: each for each in client.search_runs(ids)}
        assert {row["run_id"] for row in rows["runs"]} == set(runs)
        for row in rows["runs"]:
            run = runs[row["run_id"]]
            assert round(row["start_time"].timestamp() * 1000) == run.info.start_time
            assert row["params.lr"] == run.data.params.get("lr")
            assert row["metrics.many"] == run.data.metrics.get("many")
        for run_id, run in runs.items():
            for name, pairs in (("params", run.data.params), ("tags", run.data.tags)):
                assert {row["key"]: row["value"] for row in rows[name] if row["run_id"] == run_id} == pairs
            for key in run.data.metrics:
                points = [(p.step, p.timestamp, p.value) for p in client.get_metric_history(run_id, key)]
                found = [
                    (row["step"], round(row["timestamp"].timestamp() * 1000), row["value"])
                    for row in rows["metrics"]
                    if (row["run_id"], row["key"]) == (run_id, key)
                ]
                assert repr(sorted(found, key=lambda p: p[:2])) == repr(sorted(points, key=lambda p: p[:2]))


def test_a_file_store_moves_in(terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    store = tmp_path / "mlruns"
    with logging_to(store.as_uri()) as mlflow:
        run = mlflow.start_run(run_name="old", experiment_id="0")
        mlflow.log_metric("a/b", float("nan"), step=3)
        mlflow.log_metric("a/b", 2.5, step=4)
        mlflow.log_param("p", "x y")
        mlflow.log_text("old", "notes/old.txt")
        mlflow.end_run()
    (store / "0" / run.info.run_id / "artifacts" / "link").symlink_to("/etc/hostname")
    last = terminal.moved(str(store), code=1)
    assert [each["why"] for each in last["problems"]] == ["it is a link"]
    assert (last["here"]["runs"], last["here"]["points"], last["here"]["files"]) == (1, 2, 1)
    with logging_to(terminal.url, terminal.token) as mlflow:
        assert mlflow.MlflowClient().get_run(run.info.run_id).data.metrics == {"a/b": 2.5}
        assert mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/notes/old.txt") == "old"
