"""Server and worker killed at random while short trainings run: nothing lost, nothing run twice (reliability.md)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from chaos.kill_server import short_runs

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.timeout(600),  # a loaded machine starts servers slowly; nothing is measured by it
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds the worker in /proc"),
]


def test_kills_of_server_and_worker_lose_nothing_and_start_nothing_twice(tmp_path: Path) -> None:
    found = short_runs(tmp_path / "stage", runs=40, kills=10, seed=7)
    assert found.wrong == []
    assert found.runs == 40
    assert sum(found.kills.values()) == 10
    assert found.acked > 40
    assert found.lost == 0
    assert found.twice == 0
    assert set(found.executed) == {1}
    assert found.states == {"succeeded": 32, "failed": 8}  # each fifth fails on purpose
