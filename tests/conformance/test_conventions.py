"""Bodies, queries, aliases, content types and errors."""

import pytest

from conformance.servers import JSON, Server

GROUP = "conventions"
SEE_DOCS = "See the API docs for more information about request parameters."


def test_an_empty_answer_is_an_empty_object(server: Server) -> None:
    run = server.run()
    assert server.post("runs/set-tag", {"run_id": run, "key": "k", "value": "v"}) == {}


@pytest.mark.parametrize("raw", [b"", b"junk", b"[1,2]", b"null", b'{"experiment_ids":'])
def test_a_body_that_is_no_object_counts_as_empty(server: Server, raw: bytes) -> None:
    answer = server.http.post("/api/2.0/mlflow/runs/search", content=raw, headers=JSON)
    assert (answer.status_code, answer.json()) == (200, {})
