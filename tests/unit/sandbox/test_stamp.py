"""A run made through the door says where it comes from, and what the code says of itself wins."""

from __future__ import annotations

import json
from pathlib import Path

from stamp import Stamp
from upstream import Request

CREATE = "/api/2.0/mlflow/runs/create"


def create(body: object, **headers: str) -> Request:
    return Request("POST", CREATE, headers, json.dumps(body).encode())


def test_a_creation_gets_the_tags_that_it_has_not() -> None:
    stamp = Stamp({"tags": {"a": "ours", "b": "ours"}})
    marked = stamp.mark(create({"experiment_id": "1", "tags": [{"key": "a", "value": "theirs"}]}))
    assert json.loads(marked.body) == {
        "experiment_id": "1",
        "tags": [{"key": "a", "value": "theirs"}, {"key": "b", "value": "ours"}],
    }


def test_anything_else_is_left_as_it_is() -> None:
    stamp = Stamp({"tags": {"a": "ours"}})
    others = [
        Request("POST", "/api/2.0/mlflow/runs/update", {}, b"{}"),
        Request("POST", CREATE, {}, b"no json"),
        create([1]),
        create({"tags": [1]}),
        create({}, **{"Content-Encoding": "gzip"}),
    ]
    for request in others:
        assert stamp.mark(request) == request
    assert Stamp({}).mark(create({})) == create({})


def test_the_patch_goes_to_the_runs_own_files(tmp_path: Path) -> None:
    (tmp_path / "patch").write_bytes(b"diff")
    stamp = Stamp({"tags": {}, "patch": str(tmp_path / "patch")})
    info = {"run_id": "r", "artifact_uri": "mlflow-artifacts:/7/r/artifacts"}
    upload = stamp.patch_for(create({}), 200, json.dumps({"run": {"info": info}}).encode())
    assert upload is not None
    assert (upload.method, upload.body) == ("PUT", b"diff")
    assert upload.target == "/api/2.0/mlflow-artifacts/artifacts/7/r/artifacts/headway/working-tree.patch"
    elsewhere = json.dumps({"run": {"info": {"run_id": "s", "artifact_uri": "s3://bucket/s"}}}).encode()
    assert stamp.patch_for(create({}), 200, elsewhere) is None
    assert stamp.patch_for(create({}), 400, b"{}") is None
    assert stamp.runs == ["r", "s"]
