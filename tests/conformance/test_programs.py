"""What training programs do, through MLflow's fluent API and its own stores."""

import math
from typing import Any

import pytest

from conformance.servers import Server, fresh

GROUP = "programs"


def test_an_experiment_is_made_when_it_is_set(mlflow: Any) -> None:
    name = fresh("set")
    first = mlflow.set_experiment(name)
    assert mlflow.set_experiment(name).experiment_id == first.experiment_id
    assert mlflow.set_experiment(experiment_id=first.experiment_id).name == name


def test_a_deleted_experiment_is_not_set(mlflow: Any) -> None:
    from mlflow.exceptions import MlflowException

    name = fresh("gone")
    exp = mlflow.create_experiment(name)
    mlflow.delete_experiment(exp)
    with pytest.raises(MlflowException, match="Cannot set a deleted experiment"):
        mlflow.set_experiment(name)


def test_a_program(mlflow: Any) -> None:
    mlflow.set_experiment(fresh("program"))
    with mlflow.start_run(run_name="named", description="words", tags={"team": "x"}) as run:
        mlflow.log_params({"depth": 3, "kind": None, "list": [1, 2]})
        mlflow.log_param("late", "")
        for step in range(3):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_metrics({"f1": 0.9, "nan": math.nan}, step=7)
        mlflow.set_tags({"a": 1, "b": "2"})
        mlflow.set_tag("c", "3")
        mlflow.delete_tag("c")
    found = mlflow.get_run(run.info.run_id)
    assert (found.info.status, found.info.run_name) == ("FINISHED", "named")
    assert found.data.params == {"depth": "3", "kind": "None", "list": "[1, 2]", "late": ""}
    assert found.data.metrics["loss"] == pytest.approx(1 / 3)
    assert math.isnan(found.data.metrics["nan"])
    assert {key: found.data.tags[key] for key in ("team", "a", "b", "mlflow.note.content")} == {
        "team": "x",
        "a": "1",
        "b": "2",
        "mlflow.note.content": "words",
    }
    assert "c" not in found.data.tags


def test_a_program_that_fails(mlflow: Any) -> None:
    mlflow.set_experiment(fresh("fails"))
    with pytest.raises(ZeroDivisionError), mlflow.start_run() as run:
        raise ZeroDivisionError
    found = mlflow.get_run(run.info.run_id)
    assert found.info.status == "FAILED"
    assert found.info.end_time >= found.info.start_time


def test_a_run_is_taken_up_again(mlflow: Any) -> None:
    mlflow.set_experiment(fresh("again"))
    with mlflow.start_run(run_name="first") as run:
        mlflow.log_param("p", 1)
    with mlflow.start_run(run_id=run.info.run_id):
        assert mlflow.get_run(run.info.run_id).info.status == "RUNNING"
        mlflow.log_metric("m", 1)
    found = mlflow.get_run(run.info.run_id)
    assert (found.info.status, found.info.run_name, found.data.params) == ("FINISHED", "first", {"p": "1"})


def test_a_deleted_run_is_not_taken_up(mlflow: Any) -> None:
    from mlflow.exceptions import MlflowException

    mlflow.set_experiment(fresh("deleted"))
    with mlflow.start_run() as run:
        pass
    mlflow.delete_run(run.info.run_id)
    with pytest.raises(MlflowException, match="because it is in the deleted state"):
        mlflow.start_run(run_id=run.info.run_id)


def test_children_know_their_parent(mlflow: Any) -> None:
    mlflow.set_experiment(fresh("family"))
    with mlflow.start_run(run_name="parent") as parent:
        with (
            mlflow.start_run(run_name="child", nested=True) as child,
            mlflow.start_run(run_name="grandchild", nested=True) as grandchild,
        ):
            pass
        with mlflow.start_run(run_name="other", nested=True, parent_run_id=parent.info.run_id) as other:
            pass
    above = mlflow.get_parent_run(child.info.run_id)
    assert above.info.run_id == parent.info.run_id
    assert mlflow.get_parent_run(grandchild.info.run_id).info.run_id == child.info.run_id
    assert mlflow.get_parent_run(parent.info.run_id) is None
    found = mlflow.search_runs(
        filter_string=f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'", output_format="list"
    )
    assert {run.info.run_id for run in found} == {child.info.run_id, other.info.run_id}


def test_runs_as_a_table(mlflow: Any) -> None:
    name = fresh("table")
    mlflow.set_experiment(name)
    for index in range(3):
        with mlflow.start_run(run_name=f"r{index}"):
            mlflow.log_metric("m", index)
            mlflow.log_param("p", index)
    frame = mlflow.search_runs(experiment_names=[name], filter_string="metrics.m > 0", order_by=["metrics.m DESC"])
    assert list(frame["metrics.m"]) == [2.0, 1.0]
    assert list(frame["params.p"]) == ["2", "1"]
    assert set(frame["status"]) == {"FINISHED"}
    assert len(mlflow.search_runs(experiment_names=[fresh("never")])) == 0
    assert len(mlflow.search_runs(experiment_names=[name], max_results=2)) == 2


def test_logging_without_waiting(mlflow: Any) -> None:
    mlflow.set_experiment(fresh("later"))
    with mlflow.start_run() as run:
        for step in range(50):
            mlflow.log_metric("m", step, step=step, synchronous=False)
        mlflow.log_params({"a": 1, "b": 2}, synchronous=False)
        mlflow.set_tag("t", "v", synchronous=False)
        mlflow.flush_async_logging()
    found = mlflow.get_run(run.info.run_id)
    assert (found.data.metrics["m"], found.data.params, found.data.tags["t"]) == (49.0, {"a": "1", "b": "2"}, "v")
    assert len(mlflow.MlflowClient().get_metric_history(run.info.run_id, "m")) == 50


def test_a_dataset_is_logged(mlflow: Any) -> None:
    import numpy as np

    mlflow.set_experiment(fresh("data"))
    data = mlflow.data.from_numpy(np.array([[1.0, 2.0]]), source="https://example.org/rows.csv", name="rows")
    with mlflow.start_run() as run:
        mlflow.log_input(data, context="training", tags={"foo": "baz"})
    logged = mlflow.get_run(run.info.run_id).inputs.dataset_inputs[0]
    assert (logged.dataset.name, logged.dataset.digest) == ("rows", data.digest)
    assert {tag.key: tag.value for tag in logged.tags} == {"foo": "baz", "mlflow.data.context": "training"}


def test_more_params_than_a_batch_takes(mlflow: Any) -> None:
    mlflow.set_experiment(fresh("many"))
    with mlflow.start_run() as run:
        mlflow.log_params({f"p{i}": i for i in range(250)})
        mlflow.set_tags({f"t{i}": i for i in range(120)})
        mlflow.log_metrics({f"m{i}": i for i in range(1200)})
    found = mlflow.get_run(run.info.run_id)
    assert (len(found.data.params), len(found.data.metrics)) == (250, 1200)
    assert sum(key.startswith("t") for key in found.data.tags) == 120


def test_a_dictionary_and_a_table_are_logged(mlflow: Any) -> None:
    mlflow.set_experiment(fresh("files"))
    with mlflow.start_run() as run:
        mlflow.log_dict({"a": 1}, "deep/d.json")
        mlflow.log_text("words", "t.txt")
    uri = f"runs:/{run.info.run_id}"
    assert mlflow.artifacts.load_dict(f"{uri}/deep/d.json") == {"a": 1}
    assert mlflow.artifacts.load_text(f"{uri}/t.txt") == "words"


def test_a_table_grows_and_is_read_again(mlflow: Any) -> None:
    mlflow.set_experiment(fresh("tables"))
    with mlflow.start_run() as run:
        for name in ("rows.json", "deep/rows.parquet"):
            mlflow.log_table({"word": ["one"], "count": [1]}, name)
            mlflow.log_table({"word": ["two"], "count": [2]}, name)
    table = mlflow.load_table("rows.json", run_ids=[run.info.run_id], extra_columns=["run_id"])
    assert list(table["word"]) == ["one", "two"]
    assert set(table["run_id"]) == {run.info.run_id}
    assert mlflow.load_table("deep/rows.parquet", run_ids=[run.info.run_id]).shape == (2, 2)
    told = mlflow.get_run(run.info.run_id).data.tags["mlflow.loggedArtifacts"]
    assert told.count('"type": "table"') == 2


def test_images_lie_where_the_pages_look(mlflow: Any) -> None:
    import numpy as np

    mlflow.set_experiment(fresh("images"))
    grey = np.zeros((4, 4, 3), dtype=np.uint8)
    with mlflow.start_run() as run:
        mlflow.log_image(grey, "plain/grey.png")
        mlflow.log_image(grey, key="a heron", step=3, timestamp=17, synchronous=True)
    client = mlflow.MlflowClient()
    assert [each.path for each in client.list_artifacts(run.info.run_id, "plain")] == ["plain/grey.png"]
    names = [each.path for each in client.list_artifacts(run.info.run_id, "images")]
    assert len(names) == 2
    assert all(name.startswith("images/a heron+step+3+timestamp+17+") for name in names), names
    assert client.get_run(run.info.run_id).data.tags["mlflow.loggedImages"] == "True"


def test_a_model_that_lies_elsewhere(mlflow: Any) -> None:
    from mlflow.exceptions import MlflowException

    exp = mlflow.set_experiment(fresh("elsewhere")).experiment_id
    model = mlflow.create_external_model(name="far", params={"a": "b"}, tags={"c": "d"})
    assert (model.status, model.params, model.tags["mlflow.model.isExternal"]) == ("READY", {"a": "b"}, "true")
    mlflow.log_model_params({f"p{each}": f"v{each}" for each in range(150)}, model_id=model.model_id)
    assert len(mlflow.get_logged_model(model.model_id).params) == 151
    found = mlflow.search_logged_models(experiment_ids=[exp], output_format="list")
    assert [each.model_id for each in found] == [model.model_id]
    with pytest.raises(MlflowException, match="Logged model with ID '1234' not found"):
        mlflow.set_active_model(model_id="1234")


def test_a_number_that_no_experiment_has(mlflow: Any) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match="No Experiment with id=-1337 exists"):
        mlflow.set_experiment(experiment_id="-1337")


def test_the_stores_refusals(rest: Any, server: Server, exp: str) -> None:
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.exceptions import MlflowException

    run = server.run(exp)
    with pytest.raises(MlflowException, match="Missing value for required parameter 'value'"):
        rest.log_metric(run, Metric("m", None, 1, 0))
    rest.log_param(run, Param("p", "1"))
    with pytest.raises(MlflowException, match="Changing param values is not allowed") as caught:
        rest.log_param(run, Param("p", "2"))
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"
    with pytest.raises(MlflowException, match="No tag with name") as caught:
        rest.delete_tag(run, "never")
    assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    rest.set_tag(run, RunTag("t", "v"))
    rest.delete_run(run)
    with pytest.raises(MlflowException, match=r"The run .+ must be in the 'active' state"):
        rest.set_tag(run, RunTag("t", "v"))
