"""One suite for every server that speaks MLflow's wire.

    pytest tests/conformance                                     a fresh Headway on SQLite
    CONFORMANCE_SERVER=mlflow pytest tests/conformance           the real MLflow server of this environment
    CONFORMANCE_SERVER=headway-postgres tools/with-postgres ...  a fresh Headway on PostgreSQL
    CONFORMANCE_SERVER=http://host:port pytest ...               whatever listens there

A test is one clause of the wire (with its parameters, one each). A clause that fails on the real MLflow is a wrong
clause. Where Headway departs from MLflow on purpose, the clause carries `@pytest.mark.departs("why")`: it must hold on
MLflow and must not on Headway. The server is shared by all tests: everything is done in experiments of one's own.
`GROUP = "..."` in a module names the group under which its clauses are counted by `make conformance`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from conformance.servers import Server, started

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = os.environ.get("CONFORMANCE_SERVER", "headway")
_TALLY: dict[str, dict[str, str]] = {}


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of deliberate differences."""
    config.addinivalue_line("markers", "departs(why): holds on MLflow and, on purpose, not on Headway")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Expect a deliberate difference to be one, and no test to take for ever."""
    for item in items:
        mark = item.get_closest_marker("departs")
        if mark is not None and NAME.startswith("headway"):
            item.add_marker(pytest.mark.xfail(reason=mark.args[0], strict=True))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Keep every clause's outcome for the runner."""
    report = yield
    if "conformance" in item.nodeid and (report.when == "call" or report.outcome != "passed"):
        group = getattr(getattr(item, "module", None), "GROUP", item.path.stem.removeprefix("test_"))
        mark = item.get_closest_marker("departs")
        told = "departs" if mark is not None and report.outcome == "skipped" else report.outcome
        _TALLY[item.nodeid] = {
            "group": group,
            "outcome": told,
            "why": mark.args[0] if mark is not None else "",
            "text": report.longreprtext[-1500:] if report.outcome == "failed" else "",
        }
    return report


def pytest_sessionfinish() -> None:
    """Write the outcomes where the runner asked for them."""
    path = os.environ.get("CONFORMANCE_TALLY")
    if path:
        Path(path).write_text(json.dumps(_TALLY))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server under test, started once."""
    with started(NAME, tmp_path_factory.mktemp("conformance")) as found:
        yield found


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[Any]:
    """MLflow's own client, set to this server alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        patch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient

        yield MlflowClient(tracking_uri=server.uri, registry_uri=server.uri)


@pytest.fixture(scope="session")
def rest(client: Any) -> Any:
    """MLflow's RestStore, through which its store tests can be driven."""
    return client._tracking_client.store


@pytest.fixture
def mlflow(client: Any, server: Server) -> Iterator[Any]:
    """The fluent API, pointed at this server and put back afterwards."""
    import mlflow as fluent

    before = fluent.get_tracking_uri()
    fluent.set_tracking_uri(server.uri)
    yield fluent
    while fluent.active_run():
        fluent.end_run()
    fluent.set_tracking_uri(before)


@pytest.fixture
def exp(server: Server) -> str:
    """An experiment of this test alone."""
    return server.experiment()
