"""A real MLflow server for the session, and for each test a terminal with a Headway server of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.moving import Peer, Terminal, mlflow_server, terminal_in


@pytest.fixture(scope="session")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with mlflow_server(tmp_path_factory.mktemp("peer")) as found:
        yield found


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    with terminal_in(tmp_path) as typed:
        yield typed
