"""Folding at its borders: chunk sizes, doubling, and what comes late or twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.databases import sqlite_copy
from headway.db.connection import Database, open_database
from headway.tracking import fold as folding
from headway.tracking.model import Metric, RunStatus
from headway.tracking.store import Memory, RunStore


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = open_database(sqlite_copy(tmp_path))
    with found.write() as tx:
        RunStore(tx).experiments.ensure_default()
    yield found
    found.close()


def sizes(store: RunStore) -> list[int]:
    return [row[0] for row in store.link.all("select n from chunk order by seq")]


def steps(count: int, start: int = 0) -> list[Metric]:
    return [Metric("m", float(step), step, step) for step in range(start, start + count)]


def test_chunks_double_and_then_begin_anew(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "CHUNK_POINTS", 8)
    with database.write() as tx:
        store = RunStore(tx)
        run = store.create_run("0")
        row = store.row(run).id
        seen = []
        for start in range(0, 24, 2):
            store.log_metrics(run, steps(2, start))
            folding.fold(store.link, row)
            seen.append(sizes(store))
        assert seen[0] == [2]
        assert max(map(max, seen)) <= 8
        assert [point.step for point in store.history(run, "m")] == list(range(24))
        store.log_metrics(run, steps(20, 100))
        folding.fold(store.link, row)
        assert max(sizes(store)) <= 8
        assert len(store.history(run, "m")) == 44


def test_what_comes_late_is_sorted_in_and_what_comes_twice_counts_once(database: Database) -> None:
    with database.write() as tx:
        store = RunStore(tx)
        run = store.create_run("0")
        row = store.row(run).id
        for points in (steps(300, 100), steps(10, 0), steps(300, 100)):
            store.log_metrics(run, points)
            folding.fold(store.link, row)
        assert [point.step for point in store.history(run, "m")] == [*range(10), *range(100, 400)]


def test_a_short_tail_of_an_ended_run_stays_and_a_long_one_goes(database: Database) -> None:
    memory = Memory.empty()
    with database.write() as tx:
        store = RunStore(tx, memory=memory)
        short, long = store.create_run("0"), store.create_run("0")
        store.log_metrics(short, steps(10))
        store.log_metrics(long, steps(600))
        for run in (short, long):
            store.finish(run, RunStatus.FINISHED)
        assert [row[0] for row in store.link.all("select run from tail")] == [store.row(short).id]
        assert len(store.history(short, "m")) == 10
        assert len(store.history(long, "m")) == 600


def test_folding_nothing_is_nothing(database: Database) -> None:
    with database.write() as tx:
        store = RunStore(tx)
        folding.fold(store.link, store.row(store.create_run("0")).id)
        assert sizes(store) == []
