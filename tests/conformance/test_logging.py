"""Metrics, params and tags, one at a time."""

import math
from typing import Any

import pytest

from conformance.servers import Server

GROUP = "metrics, params, tags"
MISSING = "Missing value for required parameter '{}'. See the API docs for more information about request parameters."
LARGEST = 1.7976931348623157e308
BAD_NAMES = [
    ("a=b", "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and"),
    ("a,b", "Names may only contain alphanumerics"),
    ("😀", "Names may only contain alphanumerics"),
    ("../a", "must not resolve to other names when treated as such. This name would resolve to '../a'"),
    ("a//b", "This name would resolve to 'a/b'"),
    ("/a", "This name would resolve to '/a'"),
    ("./a", "This name would resolve to 'a'"),
    ("a/", "This name would resolve to 'a'"),
    ("a/../b", "This name would resolve to 'b'"),
    (".", "This name would resolve to '.'"),
]
GOOD_NAMES = ["a", "a b", "a:b", "a/b/c", "a.b-c_d", "ünï", "日本", "1", "-", "x" * 250, "metrics", "a..b", "a/b.."]


@pytest.fixture(scope="module")
def run(server: Server) -> str:
    return server.run(server.experiment(), start_time=1, run_name="logging")


def data(server: Server, run: str) -> Any:
    return server.get("runs/get", run_id=run)["run"]["data"]


def pairs(server: Server, run: str, kind: str) -> dict[str, str]:
    return {each["key"]: each["value"] for each in data(server, run).get(kind, [])}


def history(server: Server, run: str, key: str) -> list[tuple[int, int, Any]]:
    found = server.get("metrics/get-history", run_id=run, metric_key=key).get("metrics", [])
    assert all(each["key"] == key for each in found)
    return [(each["timestamp"], each["step"], each["value"]) for each in found]


# --- metrics ---


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_names_that_a_metric_may_have(server: Server, run: str, name: str) -> None:
    assert server.post("runs/log-metric", {"run_id": run, "key": name, "value": 0.5, "timestamp": 7, "step": 3}) == {}
    assert history(server, run, name) == [(7, 3, 0.5)]


@pytest.mark.parametrize(("name", "text"), BAD_NAMES)
def test_names_that_a_metric_may_not_have(server: Server, run: str, name: str, text: str) -> None:
    refused = server.refused("runs/log-metric", {"run_id": run, "key": name, "value": 1, "timestamp": 1})
    assert refused.says(text)
    assert refused.says("for parameter 'name' supplied: Names may")


def test_a_metrics_name_has_at_most_250_characters(server: Server, run: str) -> None:
    body = {"run_id": run, "key": "x" * 251, "value": 1, "timestamp": 1}
    assert server.refused("runs/log-metric", body).says("'Metric name' exceeds the maximum length of 250 characters")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"run_id": None}, MISSING.format("run_id")),
        ({"run_id": ""}, MISSING.format("run_id")),
        ({"run_id": 31}, "Invalid value 31 for parameter 'run_id' supplied:  Hint: Value was of type 'int'. See the"),
        ({"key": None}, MISSING.format("key")),
        ({"key": ""}, MISSING.format("key")),
        ({"key": 31}, "Invalid value 31 for parameter 'key' supplied"),
        ({"value": None}, MISSING.format("value")),
        ({"value": "abc"}, "Invalid value \"abc\" for parameter 'value' supplied:  Hint: Value was of type 'str'."),
        ({"timestamp": None}, MISSING.format("timestamp")),
        ({"timestamp": "foo"}, "Invalid value \"foo\" for parameter 'timestamp' supplied"),
        ({"timestamp": "1.5"}, "Invalid value \"1.5\" for parameter 'timestamp' supplied"),
        ({"timestamp": -1}, "Invalid value -1 for parameter 'timestamp' supplied: metric 'm' (value=1.0). Timestamp "),
        ({"step": "foo"}, "Invalid value \"foo\" for parameter 'step' supplied"),
        ({"model_id": 5}, "Invalid value 5 for parameter 'model_id' supplied"),
        ({"dataset_name": 5}, "Invalid value 5 for parameter 'dataset_name' supplied"),
        ({"dataset_digest": 5}, "Invalid value 5 for parameter 'dataset_digest' supplied"),
        ({"dataset_name": "d"}, "Both dataset_name and dataset_digest must be provided if one is provided"),
        ({"dataset_digest": "g"}, "Both dataset_name and dataset_digest must be provided if one is provided"),
    ],
)
def test_what_logging_a_metric_refuses(server: Server, run: str, change: dict[str, Any], text: str) -> None:
    body = {"run_id": run, "key": "m", "value": 1, "timestamp": 59, "step": 26, **change}
    assert server.refused("runs/log-metric", body).says(text)


def test_of_several_faults_the_first_field_is_told(server: Server, run: str) -> None:
    assert server.refused("runs/log-metric", {}).says(MISSING.format("run_id"))
    assert server.refused("runs/log-metric", {"run_id": run}).says(MISSING.format("key"))
    assert server.refused("runs/log-metric", {"run_id": run, "key": "m"}).says(MISSING.format("value"))
    body = {"run_id": run, "key": "m", "value": 1}
    assert server.refused("runs/log-metric", body).says(MISSING.format("timestamp"))
    body = {"run_id": run, "key": 5, "value": "x", "timestamp": "y"}
    assert server.refused("runs/log-metric", body).says("Invalid value 5 for parameter 'key'")


def test_a_step_is_0_unless_given_and_may_be_negative(server: Server, run: str) -> None:
    server.post("runs/log-metric", {"run_id": run, "key": "stepless", "value": 1, "timestamp": 0})
    server.post("runs/log-metric", {"run_id": run, "key": "stepless", "value": 2, "timestamp": 1, "step": -4})
    assert history(server, run, "stepless") == [(0, 0, 1.0), (1, -4, 2.0)]


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("0", 0.0),
        ("-0.5", -0.5),
        ("1e308", 1e308),
        ("5e-324", 5e-324),
        ('"0.25"', 0.25),
        ('"NaN"', "NaN"),
        ('"Infinity"', LARGEST),
        ('"-Infinity"', -LARGEST),
    ],
)
def test_values_in_and_out(server: Server, exp: str, raw: str, kept: Any) -> None:
    run = server.run(exp)
    server.post("runs/log-metric", f'{{"run_id":"{run}","key":"v","value":{raw},"timestamp":1}}'.encode())
    assert history(server, run, "v") == [(1, 0, kept)]
    assert data(server, run)["metrics"] == [{"key": "v", "value": kept, "timestamp": 1, "step": 0}]


@pytest.mark.departs("what JSON does not have but Python writes is read as it was meant, not as 0 at time 0")
@pytest.mark.parametrize("raw", ["NaN", "Infinity", "-Infinity"])
def test_bare_special_numbers(server: Server, exp: str, raw: str) -> None:
    run = server.run(exp)
    server.post("runs/log-metric", f'{{"run_id":"{run}","key":"v","value":{raw},"timestamp":1}}'.encode())
    assert history(server, run, "v") == [(0, 0, 0.0)]


def test_infinity_through_the_client(client: Any, exp: str, server: Server) -> None:
    run = server.run(exp)
    for key, value in (("nan", math.nan), ("inf", math.inf), ("ninf", -math.inf)):
        client.log_metric(run, key, value)
    metrics = client.get_run(run).data.metrics
    assert math.isnan(metrics["nan"])
    assert (metrics["inf"], metrics["ninf"]) == (LARGEST, -LARGEST)


def test_the_latest_is_the_greatest_step_then_timestamp_then_value(server: Server, exp: str) -> None:
    run = server.run(exp)
    points = [(0, 100, 1000), (3, 40, 100), (3, 50, 10), (3, 50, 20), (3, 50, 20), (-3, 900, 900), (-1, 800, 800)]
    for step, stamp, value in reversed(points):
        server.post("runs/log-metric", {"run_id": run, "key": "m", "value": value, "timestamp": stamp, "step": step})
    assert data(server, run)["metrics"] == [{"key": "m", "value": 20.0, "timestamp": 50, "step": 3}]
    assert {(step, stamp, value) for stamp, step, value in history(server, run, "m")} == set(points)


def test_a_repeated_point_counts_once(server: Server, exp: str) -> None:
    run = server.run(exp)
    for value in (1, 1, "NaN", "NaN", 1):
        server.post("runs/log-metric", {"run_id": run, "key": "m", "value": value, "timestamp": 5, "step": 1})
    assert len(history(server, run, "m")) == 2


def test_a_history_is_by_timestamp_step_and_value(server: Server, exp: str) -> None:
    run = server.run(exp)
    points = [(3, 1, 5.0), (1, 9, 1.0), (1, 2, 7.0), (1, 2, 6.0), (2, -1, 0.0)]
    for stamp, step, value in points:
        server.post("runs/log-metric", {"run_id": run, "key": "m", "value": value, "timestamp": stamp, "step": step})
    assert history(server, run, "m") == sorted(points)


# --- params ---


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_names_that_a_param_may_have(server: Server, run: str, name: str) -> None:
    assert server.post("runs/log-parameter", {"run_id": run, "key": name, "value": "v"}) == {}
    assert pairs(server, run, "params")[name] == "v"


@pytest.mark.parametrize(("name", "text"), BAD_NAMES)
def test_names_that_a_param_may_not_have(server: Server, run: str, name: str, text: str) -> None:
    refused = server.refused("runs/log-parameter", {"run_id": run, "key": name, "value": "v"})
    assert refused.says(text)
    assert refused.says("for parameter 'key' supplied: Names may")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"run_id": None}, MISSING.format("run_id")),
        ({"run_id": 31}, "Invalid value 31 for parameter 'run_id' supplied"),
        ({"key": None}, MISSING.format("key")),
        ({"key": 31}, "Invalid value 31 for parameter 'key' supplied"),
        ({"value": 41}, "Invalid value 41 for parameter 'value' supplied"),
        ({"key": "x" * 251}, "'Param key' exceeds the maximum length of 250 characters"),
    ],
)
def test_what_logging_a_param_refuses(server: Server, run: str, change: dict[str, Any], text: str) -> None:
    assert server.refused("runs/log-parameter", {"run_id": run, "key": "p", "value": "v", **change}).says(text)


def test_a_param_is_written_once(server: Server, exp: str) -> None:
    run = server.run(exp)
    for _ in range(2):
        assert server.post("runs/log-parameter", {"run_id": run, "key": "p", "value": "1"}) == {}
    assert server.refused("runs/log-parameter", {"run_id": run, "key": "p", "value": "2"}).says(
        "Changing param values is not allowed. Param with key='p' was already logged with value='1' "
        f"for run ID='{run}'. Attempted logging new value '2'."
    )
    assert pairs(server, run, "params") == {"p": "1"}


def test_a_param_may_be_empty(server: Server, exp: str) -> None:
    run = server.run(exp)
    server.post("runs/log-parameter", {"run_id": run, "key": "empty", "value": ""})
    server.post("runs/log-parameter", {"run_id": run, "key": "absent"})
    assert pairs(server, run, "params") == {"empty": "", "absent": ""}


def test_a_long_param_is_cut(server: Server, exp: str) -> None:
    run = server.run(exp)
    for length in (6001, 6500, 6000):
        server.post("runs/log-parameter", {"run_id": run, "key": "long", "value": "x" * length})
    assert pairs(server, run, "params") == {"long": "x" * 6000}


# --- tags ---


@pytest.mark.parametrize("name", [*GOOD_NAMES, "mlflow.note.content"])
def test_names_that_a_tag_may_have(server: Server, run: str, name: str) -> None:
    assert server.post("runs/set-tag", {"run_id": run, "key": name, "value": "v"}) == {}
    assert pairs(server, run, "tags")[name] == "v"


@pytest.mark.parametrize(("name", "text"), BAD_NAMES)
def test_names_that_a_tag_may_not_have(server: Server, run: str, name: str, text: str) -> None:
    assert server.refused("runs/set-tag", {"run_id": run, "key": name, "value": "v"}).says(text)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"run_id": None}, MISSING.format("run_id")),
        ({"run_id": 31}, "Invalid value 31 for parameter 'run_id' supplied"),
        ({"key": None}, MISSING.format("key")),
        ({"key": 31}, "Invalid value 31 for parameter 'key' supplied"),
        ({"value": 41}, "Invalid value 41 for parameter 'value' supplied"),
        ({"key": "x" * 251}, "'key' exceeds the maximum length of 250 characters"),
    ],
)
def test_what_setting_a_tag_refuses(server: Server, run: str, change: dict[str, Any], text: str) -> None:
    assert server.refused("runs/set-tag", {"run_id": run, "key": "t", "value": "v", **change}).says(text)


def test_the_last_tag_wins(server: Server, exp: str) -> None:
    run = server.run(exp, run_name="n")
    for value in ("1", "2", "", "a\nb"):
        server.post("runs/set-tag", {"run_id": run, "key": "t", "value": value})
        assert pairs(server, run, "tags") == {"t": value, "mlflow.runName": "n"}


def test_a_long_tag_is_cut(server: Server, exp: str) -> None:
    run = server.run(exp)
    server.post("runs/set-tag", {"run_id": run, "key": "t", "value": "x" * 8001})
    assert pairs(server, run, "tags")["t"] == "x" * 8000


def test_a_tag_is_deleted_from_its_own_run_only(server: Server, exp: str) -> None:
    run, other = server.run(exp), server.run(exp)
    for each in (run, other):
        server.post("runs/set-tag", {"run_id": each, "key": "t", "value": "v"})
    assert server.post("runs/delete-tag", {"run_id": run, "key": "t"}) == {}
    assert "t" not in pairs(server, run, "tags")
    assert pairs(server, other, "tags")["t"] == "v"


def test_what_deleting_a_tag_refuses(server: Server, run: str) -> None:
    assert server.refused("runs/delete-tag", {}).says(MISSING.format("run_id"))
    assert server.refused("runs/delete-tag", {"run_id": run}).says(MISSING.format("key"))
    assert server.refused("runs/delete-tag", {"run_id": 5, "key": "k"}).says("Invalid value 5 for parameter 'run_id'")
    assert server.refused("runs/delete-tag", {"run_id": run, "key": 5}).says("Invalid value 5 for parameter 'key'")
    assert server.refused("runs/delete-tag", {"run_id": run, "key": "never"}).says(
        f"No tag with name: never in run with id {run}", "RESOURCE_DOES_NOT_EXIST", 404
    )


def test_a_key_may_name_a_metric_a_param_and_a_tag(server: Server, exp: str) -> None:
    run = server.run(exp)
    server.post("runs/log-metric", {"run_id": run, "key": "same", "value": 1, "timestamp": 1})
    server.post("runs/log-parameter", {"run_id": run, "key": "same", "value": "p"})
    server.post("runs/set-tag", {"run_id": run, "key": "same", "value": "t"})
    assert history(server, run, "same") == [(1, 0, 1.0)]
    assert pairs(server, run, "params") == {"same": "p"}
    assert pairs(server, run, "tags")["same"] == "t"
