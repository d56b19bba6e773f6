"""Connections are kept by threads, and given back when their threads are gone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from headway.db.connection import Database, open_database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = open_database(f"sqlite:///{tmp_path / 'headway.db'}")
    yield found
    found.close()


def _read(database: Database, found: list[int]) -> None:
    with database.quick_read() as tx:
        found.append(tx.execute(text("select 1")).scalar_one())


def test_threads_that_end_leave_no_connection_taken(database: Database) -> None:
    """A server's threads come and go with its traffic: each would take one of the pool's connections along."""
    found: list[int] = []
    for _ in range(60):  # more than the pool has
        thread = threading.Thread(target=_read, args=(database, found))
        thread.start()
        thread.join(timeout=60)
    assert found == [1] * 60
    assert database.engine.pool.checkedout() <= 1  # type: ignore[attr-defined]  # a QueuePool's


def test_a_thread_that_lives_keeps_its_own(database: Database) -> None:
    with database.quick_read() as tx:
        first = tx
    other: list[int] = []
    thread = threading.Thread(target=_read, args=(database, other))
    thread.start()
    thread.join(timeout=60)
    with database.quick_read() as tx:
        assert tx is first


def _close_under_a_reader(database: Database) -> None:
    with database.quick_read():
        database.close()
        raise KeyError("mine")


def test_closing_while_a_thread_reads_hides_no_error_of_its_own(database: Database) -> None:
    with pytest.raises(KeyError, match="mine"):
        _close_under_a_reader(database)


def test_closing_leaves_a_reader_in_another_thread_its_connection(database: Database) -> None:
    """SQLite frees what it works on with the connection: closing one in use ended the whole process."""
    reads, closed, found = threading.Event(), threading.Event(), []

    def slow() -> None:
        with database.quick_read() as tx:
            reads.set()
            closed.wait(60)
            found.append(tx.execute(text("select 2")).scalar_one())

    thread = threading.Thread(target=slow)
    thread.start()
    reads.wait(60)
    database.close()
    closed.set()
    thread.join(60)
    assert found == [2]
