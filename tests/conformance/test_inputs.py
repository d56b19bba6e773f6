"""Datasets that runs read, models that they read and made, and the datasets of experiments."""

import json
from typing import Any

import pytest

from conformance.servers import Server, fresh

GROUP = "inputs and outputs"
MISSING = "Missing value for required parameter '{}'. See the API docs for more information about request parameters."
DATASETS = "/ajax-api/2.0/mlflow/experiments/search-datasets"


@pytest.fixture(scope="module")
def run(server: Server) -> str:
    return server.run(server.experiment())


def dataset(name: str = "n", digest: str = "d", **more: str) -> dict[str, str]:
    return {"name": name, "digest": digest, "source_type": "s", "source": "t", **more}


def given(plain: dict[str, str], **tags: str) -> dict[str, Any]:
    return {"dataset": plain, "tags": [{"key": key, "value": value} for key, value in tags.items()]}


def inputs(server: Server, run: str) -> list[Any]:
    found = server.get("runs/get", run_id=run)["run"]["inputs"].get("dataset_inputs", [])
    for each in found:
        each["tags"] = sorted(each.get("tags", []), key=lambda tag: tag["key"])
    return sorted(found, key=lambda each: (each["dataset"]["name"], each["dataset"]["digest"]))


def test_what_a_run_read(server: Server, exp: str) -> None:
    run = server.run(exp)
    first = given(dataset("a", "1", schema="sc", profile="pr"), key1="v1", key2="v2")
    second = given(dataset("b", "2"))
    assert server.post("runs/log-inputs", {"run_id": run, "datasets": [first, second]}) == {}
    assert inputs(server, run) == [first, second]
    answer = server.post("runs/search", {"experiment_ids": [exp]})["runs"][0]["inputs"]
    assert {each["dataset"]["name"] for each in answer["dataset_inputs"]} == {"a", "b"}


def test_what_a_run_read_has_its_order(server: Server, exp: str) -> None:
    run, names = server.run(exp), ["m", "z", "a", "k"]
    for some in (names[:2], names[2:]):
        entries = [given(dataset(name, name * 2)) for name in some]
        server.post("runs/log-inputs", {"run_id": run, "datasets": entries})
    found = server.get("runs/get", run_id=run)["run"]["inputs"]["dataset_inputs"]
    assert [each["dataset"]["name"] for each in found] == names


def test_a_dataset_is_what_its_first_logging_said(server: Server, exp: str) -> None:
    run = server.run(exp)
    first = given(dataset(schema="sc", profile="pr"), key1="v1")
    server.post("runs/log-inputs", {"run_id": run, "datasets": [first]})
    for i in range(3):
        again = given(dataset(source_type=f"st{i}", source=f"so{i}", schema=f"sc{i}"), **{f"key{i}": f"v{i}"})
        server.post("runs/log-inputs", {"run_id": run, "datasets": [again]})
    assert inputs(server, run) == [first]
    server.post("runs/log-inputs", {"run_id": run, "datasets": [given(dataset("other")), given(dataset(digest="e"))]})
    assert len(inputs(server, run)) == 3
    other = server.run(exp)
    own = given(dataset(source="changed"), its="own")
    server.post("runs/log-inputs", {"run_id": other, "datasets": [own]})
    assert inputs(server, other) == [{"dataset": first["dataset"], "tags": own["tags"]}]


def test_a_dataset_belongs_to_its_experiment(server: Server, exp: str) -> None:
    run, other = server.run(exp), server.run(server.experiment())
    server.post("runs/log-inputs", {"run_id": run, "datasets": [given(dataset(source="here"))]})
    server.post("runs/log-inputs", {"run_id": other, "datasets": [given(dataset(source="there"))]})
    assert inputs(server, other)[0]["dataset"]["source"] == "there"


def test_one_dataset_twice_in_a_request_counts_once(server: Server, exp: str) -> None:
    run = server.run(exp)
    server.post("runs/log-inputs", {"run_id": run, "datasets": [given(dataset(), k="1"), given(dataset(), k="2")]})
    assert inputs(server, run) == [given(dataset(), k="1")]


@pytest.mark.parametrize("body", [{}, {"datasets": []}, {"datasets": [], "models": []}])
def test_inputs_may_be_none(server: Server, run: str, body: dict[str, Any]) -> None:
    assert server.post("runs/log-inputs", {"run_id": run, **body}) == {}


@pytest.mark.parametrize("field", ["digest", "source_type", "source"])
def test_a_datasets_fields_may_be_missing(server: Server, exp: str, field: str) -> None:
    run = server.run(exp)
    plain = {key: value for key, value in dataset().items() if key != field}
    server.post("runs/log-inputs", {"run_id": run, "datasets": [given(plain)]})
    assert inputs(server, run)[0]["dataset"].get(field, "") == ""


@pytest.mark.departs("a dataset without a name can be neither found nor compared")
@pytest.mark.parametrize("entry", [{}, {"dataset": {}}, {"dataset": dataset("")}])
def test_a_dataset_without_a_name(server: Server, run: str, entry: dict[str, Any]) -> None:
    server.post("runs/log-inputs", {"run_id": run, "datasets": [entry]})


@pytest.mark.parametrize(("field", "limit"), [("name", 500), ("digest", 36), ("source", 65_535), ("schema", 1_048_575)])
def test_lengths(server: Server, exp: str, field: str, limit: int) -> None:
    run = server.run(exp)
    server.post("runs/log-inputs", {"run_id": run, "datasets": [given({**dataset(), field: "a" * limit})]})
    assert len(inputs(server, run)[0]["dataset"][field]) == limit
    too_long = {"run_id": run, "datasets": [given({**dataset(), field: "a" * (limit + 1)})]}
    assert server.refused("runs/log-inputs", too_long).says(f"'{field}' exceeds the maximum length of {limit}")


def test_a_profile_may_have_16_million_characters(server: Server, exp: str) -> None:
    run, limit = server.run(exp), 16_777_215
    server.post("runs/log-inputs", {"run_id": run, "datasets": [given(dataset(profile="a" * limit))]})
    assert len(inputs(server, run)[0]["dataset"]["profile"]) == limit
    too_long = {"run_id": run, "datasets": [given(dataset(profile="a" * (limit + 1)))]}
    assert server.refused("runs/log-inputs", too_long).says("'profile' exceeds the maximum length of 16777215")


@pytest.mark.parametrize(("field", "limit"), [("key", 255), ("value", 500)])
def test_lengths_of_an_inputs_tags(server: Server, exp: str, field: str, limit: int) -> None:
    run = server.run(exp)
    for length in (limit, limit + 1):
        entry = {"dataset": dataset(), "tags": [{"key": "k", "value": "v", field: "a" * length}]}
        body = {"run_id": run, "datasets": [entry]}
        if length == limit:
            server.post("runs/log-inputs", body)
        else:
            assert server.refused("runs/log-inputs", body).says(f"'{field}' exceeds the maximum length of {limit}")


def test_what_inputs_refuse(server: Server) -> None:
    assert server.refused("runs/log-inputs", {}).says(MISSING.format("run_id"))
    assert server.refused("runs/log-inputs", {"run_id": 5}).says("Invalid value 5 for parameter 'run_id' supplied")
    assert server.refused("runs/log-inputs", {"run_id": "a b"}).says("Invalid value \"a b\" for parameter 'run_id'")
    body = {"run_id": "r", "datasets": "x"}
    assert server.refused("runs/log-inputs", body).says("Invalid value \"x\" for parameter 'datasets' supplied")
    body = {"run_id": "r", "models": "x"}
    assert server.refused("runs/log-inputs", body).says("Invalid value \"x\" for parameter 'models' supplied")


def test_models_that_a_run_read_and_made(server: Server, exp: str) -> None:
    run = server.run(exp)
    assert server.post("runs/log-inputs", {"run_id": run, "models": [{"model_id": "m-1"}]}) == {}
    made = [{"model_id": "m-2", "step": 4}, {"model_id": "m-3", "step": 0}]
    assert server.post("runs/outputs", {"run_id": run, "models": made}) == {}
    found = server.get("runs/get", run_id=run)["run"]
    assert found["inputs"]["model_inputs"] == [{"model_id": "m-1"}]
    assert sorted(found["outputs"]["model_outputs"], key=lambda each: each["model_id"]) == made
    searched = server.post("runs/search", {"experiment_ids": [exp]})["runs"][0]
    assert searched["outputs"] == found["outputs"]


def test_what_outputs_refuse(server: Server, run: str) -> None:
    assert server.post("runs/outputs", {"run_id": run, "models": []}) == {}
    assert server.refused("runs/outputs", {}).says(MISSING.format("run_id"))
    assert server.refused("runs/outputs", {"run_id": run}).says(MISSING.format("models"))
    assert server.refused("runs/outputs", {"run_id": run, "models": "x"}).says('Invalid value "x" for parameter')


def test_an_old_clients_models(server: Server, exp: str) -> None:
    run = server.run(exp)
    model = {
        "artifact_path": "model/path",
        "flavors": {"tf": "body", "python_function": {"config": {"a": 1}, "code": "code"}},
        "utc_time_created": "2020-01-01 00:00:00.000000",
        "run_id": run,
        "model_uuid": "u",
        "signature": None,
        "mlflow_version": "2.0",
    }
    for path in ("model/path", "other", "x" * 9000):
        body = {"run_id": run, "model_json": json.dumps({**model, "artifact_path": path})}
        assert server.post("runs/log-model", body) == {}
    found = server.get("runs/get", run_id=run)["run"]["data"]["tags"]
    kept = json.loads(next(tag["value"] for tag in found if tag["key"] == "mlflow.log-model.history"))
    assert [each["artifact_path"] for each in kept] == ["model/path", "other", "x" * 9000]
    assert kept[0] == {
        "run_id": run,
        "artifact_path": "model/path",
        "utc_time_created": "2020-01-01 00:00:00.000000",
        "model_uuid": "u",
        "flavors": {"tf": "body", "python_function": {"code": "code"}},
    }


def test_what_an_old_clients_model_needs(server: Server, run: str) -> None:
    assert server.refused("runs/log-model", {}).says(MISSING.format("run_id"))
    assert server.refused("runs/log-model", {"run_id": run}).says(MISSING.format("model_json"))
    body = {"run_id": run, "model_json": "{"}
    assert server.refused("runs/log-model", body).says("Malformed model info. \n { \n is not a valid JSON.")
    body = {"run_id": run, "model_json": '{"flavors":{},"run_id":"r","utc_time_created":"u"}'}
    assert server.refused("runs/log-model", body).says("Model json is missing mandatory fields: {'artifact_path'}")


def summaries(server: Server, *exps: str) -> Any:
    found = server.post(DATASETS, {"experiment_ids": list(exps)}).get("dataset_summaries", [])
    return sorted(found, key=lambda each: (each["experiment_id"], each["name"], each.get("context", "")))


def test_the_datasets_of_experiments(server: Server) -> None:
    one, two = sorted((server.experiment(), server.experiment()))
    runs = [server.run(one), server.run(one), server.run(two)]
    context = "mlflow.data.context"
    plan = [
        (runs[0], "d1", {context: "train"}),
        (runs[0], "d2", {context: "eval"}),
        (runs[0], "d4", {"other": "test"}),
        (runs[1], "d1", {context: "train"}),
        (runs[1], "d2", {context: "test"}),
        (runs[2], "d3", {context: "train"}),
    ]
    for run, name, tags in plan:
        server.post("runs/log-inputs", {"run_id": run, "datasets": [given(dataset(name), **tags)]})
    expected = [
        {"experiment_id": one, "name": "d1", "digest": "d", "context": "train"},
        {"experiment_id": one, "name": "d2", "digest": "d", "context": "eval"},
        {"experiment_id": one, "name": "d2", "digest": "d", "context": "test"},
        {"experiment_id": one, "name": "d4", "digest": "d"},
    ]
    assert summaries(server, one) == expected
    assert summaries(server, one, two) == sorted(
        [*expected, {"experiment_id": two, "name": "d3", "digest": "d", "context": "train"}],
        key=lambda each: (each["experiment_id"], each["name"], each.get("context", "")),
    )
    assert summaries(server, server.experiment()) == []


def test_at_most_1000_datasets_are_listed(server: Server, exp: str) -> None:
    run = server.run(exp)
    for start in (0, 505):
        many = [given(dataset(f"n{i}"), **{"mlflow.data.context": str(i)}) for i in range(start, start + 505)]
        server.post("runs/log-inputs", {"run_id": run, "datasets": many})
    assert len(summaries(server, exp)) == 1000


def test_what_listing_datasets_refuses(server: Server) -> None:
    for body in ({}, {"experiment_ids": []}):
        assert server.refused(DATASETS, body).says("SearchDatasets request must specify at least one experiment_id.")
    assert server.refused(DATASETS, {"experiment_ids": ["1"] * 21}).says(
        "SearchDatasets request cannot specify more than 20 experiment_ids. Received 21 experiment_ids."
    )
    assert server.refused(DATASETS, {"experiment_ids": ["nope"]}).says("must be a valid integer")


def test_through_the_client(client: Any, exp: str, server: Server) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, LoggedModelOutput

    run = server.run(exp)
    read = DatasetInput(Dataset("n", fresh("d"), "s", "t", "sc", "pr"), [InputTag("mlflow.data.context", "train")])
    client.log_inputs(run, [read], [LoggedModelInput("m-9")])
    client.log_outputs(run, [LoggedModelOutput("m-8", 3)])
    found = client.get_run(run)
    assert found.inputs.dataset_inputs[0].dataset.to_dictionary() == read.dataset.to_dictionary()
    assert found.inputs.dataset_inputs[0].tags[0].value == "train"
    assert [each.model_id for each in found.inputs.model_inputs] == ["m-9"]
    assert [(each.model_id, each.step) for each in found.outputs.model_outputs] == [("m-8", 3)]
    client._tracking_client.store.log_inputs(run)


def test_an_empty_experiment_has_no_data_sets_to_search(server: Server) -> None:
    assert server.refused(DATASETS, {"experiment_ids": [""]}).says("Invalid experiment ID ''")


def test_more_than_a_thousand_data_sets_at_once(server: Server, exp: str) -> None:
    run = server.run(exp)
    entries = [given(dataset(f"n{number}", f"d{number}")) for number in range(1010)]
    assert server.post("runs/log-inputs", {"run_id": run, "datasets": entries}) == {}
    assert len(inputs(server, run)) == 1010
    assert len(server.post(DATASETS, {"experiment_ids": [exp]})["dataset_summaries"]) == 1000
