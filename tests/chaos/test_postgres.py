"""PostgreSQL is restarted again and again while writers work: nothing acknowledged is lost, no step by hand."""

from __future__ import annotations

import os
import shlex
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select

from fakes.databases import clean_database, needs_postgres
from fakes.jobs import AT, plan_with, queue
from headway.db import schema
from headway.db.connection import Database
from headway.db.events import record
from headway.errors import Unreachable
from headway.jobs.store import JobStore

CONTROL = os.environ.get("HEADWAY_TEST_POSTGRES_CTL", "")
PATIENCE = 60.0
RESTARTS = 3

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


def control(what: str, mode: str = "immediate") -> None:
    """Start, stop or restart the server; `immediate` is its kill -9."""
    how = [*shlex.split(CONTROL), "-s", what] + ([] if what == "start" else ["-m", mode])
    subprocess.run(how, check=True, cwd="/", stdout=subprocess.DEVNULL)


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
