"""Bodies, queries, aliases, content types and errors."""

import json
from typing import Any

import pytest

from conformance.servers import API, JSON, Server, fresh

GROUP = "conventions"
SEE_DOCS = "See the API docs for more information about request parameters."
AJAX = "/ajax-api/2.0/mlflow/"


@pytest.fixture(scope="module")
def run(server: Server) -> str:
    return server.run(server.experiment(), start_time=5, run_name="conventions")


def tag(server: Server, run: str, key: str) -> Any:
    tags = server.get("runs/get", run_id=run)["run"]["data"].get("tags", [])
    return {each["key"]: each["value"] for each in tags}.get(key)


def test_an_empty_answer_is_an_empty_object(server: Server, run: str) -> None:
    assert server.post("runs/set-tag", {"run_id": run, "key": "k", "value": "v"}) == {}


@pytest.mark.parametrize("raw", [b"", b"junk", b"[1,2]", b"null", b'{"experiment_ids":', b"{'a': 1}", b"{} tail"])
def test_a_body_that_is_no_object_counts_as_empty(server: Server, raw: bytes) -> None:
    assert server.send("POST", "runs/search", raw).json() == {}


def test_unknown_fields_are_ignored(server: Server, run: str) -> None:
    server.post("runs/set-tag", {"run_id": run, "key": "u", "value": "v", "else": {"deep": [1, None]}})
    assert tag(server, run, "u") == "v"


def test_null_counts_as_absent(server: Server, run: str) -> None:
    server.post("runs/set-tag", {"run_id": run, "key": "n", "value": None})
    assert tag(server, run, "n") == ""
    assert server.refused("runs/set-tag", {"run_id": None, "key": "n"}).says(
        f"Missing value for required parameter 'run_id'. {SEE_DOCS}"
    )


def test_the_last_of_two_equal_names_counts(server: Server, run: str) -> None:
    server.post("runs/set-tag", b'{"run_id":"%b","key":"twice","value":"a","value":"b"}' % run.encode())
    assert tag(server, run, "twice") == "b"


def test_whole_numbers_may_be_strings_and_come_back_as_numbers(server: Server, run: str) -> None:
    body = {"run_id": run, "key": "s", "value": "0.5", "timestamp": "12", "step": "3"}
    server.post("runs/log-metric", body)
    found = server.get("metrics/get-history", run_id=run, metric_key="s")
    assert found == {"metrics": [{"key": "s", "value": 0.5, "timestamp": 12, "step": 3}]}


def test_a_whole_float_is_a_whole_number(server: Server, run: str) -> None:
    server.post("runs/log-metric", {"run_id": run, "key": "f", "value": 1, "timestamp": 12.0, "step": 2.0})
    assert server.get("metrics/get-history", run_id=run, metric_key="f")["metrics"][0]["timestamp"] == 12


def test_camel_case_names_are_read(server: Server, exp: str) -> None:
    made = server.post("runs/create", {"experimentId": exp, "startTime": 4, "runName": "camel"})["run"]["info"]
    assert (made["experiment_id"], made["start_time"], made["run_name"]) == (exp, 4, "camel")


def test_a_field_spelled_twice_is_refused(server: Server, exp: str) -> None:
    assert server.refused("runs/create", {"experimentId": exp, "experiment_id": exp}).says(
        "Request specifies both 'experiment_id' and 'experimentId'; provide only one of them."
    )


def test_a_body_encoded_twice_is_decoded_twice(server: Server, run: str) -> None:
    raw = json.dumps(json.dumps({"run_id": run, "key": "double", "value": "v"})).encode()
    assert server.send("POST", "runs/set-tag", raw).json() == {}
    assert tag(server, run, "double") == "v"


@pytest.mark.parametrize("path", ["log-metric", "log-parameter", "set-tag", "update", "get", "history"])
def test_run_uuid_is_an_alias(server: Server, run: str, path: str) -> None:
    if path == "get":
        assert server.get("runs/get", run_uuid=run)["run"]["info"]["run_id"] == run
    elif path == "history":
        assert server.get("metrics/get-history", run_uuid=run, metric_key="none") == {}
    else:
        more = {"value": 1, "timestamp": 1} if path == "log-metric" else {"value": "v"} if path != "update" else {}
        server.post(f"runs/{path}", {"run_uuid": run, "key": f"by-uuid-{path}", **more})


def test_both_ids_may_be_sent_and_run_id_counts(server: Server, run: str) -> None:
    server.post("runs/set-tag", {"run_id": run, "run_uuid": "other", "key": "both", "value": "v"})
    assert tag(server, run, "both") == "v"


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8"])
def test_json_is_taken(server: Server, run: str, kind: str) -> None:
    body = json.dumps({"run_id": run, "key": "ct", "value": "v"}).encode()
    assert server.http.post(f"{API}runs/set-tag", content=body, headers={"content-type": kind}).status_code == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json", "application/jsonx"]
)
def test_what_a_page_elsewhere_could_post_is_refused(server: Server, run: str, kind: str) -> None:
    body = json.dumps({"run_id": run, "key": "ct", "value": "v"}).encode()
    answer = server.http.post(f"{API}runs/set-tag", content=body, headers={"content-type": kind})
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert answer.json()["message"] == "Bad Request. Content-Type must be one of ['application/json']."


def test_a_post_without_a_content_type_is_refused(server: Server) -> None:
    answer = server.http.post(f"{API}runs/search", content=b"{}")
    assert (answer.status_code, answer.json()["message"]) == (400, "Bad Request. Content-Type header is missing.")


@pytest.mark.parametrize("method", ["DELETE", "PATCH"])
def test_delete_and_patch_need_no_content_type(server: Server, method: str) -> None:
    path = {"DELETE": "registered-models/delete", "PATCH": "registered-models/update"}[method]
    answer = server.http.request(method, API + path, content=b'{"name":"never made"}')
    assert answer.status_code == 404
    assert answer.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"


def test_a_delete_without_a_body_lacks_its_fields(server: Server) -> None:
    answer = server.http.request("DELETE", f"{API}registered-models/delete")
    assert answer.status_code == 400
    assert answer.json()["message"] == f"Missing value for required parameter 'name'. {SEE_DOCS}"


def test_a_get_may_have_any_content_type(server: Server, run: str) -> None:
    answer = server.http.get(f"{API}runs/get", params={"run_id": run}, headers={"content-type": "text/plain"})
    assert answer.status_code == 200


def test_answers_are_json(server: Server, run: str) -> None:
    assert server.send("GET", "runs/get", run_id=run).headers["content-type"] == "application/json"
    assert server.send("GET", "runs/get", run_id="never").headers["content-type"] == "application/json"


def test_unknown_query_fields_are_ignored(server: Server, run: str) -> None:
    assert server.get("runs/get", run_id=run, other="1")["run"]["info"]["run_id"] == run


def test_a_query_takes_no_camel_case(server: Server, run: str) -> None:
    assert server.refused("runs/get", method="GET", runId=run).says("Missing value for required parameter 'run_id'")


def test_of_a_repeated_query_field_the_first_counts(server: Server, run: str) -> None:
    answer = server.http.get(f"{API}runs/get", params=[("run_id", run), ("run_id", "other")])
    assert answer.json()["run"]["info"]["run_id"] == run


def test_a_repeated_query_field_is_a_list(server: Server) -> None:
    answer = server.get("experiments/search", max_results=2, order_by=["name DESC", "experiment_id"])
    names = [each["name"] for each in answer["experiments"]]
    assert names == sorted(names, reverse=True)


def test_an_empty_query_lacks_its_fields(server: Server) -> None:
    assert server.refused("runs/get", method="GET").says(f"Missing value for required parameter 'run_id'. {SEE_DOCS}")


def test_the_browsers_prefix_is_the_same_api(server: Server, run: str) -> None:
    path = "runs/get"
    assert server.get(AJAX + path, run_id=run) == server.get(path, run_id=run)
    assert server.post(f"{AJAX}runs/set-tag", {"run_id": run, "key": "ajax", "value": "v"}) == {}


@pytest.mark.parametrize("path", ["nope", "runs", "/api/3.0/mlflow/runs/get", "/api/2.0/preview/mlflow/runs/get"])
def test_an_unknown_path_is_404(server: Server, path: str) -> None:
    assert server.send("GET", path).status_code == 404


def test_the_client_takes_an_unknown_path_for_an_endpoint_that_is_not_there(server: Server, client: Any) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.utils.rest_utils import http_request, verify_rest_response

    creds = client._tracking_client.store.get_host_creds()
    answer = http_request(creds, "/api/2.0/mlflow/never", "GET")
    with pytest.raises(MlflowException) as caught:
        verify_rest_response(answer, "/api/2.0/mlflow/never")
    assert caught.value.error_code == "ENDPOINT_NOT_FOUND"


def test_an_error_has_a_code_and_a_message(server: Server) -> None:
    told = server.send("GET", "runs/get", run_id="never").json()
    assert told["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    assert told["message"] == "Run with id=never not found"


def test_the_client_raises_the_code_and_the_message(client: Any) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match="Run with id=never not found") as caught:
        client.get_run("never")
    assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"


@pytest.mark.parametrize("text", ["é", "日本語", "😀", 'quote"', "back\\slash", "line\nbreak", "tab\t", "<b>&amp;"])
def test_text_comes_back_as_it_went(server: Server, run: str, text: str) -> None:
    server.post("runs/set-tag", {"run_id": run, "key": "text", "value": text})
    assert tag(server, run, "text") == text


@pytest.mark.departs("PostgreSQL cannot keep NUL, and both databases are to keep the same")
def test_nul_in_a_value(server: Server, run: str) -> None:
    server.post("runs/set-tag", {"run_id": run, "key": "nul", "value": "a\0b"})


@pytest.mark.departs("half a surrogate pair is no text, and what cannot be sent back is not taken")
def test_half_a_surrogate_pair(server: Server, run: str) -> None:
    server.post("runs/set-tag", b'{"run_id":"%b","key":"s","value":"\\ud800"}' % run.encode())


@pytest.mark.departs("a value of the wrong type is refused with its name, not passed over in silence")
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("runs/create", {"experiment_id": "0", "user_id": 5}),
        ("runs/create", {"experiment_id": "0", "tags": "text"}),
        ("runs/update", {"run_id": "RUN", "status": "NEVER"}),
        ("runs/search", {"experiment_ids": ["0"], "run_view_type": "NEVER"}),
        ("runs/search", {"experiment_ids": [0]}),
        ("runs/log-metric", {"run_id": "RUN", "key": "m", "value": 1, "timestamp": 1.5}),
        ("runs/log-metric", {"run_id": "RUN", "key": "m", "value": 1, "timestamp": 2**63}),
        ("runs/log-batch", {"run_id": "RUN", "params": [{"key": "wrong", "value": 5}]}),
    ],
)
def test_wrong_types_that_protobuf_passes_over(server: Server, run: str, path: str, body: dict[str, Any]) -> None:
    server.post(path, {**body, "run_id": run} if body.get("run_id") == "RUN" else body)


@pytest.mark.departs("a batch of over 1 MB is refused, as MLflow documents and does not do")
def test_a_batch_of_over_one_megabyte(server: Server) -> None:
    run = server.run(server.experiment())
    params = [{"key": f"{fresh('p')}", "value": "x" * 6000} for _ in range(100)]
    tags = [{"key": f"{fresh('t')}", "value": "x" * 8000} for _ in range(100)]
    server.post("runs/log-batch", {"run_id": run, "params": params, "tags": tags})


def test_headers_of_json_are_sent(server: Server) -> None:
    assert server.http.post(f"{API}runs/search", content=b"{}", headers=JSON).status_code == 200
