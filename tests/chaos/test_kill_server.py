"""Server and worker killed at random while short trainings run: nothing lost, nothing run twice (reliability.md)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from chaos.kill_server import short_runs

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds the worker in /proc"),
]


def test_kills_of_server_and_worker_lose_nothing_and_start_nothing_twice(tmp_path: Path) -> None:
    found = short_runs(tmp_path / "stage", runs=24, kills=6, seed=7)
    assert found.wrong == []
    assert found.runs == 24
    assert sum(found.kills.values()) == 6
    assert found.acked > 24
    assert found.lost == 0
    assert found.twice == 0
    assert set(found.executed) == {1}
    assert found.states == {"succeeded": 20, "failed": 4}  # each fifth fails on purpose
