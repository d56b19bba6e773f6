"""Every route of the installed MLflow's own server: served here, or refused with 501 and a JSON error."""

import re
from collections.abc import Iterator

import httpx
import pytest

from fakes.wire import live_wire

JSON = {"content-type": "application/json"}

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # MLflow's own imports


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with live_wire(tmp_path_factory.mktemp("wire")) as live, httpx.Client(base_url=live.uri, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def routes() -> list[tuple[str, str]]:
    """Every (method, path) of the installed MLflow's server, with a value for what its paths leave open."""
    from mlflow.server import app
    from mlflow.server.fastapi_app import create_fastapi_app

    found = {(method, str(rule)) for rule in app.url_map.iter_rules() for method in rule.methods or ()}
    for router in create_fastapi_app(app).routes:
        inner = getattr(router, "original_router", None)
        prefix = getattr(getattr(router, "include_context", None), "prefix", "")
        for each in getattr(inner, "routes", ()):
            found |= {(method, prefix + each.path) for method in getattr(each, "methods", None) or ()}
    plain = {(method, re.sub(r"<(?:\w+:)?\w+>|\{\w+(?::\w+)?\}", "x1", path)) for method, path in found}
    return sorted(each for each in plain if each[0] not in ("HEAD", "OPTIONS") and each[1].startswith("/"))


_PAGES = re.compile(r"/(?:health|version|build/.*|static-files/.*)?\Z")


def test_every_route_of_mlflow_is_served_or_says_501(http: httpx.Client, routes: list[tuple[str, str]]) -> None:
    assert len(routes) > 400
    served, absent, wrong = 0, 0, []
    for method, path in routes:
        if _PAGES.match(path):  # the pages of MLflow's own interface
            continue
        # A body for whoever wants one; what is served says what is missing, and 501 says so whatever comes.
        answer = http.request(method, path, content=None if method == "GET" else b"{}", headers=JSON)
        kind = answer.headers.get("content-type", "")
        if answer.status_code == 501 and answer.json()["error_code"] == "NOT_IMPLEMENTED":
            absent += 1
        elif answer.status_code < 500 and not (answer.status_code == 404 and "ENDPOINT_NOT_FOUND" in answer.text):
            served += 1
            assert kind.startswith(("application/json", "text/plain", "application/octet-stream")), (path, kind)
        else:
            wrong.append((method, path, answer.status_code, answer.text[:200]))
    assert wrong == []
    assert served > 120
    assert absent > 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/traces"),
        ("GET", "/api/3.0/mlflow/traces/tr-1"),
        ("POST", "/api/2.0/mlflow/traces"),
        ("GET", "/api/2.0/mlflow/webhooks"),
        ("POST", "/gateway/openai/v1/chat/completions"),
        ("GET", "/ajax-api/2.0/mlflow/gateway-proxy"),
        ("POST", "/api/3.0/mlflow/prompt-optimization/jobs"),
        ("GET", "/api/3.0/mlflow/datasets/d-1"),
        ("GET", "/ajax-api/3.0/jobs/j-1"),
        ("GET", "/api/2.0/mlflow/users/get"),
        ("GET", "/api/3.0/mlflow/workspaces"),
    ],
)
def test_what_is_absent_says_so_in_json(http: httpx.Client, method: str, path: str) -> None:
    answer = http.request(method, path, content=b"not json")
    assert answer.status_code == 501
    told = answer.json()
    assert told["error_code"] == "NOT_IMPLEMENTED"
    assert "does not speak MLflow's" in told["message"]
