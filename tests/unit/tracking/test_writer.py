import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.databases import sqlite_copy
from headway.db.connection import Database, open_database
from headway.errors import NotFound, Unreachable
from headway.tracking.store import RunStore
from headway.tracking.writer import Writer


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = open_database(sqlite_copy(tmp_path))
    yield found
    found.close()


@pytest.fixture
def writer(database: Database) -> Iterator[Writer]:
    found = Writer(database)
    found.start()
    yield found
    found.stop()


def commits(database: Database) -> int:
    with database.read() as tx:
        row = RunStore(tx).link.one("select count(*) from run")
        return int(row[0]) if row else 0


def test_what_waits_together_is_committed_together(database: Database, writer: Writer) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(store: RunStore) -> str:
        begun.set()
        go_on.wait(30)
        return store.create_run("0")

    first = writer.submit(slow)
    begun.wait(30)
    seen: list[int] = []

    def watched(store: RunStore) -> str:
        seen.append(commits(database))  # another connection: it sees what is committed
        return store.create_run("0")

    others = [writer.submit(watched) for _ in range(10)]
    go_on.set()
    assert len({first.result(30), *(other.result(30) for other in others)}) == 11
    assert seen == [1] * 10
    assert commits(database) == 11


def test_a_coroutine_gets_its_answer_after_the_commit(database: Database, writer: Writer) -> None:
    async def ask() -> tuple[int, int]:
        await asyncio.gather(*(writer.run(lambda store: store.create_run("0")) for _ in range(5)))
        with pytest.raises(NotFound):
            await writer.run(lambda store: store.get("nope"))
        lost = asyncio.ensure_future(writer.run(lambda store: store.create_run("0")))
        await asyncio.sleep(0)
        lost.cancel()  # a client that went away
        kept = commits(database)
        await writer.run(lambda store: store.create_run("0"))
        return kept, commits(database)

    kept, after = asyncio.run(ask())
    assert kept >= 5
    assert after == 7


def test_a_stopped_writer_refuses_and_leaves_nobody_waiting(database: Database) -> None:
    writer = Writer(database)
    with pytest.raises(Unreachable):
        writer.call(lambda store: store.create_run("0"))
    writer.start()
    futures = [writer.submit(lambda store: store.create_run("0")) for _ in range(20)]
    writer.stop()
    assert all(future.done() for future in futures)
    assert commits(database) == 20
    with pytest.raises(Unreachable):
        writer.submit(lambda store: store.create_run("0"))


def test_a_caller_that_gave_up_does_not_stop_the_thread(writer: Writer) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(_store: RunStore) -> None:
        begun.set()
        go_on.wait(30)

    writer.submit(slow)
    begun.wait(30)
    assert writer.submit(lambda store: store.create_run("0")).cancel()
    go_on.set()
    assert writer.call(lambda store: store.create_run("0"))
