"""Clean databases of both kinds: SQLite always, PostgreSQL where `tools/with-postgres` runs the tests."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from headway.db.connection import Database, open_database
from headway.db.migrate import migrate
from headway.errors import Conflict

POSTGRES = os.environ.get("HEADWAY_TEST_POSTGRES", "")
# Parameters of a fixture; without a server nothing is collected for it, rather than a skip per test.
DATABASES = ["sqlite", *([pytest.param("postgresql", marks=pytest.mark.postgres)] if POSTGRES else [])]
needs_postgres = pytest.mark.skipif(not POSTGRES, reason="HEADWAY_TEST_POSTGRES names no server: make test-postgres")


# Truncating a table makes new files and syncs them, so only those that have rows are; then all counters start again.
_EMPTY = """
do $$
declare
    each record;
    has_rows boolean;
    full_ones text := '';
begin
    for each in select tablename from pg_tables where schemaname = 'public' and tablename <> 'alembic_version' loop
        execute format('select exists (select 1 from %I)', each.tablename) into has_rows;
        if has_rows then full_ones := full_ones || format(', %I', each.tablename); end if;
    end loop;
    if full_ones <> '' then execute 'truncate ' || substr(full_ones, 3) || ' cascade'; end if;
    for each in select sequencename from pg_sequences where schemaname = 'public' and last_value is not null loop
        perform setval(format('%I', each.sequencename), 1, false);
    end loop;
end $$
"""


@contextlib.contextmanager
def clean_database(kind: str, folder: Path) -> Iterator[Database]:
    """Yield an empty database with the present schema; SQLite's file lies in `folder`."""
    if kind == "sqlite":
        path = folder / "headway.db"
        path.write_bytes(_template())
        database = open_database(f"sqlite:///{path}")
    else:
        database = open_database(POSTGRES)
        _prepare_postgres()
        with database.write() as tx:
            tx.execute(text(_EMPTY))
    try:
        yield database
    finally:
        database.close()


def sqlite_copy(folder: Path, name: str = "headway.db") -> str:
    """Put an empty SQLite database with the present schema into a folder and return its address."""
    path = folder / name
    path.write_bytes(_template())
    return f"sqlite:///{path}"


def empty_postgres() -> Database:
    """Open the PostgreSQL server's database without a single table."""
    database = open_database(POSTGRES)
    with database.write() as tx:
        tx.execute(text("drop schema public cascade"))
        tx.execute(text("create schema public"))
    _prepare_postgres.cache_clear()
    return database


def prepared(data: Path) -> Path:
    """Put an empty database into a data directory that has none, as a first start does, and return the directory."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (data / "headway.db").exists():
        sqlite_copy(data)
    return data


@functools.cache
def _template() -> bytes:
    """The file of an empty database, made once: making all tables costs more than most tests."""
    with tempfile.TemporaryDirectory() as folder:
        database = open_database(f"sqlite:///{folder}/headway.db")
        migrate(database)
        database.close()
        return (Path(folder) / "headway.db").read_bytes()


@functools.cache
def _prepare_postgres() -> None:
    """Bring a server that may have been used by an older schema to the present one, once per process."""
    database = open_database(POSTGRES)
    try:
        migrate(database)
    except Conflict:
        database.close()
        database = empty_postgres()
        migrate(database)
    database.close()
