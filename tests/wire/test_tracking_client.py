"""The unmodified MLflow client against the wire, on real sockets."""

import math
import os
from collections.abc import Iterator
from typing import Any

import pytest

from fakes.wire import LiveWire, empty_postgres, live_wire

pytestmark = pytest.mark.mlflow


POSTGRES = os.environ.get("HEADWAY_TEST_POSTGRES", "")
ON_POSTGRES = (pytest.mark.postgres, pytest.mark.skipif(not POSTGRES, reason="HEADWAY_TEST_POSTGRES names no server"))


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=ON_POSTGRES)])
def live(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[LiveWire]:
    database = empty_postgres(POSTGRES) if request.param == "postgres" else None
    with live_wire(tmp_path_factory.mktemp("wire"), database=database) as found:
        yield found


@pytest.fixture
def mlflow(live: LiveWire, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    import mlflow as client

    before = client.get_tracking_uri()
    client.set_tracking_uri(live.uri)
    yield client
    while client.active_run():
        client.end_run()
    client.set_tracking_uri(before)


@pytest.fixture
def exp(mlflow: Any, request: pytest.FixtureRequest) -> str:
    return str(mlflow.set_experiment(request.node.name).experiment_id)


def test_a_run_as_people_write_it(mlflow: Any, exp: str) -> None:
    with mlflow.start_run(run_name="r", tags={"team": "nyc"}) as run:
        mlflow.log_params({"depth": 3, "kind": "gbm"})
        mlflow.log_metric("loss", 0.5, step=1)
        mlflow.log_metrics({"f1": 0.9, "nan": math.nan, "inf": math.inf}, step=2)
        mlflow.set_tags({"a": "1", "b": "2"})
        mlflow.log_param("late", "")
    found = mlflow.get_run(run.info.run_id)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "r"
    assert found.info.end_time >= found.info.start_time
    assert found.data.params == {"depth": "3", "kind": "gbm", "late": ""}
    assert {key: value for key, value in found.data.metrics.items() if key != "nan"} == {
        "loss": 0.5,
        "f1": 0.9,
        "inf": 1.7976931348623157e308,
    }
    assert math.isnan(found.data.metrics["nan"])
    assert {"team", "a", "b", "mlflow.runName", "mlflow.user"} <= set(found.data.tags)
    assert found.info.artifact_uri == f"mlflow-artifacts:/{exp}/{run.info.run_id}/artifacts"


def test_a_run_that_raises_is_failed(mlflow: Any, exp: str) -> None:
    with pytest.raises(ZeroDivisionError), mlflow.start_run() as run:
        _ = 1 / 0
    assert mlflow.get_run(run.info.run_id).info.status == "FAILED"


def test_nested_runs_know_their_parent(mlflow: Any, exp: str) -> None:
    with mlflow.start_run() as parent, mlflow.start_run(nested=True) as child:
        mlflow.log_metric("m", 1)
    assert mlflow.get_run(child.info.run_id).data.tags["mlflow.parentRunId"] == parent.info.run_id
    found = mlflow.search_runs([exp], f"tags.mlflow.parentRunId = '{parent.info.run_id}'", output_format="list")
    assert [run.info.run_id for run in found] == [child.info.run_id]


def test_a_run_is_resumed_by_its_id(mlflow: Any, exp: str) -> None:
    with mlflow.start_run() as run:
        mlflow.log_metric("m", 1, step=1)
    with mlflow.start_run(run_id=run.info.run_id):
        mlflow.log_metric("m", 2, step=2)
        assert mlflow.get_run(run.info.run_id).info.status == "RUNNING"
    assert mlflow.get_run(run.info.run_id).data.metrics == {"m": 2.0}


def test_histories_come_whole_and_by_pages(mlflow: Any, exp: str) -> None:
    client = mlflow.MlflowClient()
    run = client.create_run(exp).info.run_id
    points = [mlflow.entities.Metric("m", step / 7, 1000 + step, step) for step in range(2500)]
    for start in range(0, 2500, 1000):
        client.log_batch(run, metrics=points[start : start + 1000])
    client.log_batch(run, metrics=points[:1000])  # a retry
    found = client.get_metric_history(run, "m")
    assert [(point.step, point.timestamp, point.value) for point in found] == [
        (point.step, point.timestamp, point.value) for point in points
    ]
    store = client._tracking_client.store
    page = store.get_metric_history(run, "m", max_results=2000)
    assert len(page) == 2000
    rest = store.get_metric_history(run, "m", max_results=2000, page_token=page.token)
    assert [point.step for point in rest] == list(range(2000, 2500))
    assert not rest.token
    assert client.get_metric_history(run, "unknown") == []
    thinned = store.get_metric_history_bulk_interval([run], "m", 10, 0, 2499)
    assert [point.step for point in thinned][:1] == [0]
    assert thinned[-1].step == 2499
    assert 10 <= len(thinned) <= 12


def test_asynchronous_logging_loses_nothing(mlflow: Any, exp: str) -> None:
    with mlflow.start_run() as run:
        for step in range(300):
            mlflow.log_metric("m", step, step=step, synchronous=False)
        mlflow.flush_async_logging()
    steps = [point.step for point in mlflow.MlflowClient().get_metric_history(run.info.run_id, "m")]
    assert steps == list(range(300))


def test_search_filters_orders_and_pages(mlflow: Any, exp: str) -> None:
    for index in range(7):
        with mlflow.start_run(run_name=f"r{index}"):
            mlflow.log_params({"model": "ab"[index % 2], "with space": "x"})
            if index != 3:
                mlflow.log_metric("f1", index / 10)
    client = mlflow.MlflowClient()

    def names(filter_string: str = "", order_by: list[str] | None = None) -> list[str]:
        found, token = [], None
        while True:
            page = client.search_runs([exp], filter_string, order_by=order_by, max_results=2, page_token=token)
            found += [run.info.run_name for run in page]
            token = page.token
            if not token:
                return found

    assert names() == ["r6", "r5", "r4", "r3", "r2", "r1", "r0"]
    assert names("metrics.f1 > 0.15 and params.model = 'a'", ["metrics.f1 DESC"]) == ["r6", "r4", "r2"]
    assert names("params.`with space` = 'x'", ["metrics.f1 ASC"]) == ["r0", "r1", "r2", "r4", "r5", "r6", "r3"]
    assert names("attributes.run_name LIKE 'r%' and run_name != 'r0'", ["params.model", "start_time ASC"]) == [
        "r2", "r4", "r6", "r1", "r3", "r5",
    ]  # fmt: skip
    assert len(mlflow.search_runs([exp])) == 7


def test_search_errors_say_what_is_wrong(mlflow: Any, exp: str) -> None:
    from mlflow.exceptions import MlflowException

    client = mlflow.MlflowClient()
    for text, message in (
        ("metrics.a > 1 or metrics.b > 1", r"Invalid clause\(s\) in filter string: .*or"),
        ("params.a = 1", "Expected a quoted string value for parameter"),
        ("nothing = 'a'", "Invalid attribute key 'nothing' specified"),
    ):
        with pytest.raises(MlflowException, match=message) as info:
            client.search_runs([exp], text)
        assert info.value.error_code == "INVALID_PARAMETER_VALUE"


def test_params_are_written_once(mlflow: Any, exp: str) -> None:
    from mlflow.exceptions import MlflowException

    client = mlflow.MlflowClient()
    run = client.create_run(exp).info.run_id
    client.log_param(run, "p", 1)
    client.log_param(run, "p", 1)
    with pytest.raises(MlflowException, match=r"Changing param values is not allowed. Param with key='p' was already"):
        client.log_param(run, "p", 2)
    with pytest.raises(MlflowException, match="Duplicate parameter keys have been submitted"):
        client.log_batch(run, params=[mlflow.entities.Param("q", "1"), mlflow.entities.Param("q", "2")])


def test_delete_and_restore(mlflow: Any, exp: str) -> None:
    from mlflow.exceptions import MlflowException

    client = mlflow.MlflowClient()
    run = client.create_run(exp).info.run_id
    client.delete_run(run)
    assert client.get_run(run).info.lifecycle_stage == "deleted"
    assert list(client.search_runs([exp])) == []
    assert len(client.search_runs([exp], run_view_type=mlflow.entities.ViewType.DELETED_ONLY)) == 1
    with pytest.raises(MlflowException, match=f"The run {run} must be in the 'active' state"):
        client.log_metric(run, "m", 1)
    client.restore_run(run)
    client.log_metric(run, "m", 1)
    client.delete_experiment(exp)
    assert client.get_experiment(exp).lifecycle_stage == "deleted"
    assert client.get_run(run).info.lifecycle_stage == "deleted"
    with pytest.raises(MlflowException, match=r"The experiment \d+ must be in the 'active' state"):
        client.create_run(exp)
    with pytest.raises(MlflowException, match="Cannot set a deleted experiment"):
        mlflow.set_experiment(experiment_name=client.get_experiment(exp).name)
    client.restore_experiment(exp)
    client.rename_experiment(exp, "renamed")
    assert client.get_experiment_by_name("renamed").experiment_id == exp


def test_experiments_are_made_tagged_searched_and_unique(mlflow: Any, live: LiveWire) -> None:
    from mlflow.exceptions import MlflowException

    client = mlflow.MlflowClient()
    made = client.create_experiment("flights", tags={"team": "nyc"})
    client.set_experiment_tag(made, "note", "x")
    assert client.get_experiment(made).tags == {"team": "nyc", "note": "x"}
    with pytest.raises(MlflowException, match=r"Experiment\(name=flights\) already exists") as info:
        client.create_experiment("flights")
    assert info.value.error_code == "RESOURCE_ALREADY_EXISTS"
    assert "INSERT" not in str(info.value).upper()
    assert [each.name for each in client.search_experiments(filter_string="tags.team = 'nyc'")] == ["flights"]
    assert client.get_experiment_by_name("never") is None
    with pytest.raises(MlflowException, match="No Experiment with id=987 exists"):
        client.get_experiment("987")
    assert client.get_experiment("0").name == "Default"


def test_datasets_are_inputs(mlflow: Any, exp: str) -> None:
    import pandas as pd

    with mlflow.start_run() as run:
        data = mlflow.data.from_pandas(pd.DataFrame({"x": [1.0, 2.0]}), name="flights")
        mlflow.log_input(data, context="training")
        mlflow.log_input(data, context="training")
    inputs = mlflow.get_run(run.info.run_id).inputs.dataset_inputs
    assert [each.dataset.name for each in inputs] == ["flights"]
    assert [(tag.key, tag.value) for tag in inputs[0].tags] == [("mlflow.data.context", "training")]
    found = mlflow.search_runs(
        [exp], "dataset.name = 'flights' and datasets.context = 'training'", output_format="list"
    )
    assert [each.info.run_id for each in found] == [run.info.run_id]


def test_tags_are_overwritten_and_deleted(mlflow: Any, exp: str) -> None:
    from mlflow.exceptions import MlflowException

    client = mlflow.MlflowClient()
    run = client.create_run(exp, tags={"a": "1"}).info.run_id
    client.set_tag(run, "a", "2")
    assert client.get_run(run).data.tags["a"] == "2"
    client.delete_tag(run, "a")
    with pytest.raises(MlflowException, match="No tag with name: a in run with id"):
        client.delete_tag(run, "a")
    client.set_tag(run, "mlflow.runName", "other")
    assert client.get_run(run).info.run_name == "other"
    client.update_run(run, status="KILLED", name="third")
    assert client.get_run(run).data.tags["mlflow.runName"] == "third"


@pytest.mark.parametrize("key", ["a/../b", "/a", "a\nb", "a'b"])
def test_bad_metric_names_are_refused(mlflow: Any, exp: str, key: str) -> None:
    from mlflow.exceptions import MlflowException

    store = mlflow.MlflowClient()._tracking_client.store
    run = mlflow.MlflowClient().create_run(exp).info.run_id
    with pytest.raises(MlflowException, match="for parameter 'name' supplied"):
        store.log_metric(run, mlflow.entities.Metric(key, 1.0, 1, 0))


def test_autolog_of_sklearn_needs_nothing_else(mlflow: Any, exp: str) -> None:
    from sklearn.linear_model import LogisticRegression

    os.environ["MLFLOW_ENABLE_ASYNC_LOGGING"] = "false"
    mlflow.sklearn.autolog(log_models=False, silent=True)
    try:
        with mlflow.start_run() as run:
            LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
    finally:
        mlflow.sklearn.autolog(disable=True)
    found = mlflow.get_run(run.info.run_id)
    assert found.data.params["penalty"]
    assert found.data.metrics["training_accuracy_score"] == 1.0
