"""Probes, what the server says of itself, and every route that MLflow's server has."""

from typing import Any

import pytest

from conformance.servers import JSON, Server

GROUP = "probes and routes"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # MLflow's own imports


def test_health_and_version_are_plain(server: Server) -> None:
    health, version = server.http.get("/health"), server.http.get("/version")
    assert (health.status_code, health.text) == (200, "OK")
    assert (version.status_code, version.text) == (200, "3.17.2")
    assert server.http.head("/health").status_code == 200


@pytest.mark.parametrize("prefix", ["/api", "/ajax-api"])
def test_server_info_says_what_is_there(server: Server, prefix: str) -> None:
    told = server.get(f"{prefix}/3.0/mlflow/server-info")
    assert told["store_type"] == "SqlStore"
    for absent in ("workspaces_enabled", "trace_archival_enabled", "multipart_uploads_enabled"):
        assert told[absent] is False
    assert isinstance(told["features_enabled"]["gateway"], bool)


def test_the_client_understands_server_info(client: Any, server: Server) -> None:
    from mlflow.utils.rest_utils import MlflowHostCreds
    from mlflow.utils.server_info import fetch_server_info

    told = fetch_server_info(MlflowHostCreds(server.uri))
    assert "SqlStore" in repr(told)


def test_an_unknown_path_is_not_there(server: Server) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = server.http.request(method, "/api/2.0/mlflow/no-such-thing/at-all", content=b"{}", headers=JSON)
        assert answer.status_code == 404
