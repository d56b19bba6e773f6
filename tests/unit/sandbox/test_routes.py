"""Which requests the door lets through, and how it treats them."""

from __future__ import annotations

import pytest
import routes


@pytest.mark.parametrize(
    "name", ["log-metric", "log-batch", "log-parameter", "set-tag", "log-inputs", "outputs", "update", "log-model"]
)
def test_what_only_adds_to_a_run_may_be_kept(name: str) -> None:
    assert routes.kind_of("POST", f"/api/2.0/mlflow/runs/{name}") == routes.APPEND
    assert routes.kind_of("GET", f"/api/2.0/mlflow/runs/{name}") == routes.LIVE


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/api/2.0/mlflow/runs/create"),
        ("POST", "/api/2.0/mlflow/runs/delete-tag"),
        ("GET", "/api/2.0/mlflow/runs/get?run_id=a"),
        ("POST", "/api/2.0/mlflow/logged-models"),
        ("PATCH", "/api/2.0/mlflow/logged-models/m-1"),
        ("GET", "/api/3.0/mlflow/server-info"),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts/a/b"),
        ("DELETE", "/api/2.0/mlflow-artifacts/artifacts/a/b"),
        ("GET", "/get-artifact?path=../x"),
        ("GET", "/health"),
    ],
)
def test_what_needs_an_answer_is_live(method: str, target: str) -> None:
    assert routes.kind_of(method, target) == routes.LIVE


def test_artifacts_may_be_spooled() -> None:
    assert routes.kind_of("PUT", "/api/2.0/mlflow-artifacts/artifacts/1/r/model%20a/x.bin") == routes.ARTIFACT
    assert routes.kind_of("PUT", "/api/2.0/mlflow-artifacts/artifacts/1/r/..hidden") == routes.ARTIFACT


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/api/v1/tokens",
        "/webhooks/github",
        "/api/2.0/mlflow",
        "/healthy",
        "//api/2.0/mlflow/runs/get",
        "http://elsewhere/api/2.0/mlflow/runs/get",
        "/api/2.0/mlflow/../../v1/tokens",
        "/api/2.0/mlflow/%2e%2E/%2e%2e/v1/tokens",
        "/api/2.0/mlflow/..%2f..%2fv1/tokens",
        "/api/2.0/mlflow/..\\..\\v1",
        "/api/2.0/mlflow/..%5C..%5Cv1",
        "/api/2.0/mlflow/./x",
    ],
)
def test_everything_else_has_no_way_through(target: str) -> None:
    assert routes.kind_of("GET", target) is None
    assert routes.kind_of("POST", target) is None
