"""Batches: what they take together, in which order they complain, and their limits."""

from typing import Any

import pytest

from conformance.servers import Server

GROUP = "batches"
SEE = "See the API docs for more information about request parameters."
SPLIT = "Please split up {} across multiple requests and try again."


@pytest.fixture(scope="module")
def run(server: Server) -> str:
    return server.run(server.experiment(), start_time=1, run_name="batches")


def point(**change: Any) -> dict[str, Any]:
    both = {"key": "m", "value": 1, "timestamp": 2, "step": 3, **change}
    return {name: value for name, value in both.items() if value != "absent"}


def pair(key: str = "k", value: str = "v") -> dict[str, str]:
    return {"key": key, "value": value}


def logged(server: Server, run: str) -> tuple[dict[str, Any], dict[str, str], dict[str, str]]:
    data = server.get("runs/get", run_id=run)["run"]["data"]
    metrics = {each["key"]: each["value"] for each in data.get("metrics", [])}
    params = {each["key"]: each["value"] for each in data.get("params", [])}
    tags = {each["key"]: each["value"] for each in data.get("tags", []) if each["key"] != "mlflow.runName"}
    return metrics, params, tags


def history(server: Server, run: str, key: str) -> list[tuple[int, int, Any]]:
    found = server.get("metrics/get-history", run_id=run, metric_key=key).get("metrics", [])
    return [(each["timestamp"], each["step"], each["value"]) for each in found]


def test_all_three_kinds(server: Server, exp: str) -> None:
    run = server.run(exp)
    body = {"run_id": run, "metrics": [point(value=0.5)], "params": [pair("p", "1")], "tags": [pair("t", "2")]}
    assert server.post("runs/log-batch", body) == {}
    assert logged(server, run) == ({"m": 0.5}, {"p": "1"}, {"t": "2"})
    assert history(server, run, "m") == [(2, 3, 0.5)]
    assert server.post("runs/log-batch", body) == {}
    assert history(server, run, "m") == [(2, 3, 0.5)]


@pytest.mark.parametrize("body", [{}, {"metrics": []}, {"metrics": [], "params": [], "tags": []}])
def test_a_batch_may_be_empty(server: Server, run: str, body: dict[str, Any]) -> None:
    assert server.post("runs/log-batch", {"run_id": run, **body}) == {}


def test_empty_values_and_missing_ones(server: Server, exp: str) -> None:
    run = server.run(exp)
    body = {"params": [pair("p", ""), {"key": "q"}], "tags": [pair("t", ""), {"key": "u"}]}
    server.post("runs/log-batch", {"run_id": run, **body, "metrics": [point(step="absent")]})
    assert logged(server, run) == ({"m": 1.0}, {"p": "", "q": ""}, {"t": "", "u": ""})
    assert history(server, run, "m") == [(2, 0, 1.0)]


def test_special_numbers(server: Server, exp: str) -> None:
    run = server.run(exp)
    values = {"n": "NaN", "i": "Infinity", "j": "-Infinity"}
    server.post("runs/log-batch", {"run_id": run, "metrics": [point(key=k, value=v) for k, v in values.items()]})
    assert logged(server, run)[0] == {"n": "NaN", "i": 1.7976931348623157e308, "j": -1.7976931348623157e308}


@pytest.mark.parametrize("field", ["metrics", "params", "tags"])
@pytest.mark.parametrize("value", ["foo", {}, 5])
def test_each_kind_is_a_list(server: Server, run: str, field: str, value: Any) -> None:
    refused = server.refused("runs/log-batch", {"run_id": run, field: value})
    assert refused.says(f"for parameter '{field}' supplied:  Hint: Value was of type '{type(value).__name__}'. {SEE}")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"metrics": [point(key="absent")]}, "Missing value for required parameter 'metrics[0].key'"),
        ({"metrics": [point(key="")]}, "Missing value for required parameter 'metrics[0].key'"),
        ({"metrics": [point(value="absent")]}, "Missing value for required parameter 'metrics[0].value'"),
        ({"metrics": [point(), point(value=None)]}, "Missing value for required parameter 'metrics[1].value'"),
        ({"metrics": [point(), point(timestamp="absent")]}, "required parameter 'metrics[1].timestamp'"),
        ({"metrics": [point(), point(dataset_name="d")]}, "Both dataset_name and dataset_digest must be provided if"),
        ({"metrics": [point(dataset_digest="g")]}, "Both dataset_name and dataset_digest must be provided if one"),
        ({"metrics": [point(timestamp=-1)]}, "Invalid value -1 for parameter 'metrics[0].timestamp' supplied: metric"),
        ({"metrics": [point(), point(timestamp=-1)]}, "Invalid value -1 for parameter 'metrics[1].timestamp'"),
        ({"metrics": [point(key="a=b")]}, "Invalid value \"a=b\" for parameter 'metrics[0].name' supplied: Names may"),
        ({"metrics": [point(), point(key="../b")]}, "Invalid value \"../b\" for parameter 'metrics[1].name'"),
        ({"metrics": [point(key="k" * 251)]}, "'Metric name' exceeds the maximum length of 250 characters"),
        ({"params": [{"value": "x"}]}, "Missing value for required parameter 'params[0].key'"),
        ({"params": [pair(), pair("")]}, "Missing value for required parameter 'params[1].key'"),
        ({"params": [pair("a=b")]}, "Invalid value \"a=b\" for parameter 'params[0].key' supplied"),
        ({"params": [pair("ok"), pair("../b")]}, "Invalid value \"../b\" for parameter 'params[1].key' supplied"),
        ({"params": [pair("k" * 251)]}, "'Param key' exceeds the maximum length of 250 characters"),
        ({"tags": [{"value": "x"}]}, "Missing value for required parameter 'tags[0].key'"),
        ({"tags": [pair("a=b")]}, "Invalid value \"a=b\" for parameter 'tags[0].key' supplied"),
        ({"tags": [pair("k" * 251)]}, "'tags[0].key' exceeds the maximum length of 250 characters"),
    ],
)
def test_faults_are_told_with_their_place(server: Server, run: str, body: dict[str, Any], text: str) -> None:
    assert server.refused("runs/log-batch", {"run_id": run, **body}).says(text)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            {"tags": [{"value": "x"}], "params": [pair("a=b")], "metrics": [point(key="c=d")]},
            "Missing value for required parameter 'tags[0].key'",
        ),
        (
            {"metrics": [point(key="a=b")], "params": [pair("c=d")], "tags": [pair("e=f")]},
            "Invalid value \"a=b\" for parameter 'metrics[0].name'",
        ),
        ({"params": [pair("c=d")], "tags": [pair("e=f")]}, "Invalid value \"c=d\" for parameter 'params[0].key'"),
        ({"metrics": [point(key="a=b"), point(dataset_name="d")]}, "Both dataset_name and dataset_digest must be"),
        ({"metrics": [point(key="=")] * 1001}, "Invalid value \"=\" for parameter 'metrics[0].name'"),
        ({"params": [pair("a")] * 101}, "A batch logging request can contain at most 100 params."),
        ({"run_id": "a b", "metrics": [point(key="=")]}, "Invalid value \"a b\" for parameter 'run_id' supplied."),
        ({"run_id": "never", "metrics": [point(key="=")]}, "Invalid value \"=\" for parameter 'metrics[0].name'"),
        ({"run_id": "never", "params": [pair("a"), pair("a")]}, "Duplicate parameter keys have been submitted: ['a']"),
    ],
)
def test_of_several_faults_the_same_one_is_told(server: Server, run: str, body: dict[str, Any], text: str) -> None:
    assert server.refused("runs/log-batch", {"run_id": run, **body}).says(text)


@pytest.mark.parametrize("run_id", ["a b", "é", "x" * 257, "-a", "a/b"])
def test_what_no_run_id_can_be(server: Server, run_id: str) -> None:
    assert server.refused("runs/log-batch", {"run_id": run_id}).says("for parameter 'run_id' supplied.")


def test_a_run_id_is_needed(server: Server) -> None:
    assert server.refused("runs/log-batch", {}).says(f"Missing value for required parameter 'run_id'. {SEE}")
    assert server.refused("runs/log-batch", {"run_id": 5}).says("Invalid value 5 for parameter 'run_id' supplied")


@pytest.mark.parametrize(
    ("counts", "most", "what", "got"),
    [
        ((1001, 0, 0), 1000, "metrics", 1001),
        ((0, 101, 0), 100, "params", 101),
        ((0, 0, 101), 100, "tags", 101),
        ((900, 60, 41), 1000, "metrics, params, and tags", 1001),
    ],
)
def test_limits(server: Server, run: str, counts: tuple[int, int, int], most: int, what: str, got: int) -> None:
    body = {
        "metrics": [point(step=i) for i in range(counts[0])],
        "params": [pair(f"p{i}") for i in range(counts[1])],
        "tags": [pair(f"t{i}") for i in range(counts[2])],
    }
    assert server.refused("runs/log-batch", {"run_id": run, **body}).says(
        f"A batch logging request can contain at most {most} {what}. Got {got} {what}. " + SPLIT.format(what)
    )


def test_the_largest_batch(server: Server, exp: str) -> None:
    run = server.run(exp)
    metrics = [point(key=f"m{i % 400}", step=i, value=i) for i in range(800)]
    body = {
        "metrics": metrics,
        "params": [pair(f"p{i}", "x" * 50) for i in range(100)],
        "tags": [pair(f"t{i}", "x" * 50) for i in range(100)],
    }
    server.post("runs/log-batch", {"run_id": run, **body})
    found = logged(server, run)
    assert (len(found[0]), len(found[1]), len(found[2])) == (400, 100, 100)
    assert found[0]["m399"] == 799.0
    server.post("runs/log-batch", {"run_id": run, "metrics": [point(key="one", step=i) for i in range(1000)]})
    assert len(history(server, run, "one")) == 1000


def test_values_that_are_too_long_are_cut(server: Server, exp: str) -> None:
    run = server.run(exp)
    body = {"params": [pair("p", "x" * 6001)], "tags": [pair("t", "x" * 8001)]}
    for _ in range(2):
        server.post("runs/log-batch", {"run_id": run, **body})
    assert logged(server, run)[1:] == ({"p": "x" * 6000}, {"t": "x" * 8000})


def test_a_changed_param_refuses_the_whole_batch(server: Server, exp: str) -> None:
    run = server.run(exp)
    server.post("runs/log-batch", {"run_id": run, "params": [pair("a", "1"), pair("b", "2")]})
    body = {"params": [pair("b", "9"), pair("new"), pair("a", "8")], "metrics": [point()], "tags": [pair()]}
    assert server.refused("runs/log-batch", {"run_id": run, **body}).says(
        "Changing param values is not allowed. Params were already logged='[{'key': 'b', 'old_value': '2', "
        "'new_value': '9'}, {'key': 'a', 'old_value': '1', 'new_value': '8'}]' "
        f"for run ID='{run}'."
    )
    assert logged(server, run) == ({}, {"a": "1", "b": "2"}, {})


def test_equal_params_may_come_again_beside_new_ones(server: Server, exp: str) -> None:
    run = server.run(exp)
    server.post("runs/log-batch", {"run_id": run, "params": [pair("a", "0"), pair("b", "1")]})
    server.post("runs/log-batch", {"run_id": run, "params": [pair("a", "0"), pair("c", "2")]})
    assert logged(server, run)[1] == {"a": "0", "b": "1", "c": "2"}


@pytest.mark.parametrize("second", ["a", "b"])
def test_a_param_given_twice_is_refused(server: Server, exp: str, second: str) -> None:
    run = server.run(exp)
    body = {"params": [pair("p", "a"), pair("p", second)], "metrics": [point()], "tags": [pair()]}
    assert server.refused("runs/log-batch", {"run_id": run, **body}).says(
        "Duplicate parameter keys have been submitted: ['p']. Please ensure the request contains only one param value"
    )
    assert logged(server, run) == ({}, {}, {})


def test_a_tag_given_twice_takes_the_last(server: Server, exp: str) -> None:
    run = server.run(exp)
    server.post("runs/log-batch", {"run_id": run, "tags": [pair("t", "1"), pair("t", "2")]})
    assert logged(server, run)[2] == {"t": "2"}
    server.post("runs/log-batch", {"run_id": run, "tags": [pair("t", "3")]})
    assert logged(server, run)[2] == {"t": "3"}


def test_points_repeated_within_and_between_batches_count_once(server: Server, exp: str) -> None:
    run = server.run(exp)
    first = [point(key=f"m{i}", value=i) for i in range(150)]
    server.post("runs/log-batch", {"run_id": run, "metrics": [*first, *first[:50], point(key="n", value="NaN")]})
    more = [point(key=f"m{i}", value=i + 1, timestamp=3) for i in range(150)]
    again = [point(key="n", value="NaN")] * 2
    server.post("runs/log-batch", {"run_id": run, "metrics": [*first, *more, *again]})
    for index in (0, 49, 149):
        assert history(server, run, f"m{index}") == [(2, 3, float(index)), (3, 3, float(index + 1))]
    assert history(server, run, "n") == [(2, 3, "NaN")]


def test_a_metric_several_times_in_a_batch(server: Server, exp: str) -> None:
    run = server.run(exp)
    points = [point(value=2, timestamp=3), point(value=1, timestamp=2), point(value=9, timestamp=9, step=0)]
    server.post("runs/log-batch", {"run_id": run, "metrics": points})
    assert history(server, run, "m") == [(2, 3, 1.0), (3, 3, 2.0), (9, 0, 9.0)]
    assert logged(server, run)[0] == {"m": 2.0}


def test_through_the_client(client: Any, exp: str, server: Server) -> None:
    from mlflow.entities import Metric, Param, RunTag

    run = server.run(exp)
    metrics = [Metric("m", 123.456, 789, 3), Metric("m2", float("nan"), 1, 0)]
    client.log_batch(run, metrics, [Param("p", "value")], [RunTag("t", "do")])
    found = client.get_run(run)
    assert (found.data.metrics["m"], found.data.params, found.data.tags["t"]) == (123.456, {"p": "value"}, "do")
    again = client.get_metric_history(run, "m")[0]
    assert (again.key, again.value, again.timestamp, again.step) == ("m", 123.456, 789, 3)
