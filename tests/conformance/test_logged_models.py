"""Logged models: making, finishing, tags, params, metrics, deleting, and searching them."""

import math
import time
from collections.abc import Callable
from typing import Any

import pytest

from conformance.servers import Server, fresh

GROUP = "logged models"
NONE = f"m-{'0' * 32}"
GONE = "RESOURCE_DOES_NOT_EXIST"
Make = Callable[..., dict[str, Any]]


@pytest.fixture
def make(server: Server, exp: str) -> Make:
    """Make a logged model in this test's experiment and return its info and data."""

    def create(**more: Any) -> dict[str, Any]:
        answer = server.post("logged-models", {"experiment_id": exp, **more})["model"]
        time.sleep(0.002)  # creation times order them
        return {**answer["info"], **answer["data"]}

    return create


def got(server: Server, model_id: str) -> dict[str, Any]:
    answer = server.get(f"logged-models/{model_id}")["model"]
    return {**answer["info"], **answer["data"]}


def pairs(listed: list[dict[str, str]] | None) -> dict[str, str]:
    return {each["key"]: each["value"] for each in listed or []}


def measure(server: Server, run: str, model_id: str, value: Any, key: str = "acc", **more: Any) -> None:
    point = {"run_id": run, "key": key, "value": value, "timestamp": 1, "step": 0, "model_id": model_id, **more}
    server.post("runs/log-metric", point)


# --- making and changing ----------------------------------------------------------------------------


def test_a_new_model_is_pending_and_has_a_folder(server: Server, make: Make, exp: str) -> None:
    made = make()
    assert made["model_id"].startswith("m-")
    assert len(made["model_id"]) == 34
    assert (made["experiment_id"], made["status"]) == (exp, "LOGGED_MODEL_PENDING")
    assert made["name"]
    assert made["artifact_uri"].endswith(f"/models/{made['model_id']}/artifacts")
    assert made["creation_timestamp_ms"] == made["last_updated_timestamp_ms"]
    assert not {"tags", "params", "metrics"} & set(made)
    assert got(server, made["model_id"]) == made


def test_what_was_given_comes_back(server: Server, make: Make, exp: str) -> None:
    run = server.run(exp)
    tags, params = [{"key": "t", "value": "apple"}], [{"key": "p", "value": "1"}, {"key": "q", "value": ""}]
    found = got(
        server, make(name="my_model", model_type="LLM", source_run_id=run, tags=tags, params=params)["model_id"]
    )
    assert (found["name"], found["model_type"], found["source_run_id"]) == ("my_model", "LLM", run)
    assert (pairs(found["tags"]), pairs(found["params"])) == ({"t": "apple"}, {"p": "1", "q": ""})


def test_the_run_of_a_model_need_not_be_here(make: Make) -> None:
    assert make(source_run_id="123")["source_run_id"] == "123"


def test_an_empty_name_is_made_up(make: Make) -> None:
    assert make(name="")["name"]


@pytest.mark.parametrize("name", ["my/model", "my.model", "my:model", "my%model", "my'model", 'my"model'])
def test_names_have_no_special_characters(server: Server, exp: str, name: str) -> None:
    server.refused("logged-models", {"experiment_id": exp, "name": name}).says("Invalid model name")


@pytest.mark.parametrize(
    ("body", "text", "code", "status"),
    [
        ({}, "Missing value for required parameter 'experiment_id'", "INVALID_PARAMETER_VALUE", 400),
        ({"experiment_id": 5}, "Invalid value 5 for parameter 'experiment_id'", "INVALID_PARAMETER_VALUE", 400),
        ({"experiment_id": "999999"}, "No Experiment with id=999999 exists", GONE, 404),
    ],
)
def test_a_model_needs_an_experiment(server: Server, body: Any, text: str, code: str, status: int) -> None:
    server.refused("logged-models", body).says(text, code, status)


def test_a_deleted_experiment_takes_no_models(server: Server) -> None:
    exp = server.experiment()
    server.post("experiments/delete", {"experiment_id": exp})
    server.refused("logged-models", {"experiment_id": exp}).says("must be in the 'active' state")


@pytest.mark.parametrize("status", ["LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED"])
def test_an_upload_ends(server: Server, make: Make, status: str) -> None:
    model_id = make()["model_id"]
    body = {"model_id": model_id, "status": status}
    assert server.post(f"logged-models/{model_id}", body, method="PATCH")["model"]["info"]["status"] == status
    assert got(server, model_id)["status"] == status


def test_the_client_ends_an_upload(client: Any, exp: str) -> None:
    from mlflow.entities import LoggedModelStatus

    model_id = client.create_logged_model(exp).model_id
    for status in (LoggedModelStatus.READY, LoggedModelStatus.FAILED):
        assert client.finalize_logged_model(model_id, status).status == status


def test_tags_are_written_over_and_deleted(server: Server, make: Make) -> None:
    model_id = make(tags=[{"key": "t1", "value": "apple"}])["model_id"]
    for tags in ([{"key": "t2", "value": "orange"}], [{"key": "t2", "value": "grape"}, {"key": "t3", "value": ""}]):
        assert server.post(f"logged-models/{model_id}/tags", {"tags": tags}, method="PATCH") == {}
    assert pairs(got(server, model_id)["tags"]) == {"t1": "apple", "t2": "grape", "t3": ""}
    assert server.post(f"logged-models/{model_id}/tags/t1", method="DELETE") == {}
    assert pairs(got(server, model_id)["tags"]) == {"t2": "grape", "t3": ""}
    told = server.refused(f"logged-models/{model_id}/tags/t1", method="DELETE")
    told.says("No tag with key", GONE, 404)


def test_the_client_deletes_a_tag(client: Any, exp: str) -> None:
    from mlflow.exceptions import MlflowException

    model_id = client.create_logged_model(exp, tags={"tag": "value"}).model_id
    client.set_logged_model_tags(model_id, {"one": "1", "two": "2"})
    client.delete_logged_model_tag(model_id, "tag")
    assert client.get_logged_model(model_id).tags == {"one": "1", "two": "2"}
    with pytest.raises(MlflowException, match="No tag with key"):
        client.delete_logged_model_tag(model_id, "tag")


def test_params_are_added(server: Server, client: Any, make: Make) -> None:
    model_id = make(params=[{"key": "p", "value": "1"}])["model_id"]
    client.log_model_params(model_id, {"q": "2", "long": "x" * 7000})
    assert pairs(got(server, model_id)["params"]) == {"p": "1", "q": "2", "long": "x" * 7000}


def test_an_unknown_model_is_not_there(server: Server) -> None:
    server.refused(f"logged-models/{NONE}", method="GET").says("not found", GONE, 404)
    server.refused("logged-models/does-not-exist", method="GET").says("not found", GONE, 404)
    for method, path, more in (
        ("PATCH", "", {"status": "LOGGED_MODEL_READY"}),
        ("DELETE", "", {}),
        ("POST", "/params", {"params": [{"key": "p", "value": "1"}]}),
        ("PATCH", "/tags", {"tags": [{"key": "t", "value": "1"}]}),
        ("DELETE", "/tags/t", {}),
    ):
        told = server.refused(f"logged-models/{NONE}{path}", {"model_id": NONE, **more}, method=method)
        told.says("not found", GONE, 404)


def test_a_deleted_model_is_gone(server: Server, make: Make, exp: str) -> None:
    model_id = make()["model_id"]
    measure(server, server.run(exp), model_id, 0)
    assert server.post(f"logged-models/{model_id}", method="DELETE") == {}
    server.refused(f"logged-models/{model_id}", method="GET").says("not found", GONE, 404)
    assert server.post("logged-models/search", {"experiment_ids": [exp]}) == {}


def test_a_model_outlives_its_run(server: Server, make: Make, exp: str) -> None:
    run = server.run(exp)
    model_id = make(source_run_id=run)["model_id"]
    server.post("runs/delete", {"run_id": run})
    assert got(server, model_id)["source_run_id"] == run


# --- metrics ----------------------------------------------------------------------------------------


def test_points_come_back_with_their_run_and_data_set(server: Server, make: Make, exp: str) -> None:
    run, model_id = server.run(exp), make()["model_id"]
    data = {"dataset_name": "ds", "dataset_digest": "dg"}
    for _ in range(2):  # the same point again is no other point
        measure(server, run, model_id, 0.5, timestamp=7, step=3, **data)
    point = {"key": "acc", "value": 0.5, "timestamp": 7, "step": 3, "model_id": model_id, "run_id": run, **data}
    assert got(server, model_id)["metrics"] == [point]


def test_every_point_is_kept(server: Server, make: Make, exp: str) -> None:
    run, model_id = server.run(exp), make()["model_id"]
    points = [{"key": key, "value": step, "timestamp": 5, "step": step} for key in "ab" for step in range(3)]
    server.post("runs/log-batch", {"run_id": run, "metrics": [{**each, "model_id": model_id} for each in points]})
    measure(server, run, model_id, 9, key="a", timestamp=9, step=0)
    found = [(each["key"], each["timestamp"], each["step"], each["value"]) for each in got(server, model_id)["metrics"]]
    wanted = [(each["key"], 5, each["step"], float(str(each["value"]))) for each in points]
    assert sorted(found) == sorted([*wanted, ("a", 9, 0, 9.0)])
    assert len(server.get("metrics/get-history", run_id=run, metric_key="a")["metrics"]) == 4


def test_a_point_of_a_model_that_nobody_made(server: Server, exp: str) -> None:
    run = server.run(exp)
    point = {"key": "m", "value": 1, "timestamp": 1, "model_id": NONE}
    for path, body in (("log-metric", point), ("log-batch", {"metrics": [point]})):
        told = server.refused(f"runs/{path}", {"run_id": run, **body})
        assert (told.status, told.code) == (400, "BAD_REQUEST")
    server.post("runs/log-metric", {"run_id": run, **point, "key": "with none", "model_id": ""})
    assert server.get("metrics/get-history", run_id=run, metric_key="with none")["metrics"][0]["value"] == 1


def test_infinity_is_the_largest_number(server: Server, make: Make, exp: str) -> None:
    model_id = make()["model_id"]
    measure(server, server.run(exp), model_id, "Infinity")
    assert got(server, model_id)["metrics"][0]["value"] == pytest.approx(1.7976931348623157e308)


@pytest.mark.departs("MLflow shows 0.0 for a NaN of a logged model; Headway shows it as the run does")
def test_nan_of_a_model(server: Server, make: Make, exp: str) -> None:
    model_id = make()["model_id"]
    measure(server, server.run(exp), model_id, "NaN")
    assert math.isclose(float(got(server, model_id)["metrics"][0]["value"]), 0.0)


def test_the_client_reads_metrics(client: Any, exp: str) -> None:
    run, model = client.create_run(exp), client.create_logged_model(exp)
    client.log_metric(run.info.run_id, "m", 1.5, step=2, dataset_name="d", dataset_digest="1", model_id=model.model_id)
    (point,) = client.get_logged_model(model.model_id).metrics
    assert (point.key, point.value, point.step, point.run_id) == ("m", 1.5, 2, run.info.run_id)
    assert (point.dataset_name, point.dataset_digest, point.model_id) == ("d", "1", model.model_id)


def test_models_are_inputs_and_outputs_of_runs(client: Any, exp: str) -> None:
    from mlflow.entities import LoggedModelInput, LoggedModelOutput

    run, model = client.create_run(exp).info.run_id, client.create_logged_model(exp).model_id
    client.log_outputs(run, [LoggedModelOutput(model, 1)])
    client.log_inputs(run, models=[LoggedModelInput(model)])
    found = client.get_run(run)
    assert found.outputs.model_outputs == [LoggedModelOutput(model, 1)]
    assert found.inputs.model_inputs == [LoggedModelInput(model)]


# --- searching --------------------------------------------------------------------------------------


def search(server: Server, *experiments: str, **asked: Any) -> list[str]:
    found = server.post("logged-models/search", {"experiment_ids": list(experiments), **asked})
    return [each["info"]["name"] for each in found.get("models", [])]


def test_the_newest_comes_first_over_all_experiments(server: Server, make: Make, exp: str) -> None:
    make(name="one")
    make(name="two")
    other = server.experiment()
    server.post("logged-models", {"experiment_id": other, "name": "three"})
    assert search(server, exp) == ["two", "one"]
    assert search(server, exp, other) == ["three", "two", "one"]
    assert search(server, "999999") == search(server) == []


@pytest.fixture(scope="module")
def five(server: Server) -> dict[str, str]:
    """An experiment with the models a, b, c, d and e, of which some have params, tags and metrics."""
    exp = server.experiment()
    run = server.run(exp)
    ids = {"exp": exp, "run": run}
    given: dict[str, dict[str, Any]] = {
        "a": {"params": [{"key": "p", "value": "1"}, {"key": "my key", "value": "x"}], "source_run_id": run},
        "b": {"tags": [{"key": "t", "value": "v"}, {"key": "tag 3", "value": "val3"}]},
        "c": {"params": [{"key": "p", "value": "2"}], "tags": [{"key": "t", "value": "w"}]},
        "d": {"model_type": "LLM"},
        "e": {},
    }
    for name, more in given.items():
        body = {"experiment_id": exp, "name": name, **more}
        ids[name] = server.post("logged-models", body)["model"]["info"]["model_id"]
        time.sleep(0.003)
    one, two = ({"dataset_name": name, "dataset_digest": digest} for name, digest in (("ds1", "dg1"), ("ds2", "dg2")))
    measure(server, run, ids["a"], 0.9, timestamp=1, **one)
    measure(server, run, ids["a"], 0.8, timestamp=2, **two)
    measure(server, run, ids["b"], 0.8, timestamp=3, **one)
    measure(server, run, ids["b"], 0.9, timestamp=4, **two)
    measure(server, run, ids["c"], 1, key="loss")
    ready = {"model_id": ids["d"], "status": "LOGGED_MODEL_READY"}
    server.post(f"logged-models/{ids['d']}", ready, method="PATCH")
    return ids


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("name = 'a'", "a"),
        ("attributes.name = 'a'", "a"),
        ("name LIKE 'a%'", "a"),
        ("name ILIKE 'A%'", "a"),
        ("name != 'a'", "e d c b"),
        ("name IN ('a')", "a"),
        ("name IN ('a',)", "a"),
        ("name IN ('a', 'foo')", "a"),
        ("name NOT IN ('a')", "e d c b"),
        ("name NOT IN ('a', 'b')", "e d c"),
        ("model_id = 'ID_a'", "a"),
        ("model_id IN ('ID_a', 'ID_b')", "b a"),
        ("model_type = 'LLM'", "d"),
        ("source_run_id = 'RUN'", "a"),
        ("creation_timestamp > 0", "e d c b a"),
        ("creation_timestamp = 0", ""),
        ("creation_time > 0", "e d c b a"),
        ("last_updated_timestamp > 0", "e d c b a"),
        ("params.p = '1'", "a"),
        ("params.p LIKE '1%'", "a"),
        ("params.p != '1'", "c"),
        ("params.`my key` = 'x'", "a"),
        ("tags.t = 'v'", "b"),
        ("tags.`tag 3` = 'val3'", "b"),
        ("params.p = '2' AND tags.t = 'w'", "c"),
        ("params.p = '1' AND tags.t = 'w'", ""),
        ("metrics.loss = 1", "c"),
        ("metrics.loss > 0.5", "c"),
        ("metrics.loss < 3", "c"),
        ("metrics.acc >= 0.9", "b a"),
        ("metrics.acc > 0.5 AND params.p = '1'", "a"),
        ("metrics.none > 0", ""),
        ("", "e d c b a"),
    ],
)
def test_filters(server: Server, five: dict[str, str], text: str, wanted: str) -> None:
    asked = text.replace("ID_a", five["a"]).replace("ID_b", five["b"]).replace("RUN", five["run"])
    assert search(server, five["exp"], filter=asked) == wanted.split()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Foo", "Invalid filter string"),
        ("name = 'foo' OR name = 'bar'", "Invalid filter string"),
        ("foo.bar = 'a'", "Invalid entity type"),
        ("name > 'foo'", "Invalid comparison operator"),
        ("metrics.foo LIKE 0", "Invalid comparison operator"),
        ("params.p > 'x'", "Invalid comparison operator"),
    ],
)
def test_filters_that_cannot_be(server: Server, exp: str, text: str, says: str) -> None:
    server.refused("logged-models/search", {"experiment_ids": [exp], "filter": text}).says(says)


@pytest.mark.parametrize(
    ("order", "wanted"),
    [
        ({"field_name": "creation_timestamp", "ascending": True}, "a b c d e"),
        ({"field_name": "creation_timestamp", "ascending": False}, "e d c b a"),
        ({"field_name": "creation_time", "ascending": True}, "a b c d e"),
        ({"field_name": "name"}, "a b c d e"),
        ({"field_name": "name", "ascending": False}, "e d c b a"),
        ({"field_name": "metrics.loss"}, "c e d b a"),
        ({"field_name": "metrics.loss", "ascending": False}, "c e d b a"),
        ({"field_name": "metrics.acc"}, "a b e d c"),
        ({"field_name": "metrics.acc", "dataset_name": "ds1", "dataset_digest": "dg1"}, "b a e d c"),
        ({"field_name": "metrics.acc", "dataset_name": "ds2", "dataset_digest": "dg2"}, "a b e d c"),
        ({"field_name": "metrics.acc", "dataset_name": "ds1"}, "b a e d c"),
        ({"field_name": "metrics.acc", "dataset_digest": "dg1"}, "b a e d c"),
        ({"field_name": "metrics.acc", "ascending": False, "dataset_name": "ds1"}, "a b e d c"),
    ],
)
def test_orders(server: Server, five: dict[str, str], order: dict[str, Any], wanted: str) -> None:
    assert search(server, five["exp"], order_by=[order]) == wanted.split()


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("params.p", "Invalid order by field name: params.p. Only metrics are supported."),
        ("foo", "Invalid order by field name: foo"),
    ],
)
def test_orders_that_cannot_be(server: Server, exp: str, field: str, says: str) -> None:
    body = {"experiment_ids": [exp], "order_by": [{"field_name": field}]}
    server.refused("logged-models/search", body).says(says)


@pytest.mark.parametrize(
    ("datasets", "more", "wanted"),
    [
        ([{"dataset_name": "ds1", "dataset_digest": "dg1"}], {}, "b a"),
        ([{"dataset_name": name, "dataset_digest": f"dg{name[-1]}"} for name in ("ds1", "ds2")], {}, "b a"),
        ([{"dataset_name": "ds1", "dataset_digest": "other"}], {}, ""),
        ([{"dataset_name": "none"}], {}, ""),
        ([{"dataset_name": "ds1", "dataset_digest": "dg1"}], {"filter": "metrics.acc > 0.85"}, "a"),
        ([{"dataset_name": "ds2", "dataset_digest": "dg2"}], {"filter": "metrics.acc > 0.85"}, "b"),
    ],
)
def test_data_sets_narrow_the_metrics(server: Server, five: Any, datasets: Any, more: Any, wanted: str) -> None:
    assert search(server, five["exp"], datasets=datasets, **more) == wanted.split()


@pytest.mark.departs("MLflow finds nothing over HTTP by a data set's name alone; Headway finds the models")
def test_a_data_set_by_its_name_alone(server: Server, five: dict[str, str]) -> None:
    assert search(server, five["exp"], datasets=[{"dataset_name": "ds1"}]) == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "Missing value for required parameter 'experiment_ids'"),
        ({"experiment_ids": ["abc"]}, "Experiment ID must be a valid integer"),
        ({"experiment_ids": [""]}, "Experiment ID must be a valid integer"),
        ({"experiment_ids": "1"}, "Invalid value \"1\" for parameter 'experiment_ids' supplied"),
        ({"experiment_ids": ["0"], "max_results": "x"}, "Invalid value \"x\" for parameter 'max_results' supplied"),
        ({"experiment_ids": ["0"], "datasets": [{"dataset_digest": "d"}]}, "`dataset_name` in the `datasets` clause"),
    ],
)
def test_searches_that_cannot_be(server: Server, body: Any, says: str) -> None:
    server.refused("logged-models/search", body).says(says)


def test_pages(server: Server, five: dict[str, str]) -> None:
    def page(limit: int, token: str = "", **more: Any) -> tuple[list[str], str]:
        asked = {"experiment_ids": [five["exp"]], "max_results": limit, "page_token": token, **more}
        found = server.post("logged-models/search", asked)
        return [each["info"]["name"] for each in found.get("models", [])], found.get("next_page_token", "")

    assert page(5) == (["e", "d", "c", "b", "a"], "")
    first, token = page(2)
    assert first == ["e", "d"]
    assert page(1, token)[0] == ["c"]
    assert page(100, token) == (["c", "b", "a"], "")
    asked = {"filter": "creation_timestamp > 0", "order_by": [{"field_name": "name"}]}
    first, token = page(3, **asked)
    assert (first, page(3, token, **asked)) == (["a", "b", "c"], (["d", "e"], ""))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"experiment_ids": ["999999"]}, "Experiment IDs in the page token do not match"),
        ({"order_by": [{"field_name": "creation_time"}]}, "Order by in the page token does not match"),
        ({"filter": "name = 'a'"}, "Filter string in the page token does not match"),
    ],
)
def test_a_page_belongs_to_its_search(server: Server, five: dict[str, str], change: Any, says: str) -> None:
    asked = {"experiment_ids": [five["exp"]], "max_results": 1}
    token = server.post("logged-models/search", asked)["next_page_token"]
    server.refused("logged-models/search", {**asked, "page_token": token, **change}).says(says)


def test_the_clients_search(client: Any, five: dict[str, str]) -> None:
    found = client.search_logged_models([five["exp"]], filter_string="name = 'a'", max_results=1)
    assert ([each.name for each in found], found.token) == (["a"], None)
    named = client.search_logged_models(
        [five["exp"]],
        datasets=[{"dataset_name": "ds1", "dataset_digest": "dg1"}],
        order_by=[{"field_name": "metrics.acc", "ascending": False, "dataset_name": "ds1"}],
    )
    assert [each.name for each in named] == ["a", "b"]


# --- through the fluent API -------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_log_model_and_register(mlflow: Any, client: Any, exp: str) -> None:
    class Echo(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # untyped
        def predict(self, model_input: list[str]) -> list[str]:
            return model_input

    name = fresh("echo")
    with mlflow.start_run(experiment_id=exp) as run:
        info = mlflow.pyfunc.log_model(name="model", python_model=Echo(), registered_model_name=name)
    version = client.get_model_version(name, "1")
    assert (version.run_id, version.source) == (run.info.run_id, f"models:/{info.model_id}")
    logged = client.get_logged_model(info.model_id)
    assert (str(logged.status), logged.source_run_id) == ("READY", run.info.run_id)
    # The server writes the version as a number, and the client adds it once more as a text.
    assert logged.tags["mlflow.modelVersions"].startswith(f'[{{"name": "{name}", "version": 1}}, ')
    assert mlflow.register_model(f"runs:/{run.info.run_id}/model", name, tags={"a": "1"}).tags == {"a": "1"}
    mlflow.set_model_version_tag(name=name, version=1, key="key", value="value")
    assert client.get_model_version(name, "1").tags == {"key": "value"}
    assert mlflow.pyfunc.load_model(f"models:/{name}/1").predict(["x"]) == ["x"]
