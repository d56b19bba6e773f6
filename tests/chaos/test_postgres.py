"""PostgreSQL is restarted again and again while writers work: nothing acknowledged is lost, no step by hand."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import func, select, text

from fakes.databases import POSTGRES, clean_database, needs_postgres
from fakes.jobs import AT, plan_with, queue
from fakes.postgres_control import CONTROL, control
from headway.app import open_app
from headway.db import schema
from headway.db.connection import Database, open_database
from headway.db.events import record
from headway.errors import Conflict, Unreachable
from headway.flow import deliver
from headway.flow.background import Background
from headway.jobs.store import JobStore
from headway.settings import Settings
from headway.tracking.store import RunStore
from headway.tracking.writer import Writer

PATIENCE = 60.0
RESTARTS = 3
T = TypeVar("T")

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.chaos,
    needs_postgres,
    pytest.mark.skipif(not CONTROL, reason="HEADWAY_TEST_POSTGRES_CTL does not say how to restart it"),
]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with clean_database("postgresql", tmp_path) as found:
        yield found
    control("restart", "fast")  # whatever a test did to it


def test_restarts_under_load_lose_nothing_that_was_acknowledged(database: Database) -> None:
    acknowledged: list[str] = []
    refused: list[str] = []
    stop = threading.Event()

    def write(writer: int) -> None:
        number = 0
        while not stop.is_set():
            try:
                with database.write() as tx:
                    record(tx, "row", f"{writer}-{number}", to_state="kept", at=AT, actor="ada")
                acknowledged.append(f"{writer}-{number}")
            except Unreachable as error:
                refused.append(error.cause)
                time.sleep(0.01)
            number += 1  # a commit that was lost half-way may have been kept: its number is not used again

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, writer) for writer in range(4)]
        try:
            for _ in range(RESTARTS):
                wait_for_more(acknowledged, 40)
                control("restart")
            wait_for_more(acknowledged, 40)
        finally:
            stop.set()
        for each in writers:
            each.result(PATIENCE)  # any other error than Unreachable would come out here
    with database.read() as tx:
        kept = tx.execute(select(schema.event.c.entity_id)).scalars().all()
    assert len(kept) == len(set(kept))
    assert set(acknowledged) <= set(kept)
    assert refused


def test_readers_and_writers_hear_that_it_is_away_and_go_on_when_it_is_back(database: Database) -> None:
    with database.write() as tx:
        queue(tx, plan_with({"train": ()}))
    control("stop")
    try:
        for ask in (database.read, database.write):
            with pytest.raises(Unreachable, match="the database does not answer"), ask() as tx:
                JobStore(tx).unfinished()
    finally:
        control("start")
    with database.read() as tx:
        assert [job.number for job in JobStore(tx).unfinished()] == [1]


def test_a_server_that_goes_in_the_middle_of_a_block_keeps_nothing_of_it(database: Database) -> None:
    def act() -> None:
        with database.write() as tx:
            queue(tx, plan_with({"train": ()}))
            control("restart")
            JobStore(tx).unfinished()

    with pytest.raises(Unreachable):
        act()
    with database.read() as tx:
        assert JobStore(tx).unfinished() == []
    with database.write() as tx:
        assert queue(tx, plan_with({"train": ()})).number == 1


def wait_for_more(acknowledged: list[str], count: int) -> None:
    wanted = len(acknowledged) + count
    deadline = time.monotonic() + PATIENCE
    while len(acknowledged) < wanted:
        assert time.monotonic() < deadline, "writing did not go on"
        time.sleep(0.01)


def test_a_database_has_one_server(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headway.tracking.writer._PATIENCE", 0.3)
    first, other = Writer(database), open_database(POSTGRES)
    second = Writer(other)
    first.start()
    try:
        with pytest.raises(Conflict, match="another server writes to this database") as refused:
            second.start()
        assert "PostgreSQL's process" in refused.value.cause
        control("restart")  # ours must have it back before it writes again
        run = patiently(lambda: first.call(lambda store: store.create_run("0")))
        with pytest.raises(Conflict):
            second.start()
        first.stop()
        second.start()
        assert second.call(lambda store: store.get(run).info.run_id) == run
    finally:
        first.stop()
        second.stop()
        other.close()


def test_a_server_that_was_replaced_writes_nothing_and_says_so(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headway.tracking.writer._PATIENCE", 0.3)
    replaced = threading.Event()
    first, other = Writer(database, on_replaced=replaced.set), open_database(POSTGRES)
    first.start()
    try:
        lane = other.lane(is_writer=True)
        with database.write() as tx:  # as after a broken network: its connection ends, and another is quicker
            tx.execute(
                text(
                    "select pg_terminate_backend(pid, 5000) from pg_locks "
                    "where locktype = 'advisory' and objid = 1214603621"
                )
            )
        patiently(lambda: lane.claim() == "" or None)
        for _ in range(2):  # the first may only find the connection broken
            with pytest.raises(Unreachable):
                first.call(lambda store: store.create_run("0"))
        assert replaced.is_set()
        lane.discard()
        first.call(lambda store: store.create_run("0"))  # the other has gone
        with database.read() as tx:
            assert RunStore(tx).link.one("select count(*) from run") == (1,)
    finally:
        first.stop()
        other.close()


def test_a_second_server_says_that_there_is_one(database: Database, tmp_path: Path) -> None:
    writer = Writer(database)
    writer.start()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADWAY_")}
    environment |= {"HEADWAY_DATA": str(tmp_path / "data"), "HEADWAY_PORT": "0", "HEADWAY_DATABASE": POSTGRES}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "headway.cli.main", "server", "start"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    finally:
        writer.stop()
    assert done.returncode == 1
    assert "another server writes to this database" in done.stderr
    assert "HEADWAY_DATABASE" in done.stderr
    assert not (tmp_path / "data" / "server.json").exists()


def test_a_job_is_told_although_a_run_with_a_later_number_was_there_first(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(deliver, "_report", lambda _app, job, _now: seen.append(job.number))
    writer = Writer(database)
    writer.start()
    app = open_app(Settings(data=tmp_path / "data", database=POSTGRES))
    background = Background(threads=1)
    try:
        with ThreadPoolExecutor(1) as pool:
            with database.write() as tx:
                queue(tx, plan_with({"train": ()}))
                writer.call(lambda store: store.create_run("0"))  # a later number, and there at once
                telling = pool.submit(deliver.step, app, background)
                concurrent.futures.wait([telling], timeout=1)
            telling.result(PATIENCE)
        with database.read() as tx:
            told = tx.execute(select(schema.outbox.c.told_seq).where(schema.outbox.c.coalesce_key == deliver.ALL))
            latest = tx.execute(select(func.max(schema.event.c.seq))).scalar_one()
            assert told.scalar_one() == latest
        assert seen == [1]
    finally:
        background.close()
        app.close()
        writer.stop()


def patiently(ask: Callable[[], T | None]) -> T:
    """Ask again while the server comes up."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(Unreachable):
            if (found := ask()) is not None:
                return found
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)
