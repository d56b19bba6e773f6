"""The wire's conventions, byte by byte: bodies, codes, texts, limits, and what is not there."""

import base64
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fakes.wire import LiveWire, live_wire
from headway.api.mlflow.route import Access, Route
from headway.api.mlflow.table import ROUTES

API = "/api/2.0/mlflow/"
SEE_DOCS = "See the API docs for more information about request parameters."


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveWire]:
    with live_wire(tmp_path_factory.mktemp("http")) as found:
        yield found


@pytest.fixture(scope="module")
def client(live: LiveWire) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live.uri, timeout=60) as found:
        yield found


@pytest.fixture
def run(client: httpx.Client) -> str:
    return str(post(client, "runs/create", {"experiment_id": "0", "start_time": 5})["run"]["info"]["run_id"])


def post(client: httpx.Client, path: str, body: Any, status: int = 200, **headers: str) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.post(API + path, content=raw, headers={"content-type": "application/json", **headers})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def get(client: httpx.Client, path: str, status: int = 200, **query: Any) -> Any:
    answer = client.get(API + path, params=query)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_the_probes_answer_without_login(client: httpx.Client) -> None:
    assert client.get("/health").text == "OK"
    assert client.get("/version").text == "3.17.2"
    info = client.get("/api/3.0/mlflow/server-info").json()
    assert info["store_type"] == "SqlStore"
    assert info["artifact_serving_enabled"] is True
    assert client.get("/api/3.0/mlflow/server-features").json() == info


def test_a_run_on_the_wire(client: httpx.Client, run: str) -> None:
    post(client, "runs/log-batch", {
        "run_id": run,
        "metrics": [{"key": "m", "value": 0.5, "timestamp": "12", "step": "3"}],
        "params": [{"key": "p", "value": "1"}],
        "tags": [{"key": "t", "value": "2"}],
        "unknown": {"ignored": True},
    })  # fmt: skip
    found = get(client, "runs/get", run_id=run)["run"]
    info = found["info"]
    assert info["run_uuid"] == info["run_id"] == run
    assert (info["status"], info["lifecycle_stage"], info["start_time"]) == ("RUNNING", "active", 5)
    assert "end_time" not in info
    assert found["data"]["metrics"] == [{"key": "m", "value": 0.5, "timestamp": 12, "step": 3}]
    assert found["data"]["params"] == [{"key": "p", "value": "1"}]
    assert {"key": "t", "value": "2"} in found["data"]["tags"]
    assert found["inputs"] == {}
    assert get(client, "runs/get", run_uuid=run)["run"] == found
    assert client.get("/ajax-api/2.0/mlflow/runs/get", params={"run_id": run}).json()["run"] == found


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("experiments/create", {}, f"Missing value for required parameter 'name'. {SEE_DOCS}"),
        ("experiments/create", {"name": ""}, f"Missing value for required parameter 'name'. {SEE_DOCS}"),
        (
            "experiments/create",
            {"name": 5},
            "Invalid value 5 for parameter 'name' supplied:  Hint: Value was of type 'int'. ",
        ),
        ("experiments/create", {"name": "x", "artifact_location": "http://h/x"}, "Invalid artifact_location"),
        ("experiments/create", {"name": "x" * 501}, "'name' exceeds the maximum length of 500 characters"),
        ("runs/log-metric", {}, "Missing value for required parameter 'run_id'."),
        (
            "runs/log-metric",
            {"run_id": "RUN", "key": "m", "timestamp": 1},
            "Missing value for required parameter 'value'.",
        ),
        (
            "runs/log-metric",
            {"run_id": "RUN", "key": "m", "value": 1},
            "Missing value for required parameter 'timestamp'.",
        ),
        (
            "runs/log-metric",
            {"run_id": "RUN", "key": "m", "value": "abc", "timestamp": 1},
            "Invalid value \"abc\" for parameter 'value' supplied:  Hint: Value was of type 'str'. ",
        ),
        (
            "runs/log-metric",
            {"run_id": "RUN", "key": "m", "value": 1, "timestamp": -1},
            "Invalid value -1 for parameter 'timestamp' supplied: metric 'm'",
        ),
        (
            "runs/log-metric",
            {"run_id": "RUN", "key": "m", "value": 1, "timestamp": 2**63},
            "for parameter 'timestamp' supplied",
        ),
        (
            "runs/log-metric",
            {"run_id": "RUN", "key": "m", "value": 1, "timestamp": 1, "step": 10**30},
            "for parameter 'step' supplied",
        ),
        (
            "runs/log-metric",
            {"run_id": "RUN", "key": "a/../b", "value": 1, "timestamp": 1},
            "This name would resolve to 'b'",
        ),
        (
            "runs/log-batch",
            {"run_id": "RUN", "metrics": [{"key": "m", "value": 1}]},
            "Missing value for required parameter 'metrics[0].timestamp'.",
        ),
        (
            "runs/log-batch",
            {"run_id": "RUN", "metrics": [{"key": "a\tb", "value": 1, "timestamp": 1}]},
            "for parameter 'metrics[0].name' supplied",
        ),
        (
            "runs/log-batch",
            {"run_id": "RUN", "params": [{"value": "1"}]},
            "Missing value for required parameter 'params[0].key'.",
        ),
        ("runs/log-batch", {"run_id": "RUN", "params": [{"key": "/p"}]}, "for parameter 'params[0].key' supplied"),
        ("runs/log-batch", {"run_id": "RUN", "tags": [{"key": "t\n"}]}, "for parameter 'tags[0].key' supplied"),
        (
            "runs/log-batch",
            {"run_id": "RUN", "params": [{"key": f"p{i}"} for i in range(101)]},
            "at most 100 params. Got 101 params.",
        ),
        ("runs/log-batch", {"run_id": "RUN", "params": "x"}, "for parameter 'params' supplied"),
        ("runs/update", {"run_id": "RUN", "status": "NOT"}, "Invalid value \"NOT\" for parameter 'status' supplied"),
        ("runs/search", {"max_results": 50_001}, "Invalid value 50001 for parameter 'max_results' supplied"),
        ("runs/search", {"experiment_ids": ["0"], "page_token": "x"}, "Invalid page token, could not base64-decode"),
        ("runs/search", {"experiment_ids": ["0"], "order_by": ["metrics.a", "metrics.a"]}, "contains duplicate fields"),
        ("runs/search", {"experiment_ids": ["zero"]}, "Experiment ID must be a valid integer"),
        ("experiments/search", {"max_results": 0}, "Invalid value 0 for parameter 'max_results' supplied"),
        ("runs/set-tag", {"run_id": "RUN", "key": "t", "value": "a\0b"}, "The character NUL cannot be stored"),
        ("runs/set-tag", {"run_id": "RUN", "key": "t", "value": "\ud800"}, "not valid Unicode"),
        ("runs/log-model", {"run_id": "RUN", "model_json": "{"}, "Malformed model info"),
        ("runs/log-model", {"run_id": "RUN", "model_json": "{}"}, "Model json is missing mandatory fields"),
        (
            "runs/set-tag",
            {"run_id": "RUN", "runId": "RUN", "key": "t"},
            "Request specifies both 'run_id' and 'runId'; provide only one of them.",
        ),
    ],
)
def test_what_is_refused_with_400(client: httpx.Client, run: str, path: str, body: Any, message: str) -> None:
    body = {name: run if value == "RUN" else value for name, value in body.items()}
    error = post(client, path, body, 400)
    assert error["error_code"] == "INVALID_PARAMETER_VALUE"
    assert message in error["message"]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1.5", 7])
def test_numbers_may_come_as_text(client: httpx.Client, run: str, value: float | str) -> None:
    post(client, "runs/log-metric", {"run_id": run, "key": "m", "value": value, "timestamp": "1", "step": "2"})
    point = get(client, "runs/get", run_id=run)["run"]["data"]["metrics"][0]
    expected = {"NaN": "NaN", "Infinity": 1.7976931348623157e308, "-Infinity": -1.7976931348623157e308}
    assert point == {"key": "m", "value": expected.get(value) or float(value), "timestamp": 1, "step": 2}


def test_a_bare_nan_and_camel_case_and_null_are_read(client: httpx.Client, run: str) -> None:
    raw = b'{"runId": "%b", "key": "m", "value": NaN, "timestamp": 1, "step": null}' % run.encode()
    post(client, "runs/log-metric", raw)
    assert get(client, "metrics/get-history", run_id=run, metric_key="m") == {
        "metrics": [{"key": "m", "value": "NaN", "timestamp": 1, "step": 0}],
    }
    twice = json.dumps(json.dumps({"run_id": run, "key": "t", "value": "x"})).encode()
    post(client, "runs/set-tag", twice)
    assert {"key": "t", "value": "x"} in get(client, "runs/get", run_id=run)["run"]["data"]["tags"]


@pytest.mark.parametrize(
    "junk", [b"", b"{", b"[1]", b"5", b"null", b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b'"x"']
)
def test_junk_counts_as_an_empty_object(client: httpx.Client, junk: bytes) -> None:
    assert post(client, "runs/search", junk) == {}


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "<script>alert(1)</script>"])
def test_another_content_type_is_refused(client: httpx.Client, kind: str) -> None:
    answer = client.post(API + "runs/search", content=b"{}", headers={"content-type": kind})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json"
    assert "<script>" not in answer.text


def test_what_does_not_exist_is_said_as_json(client: httpx.Client) -> None:
    for method, path, code in (
        ("GET", "/api/2.0/mlflow/nothing", "ENDPOINT_NOT_FOUND"),
        ("GET", "/api/2.0/mlflow/runs/create", "ENDPOINT_NOT_FOUND"),
        ("GET", "/ajax-api/2.0/mlflow/gateway-proxy?gateway_path=http://169.254.169.254/", "NOT_IMPLEMENTED"),
        ("POST", "/api/3.0/mlflow/traces", "NOT_IMPLEMENTED"),
        ("POST", "/v1/traces", "NOT_IMPLEMENTED"),
        ("GET", "/api/2.0/mlflow/webhooks", "NOT_IMPLEMENTED"),
    ):
        answer = client.request(method, path)
        assert answer.status_code == (404 if code == "ENDPOINT_NOT_FOUND" else 501)
        assert answer.json()["error_code"] == code


def test_batches_are_limited_to_a_megabyte(client: httpx.Client, run: str) -> None:
    tags = [{"key": f"t{i}", "value": "x" * 20_000} for i in range(60)]
    error = post(client, "runs/log-batch", {"run_id": run, "tags": tags}, 400)
    assert "Batched logging API requests must be at most 1000000 bytes, got a request of size" in error["message"]
    answer = client.post(
        API + "runs/search", content=(b" " * 100_000 for _ in range(60)), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413


def test_a_batch_is_all_or_nothing(client: httpx.Client, run: str) -> None:
    body = {"run_id": run, "metrics": [{"key": "m", "value": 1, "timestamp": 1}], "tags": [{"key": "/t", "value": "1"}]}
    post(client, "runs/log-batch", body, 400)
    assert "metrics" not in get(client, "runs/get", run_id=run)["run"]["data"]


def test_a_repeated_request_with_a_key_answers_the_same_run(client: httpx.Client) -> None:
    body = {"experiment_id": "0", "run_name": "once"}
    first = post(client, "runs/create", body, **{"idempotency-key": "k1"})
    again = post(client, "runs/create", body, **{"idempotency-key": "k1"})
    other = post(client, "runs/create", body, **{"idempotency-key": "k2"})
    assert first["run"]["info"]["run_id"] == again["run"]["info"]["run_id"] != other["run"]["info"]["run_id"]
    post(client, "runs/create", body, 400, **{"idempotency-key": "k" * 300})


def test_whatever_is_made_is_made_once_for_one_key(client: Any) -> None:
    asked = (
        ("experiments/create", {"name": "once"}),
        ("registered-models/create", {"name": "once"}),
        ("model-versions/create", {"name": "once", "source": "s3://bucket/model"}),
        ("logged-models", {"experiment_id": "0", "name": "once"}),
    )
    for path, body in asked:
        first = post(client, path, body, **{"idempotency-key": path})
        assert post(client, path, body, **{"idempotency-key": path}) == first, path
    again = post(client, "model-versions/create", asked[2][1], **{"idempotency-key": "another"})
    assert again["model_version"]["version"] == "2"


def test_a_repeated_point_changes_nothing(client: httpx.Client, run: str) -> None:
    for _ in range(3):
        post(client, "runs/log-metric", {"run_id": run, "key": "m", "value": 1, "timestamp": 1, "step": 1})
    assert len(get(client, "metrics/get-history", run_id=run, metric_key="m")["metrics"]) == 1


def test_histories_are_paged_and_checked(client: httpx.Client, run: str) -> None:
    metrics = [{"key": "m", "value": i, "timestamp": i, "step": i} for i in range(10)]
    post(client, "runs/log-batch", {"run_id": run, "metrics": metrics})
    page = get(client, "metrics/get-history", run_id=run, metric_key="m", max_results=4)
    assert [point["step"] for point in page["metrics"]] == [0, 1, 2, 3]
    rest = get(client, "metrics/get-history", run_id=run, metric_key="m", page_token=page["next_page_token"])
    assert [point["step"] for point in rest["metrics"]] == [4, 5, 6, 7, 8, 9]
    assert get(client, "metrics/get-history", 400, run_id=run, metric_key="m", max_results=0)["message"].startswith(
        "Invalid value 0 for parameter 'max_results'"
    )
    for offset in (-1, 0, 10**18, "x", None):
        token = base64.b64encode(json.dumps({"offset": offset}).encode()).decode()
        get(client, "metrics/get-history", 400, run_id=run, metric_key="m", page_token=token)
    assert get(client, "metrics/get-history", run_id="nope", metric_key="m") == {}


def test_bulk_histories(client: httpx.Client, run: str) -> None:
    other = post(client, "runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]
    for each in (run, other):
        metrics = [{"key": "m", "value": i, "timestamp": i, "step": i * 2} for i in range(100)]
        post(client, "runs/log-batch", {"run_id": each, "metrics": metrics})
    ajax = "/ajax-api/2.0/mlflow/metrics/"
    found = client.get(
        ajax + "get-history-bulk", params={"run_id": [run, other], "metric_key": "m", "max_results": 150}
    ).json()
    assert [point["run_id"] for point in found["metrics"]] == [min(run, other)] * 100 + [max(run, other)] * 50
    query = {"run_ids": [run, other], "metric_key": "m", "max_results": 10, "start_step": 20, "end_step": 120}
    thin = client.get(ajax + "get-history-bulk-interval", params=query).json()["metrics"]
    steps = [point["step"] for point in thin if point["run_id"] == run]
    assert (steps[0], steps[-1]) == (20, 120)
    assert 10 <= len(steps) <= 12
    for bad in (
        {"run_ids": [run], "metric_key": "m", "start_step": 5},
        {"run_ids": [run], "metric_key": "m", "start_step": 5, "end_step": 4},
        {"run_ids": [run], "metric_key": "m", "max_results": 2501},
        {"run_ids": ["r"] * 101, "metric_key": "m"},
        {"metric_key": "m"},
    ):
        assert client.get(ajax + "get-history-bulk-interval", params=bad).status_code == 400
    assert client.get(ajax + "get-history-bulk", params={"metric_key": "m"}).status_code == 400
    assert client.get(ajax + "get-history-bulk", params={"run_id": ["r"] * 101, "metric_key": "m"}).status_code == 400


@pytest.mark.parametrize(
    ("location", "kept"),
    [
        ("s3://bucket/x/", None),
        ("my_location", str(Path.cwd() / "my_location")),  # no login: one person alone on this machine
        ("mlflow-artifacts:/a/b", None),
    ],
)
def test_harmless_artifact_locations_are_kept(client: httpx.Client, location: str, kept: str | None) -> None:
    made = post(client, "experiments/create", {"name": f"good {location}", "artifact_location": location})
    found = get(client, "experiments/get", experiment_id=made["experiment_id"])["experiment"]
    assert found["artifact_location"] == (kept or location)


def test_head_and_body_leave_in_one_segment(live: LiveWire) -> None:
    sock = socket.create_connection(live.uri.removeprefix("http://").split(":"))
    try:
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(65536).endswith(b"\r\n\r\nOK")
        body = b'{"experiment_id": "0"}'
        head = b"POST /api/2.0/mlflow/runs/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        sock.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert sock.recv(65536).endswith(b"}")
    finally:
        sock.close()


def test_every_route_declares_a_permission_and_says_once_where_it_is() -> None:
    seen = set()
    for route in ROUTES:
        assert isinstance(route.access, Access)
        for prefix in route.prefixes if isinstance(route, Route) else ("",):
            assert (route.method, prefix + route.path) not in seen
            seen.add((route.method, prefix + route.path))
        if route.access is Access.OPEN:
            assert route.path in {"server-info", "server-features"}
        if isinstance(route, Route) and route.is_write:
            assert route.access in {Access.WRITE, Access.ADMIN}


def test_values_that_json_cannot_hold_do_not_reach_the_answer(client: httpx.Client, run: str) -> None:
    post(client, "runs/log-metric", {"run_id": run, "key": "m", "value": "NaN", "timestamp": 1})
    raw = client.get(API + "runs/get", params={"run_id": run}).content
    assert b"NaN" in raw
    json.loads(raw, parse_constant=pytest.fail)
