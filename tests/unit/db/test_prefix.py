"""Ids by their first characters: the same rows as by looking at each, found through the index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from fakes.databases import DATABASES, clean_database
from headway.db import schema
from headway.db.connection import Database
from headway.db.prefix import begins_with

_IDS = [
    "abcdef",
    "abcdef0",
    "abcdefz",
    "abcdefZ",
    "abcdef-1",
    "abcdef_1",
    "ABCDEF1",
    "abcdeg",
    "abcde",
    "zzzzzz",
    "z" * 32,
    "ab-cdef1",
    "0" * 32,
]


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with clean_database(request.param, tmp_path) as found:
        with found.write() as tx:
            exp = {"id": 1, "name": "e", "artifact_location": "x", "stage": "active"}
            tx.execute(insert(schema.experiment).values(**exp, creation_time=1, last_update_time=1))
            row = {"exp": 1, "name": "", "user_id": "", "status": "FINISHED", "start_time": 1, "stage": "active"}
            tx.execute(insert(schema.run), [{**row, "uuid": each, "version": 1} for each in _IDS])
        yield found


@pytest.mark.parametrize(
    "text", ["abcdef", "abcdefz", "zzzzzz", "ABCDEF", "ab-cde", "abcdef-", "000000", "nobody", "%"]
)
def test_what_begins_so_is_found(database: Database, text: str) -> None:
    with database.read() as tx:
        found = tx.execute(select(schema.run.c.uuid).where(begins_with(schema.run.c.uuid, text))).scalars().all()
    assert sorted(found) == sorted(each for each in _IDS if each.startswith(text))


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_table_is_not_read_through(database: Database) -> None:
    query = select(schema.run.c.uuid).where(begins_with(schema.run.c.uuid, "abcdef"))
    with database.read() as tx:
        plan = tx.exec_driver_sql(
            "explain query plan " + str(query.compile(tx, compile_kwargs={"literal_binds": True}))
        ).all()
    assert all("SEARCH run USING" in str(step) for step in plan)
