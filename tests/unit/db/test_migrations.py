"""The migrations and schema.py say the same, on both databases, forwards and back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from fakes.databases import DATABASES, empty_postgres
from headway.db.connection import Database, open_database
from headway.db.migrate import migrate, schema_version
from headway.db.migrations import FOLDER, HEAD, VERSION_TABLE
from headway.db.partial_indexes import metadata


@pytest.fixture(params=DATABASES)
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of each kind without a single table."""
    database = open_database(f"sqlite:///{tmp_path / 'h.db'}") if request.param == "sqlite" else empty_postgres()
    yield database
    database.close()
    if request.param != "sqlite":
        empty_postgres().close()


def test_the_newest_file_is_the_head_and_there_is_one_line_of_history() -> None:
    scripts = ScriptDirectory(str(FOLDER), version_locations=[str(FOLDER)])
    assert scripts.get_heads() == [HEAD]
    assert len(list(scripts.walk_revisions())) == len(list(FOLDER.glob("v*.py")))


@pytest.mark.filterwarnings("ignore:autogenerate skipping:UserWarning")
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection")  # the next test compares that index too
def test_autogenerate_finds_no_difference(bare: Database) -> None:
    migrate(bare)
    with bare.read() as tx:
        context = MigrationContext.configure(tx, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == [], "run tools/first-migration"


def test_migrated_tables_are_those_of_the_schema_down_to_each_constraint(bare: Database) -> None:
    migrate(bare)
    migrated = written_down(bare)
    migrate(bare, to="base")
    with bare.write() as tx:
        metadata.create_all(tx)
    assert migrated == written_down(bare), "run tools/first-migration"
    assert len(migrated) > 60


def test_down_leaves_nothing_and_up_again_everything(bare: Database) -> None:
    migrate(bare)
    before = written_down(bare)
    migrate(bare, to="base")
    assert written_down(bare) == []
    assert schema_version(bare) is None
    with bare.read() as tx:
        assert inspect(tx).get_table_names() == [VERSION_TABLE]
    migrate(bare)
    assert written_down(bare) == before
    assert schema_version(bare) == HEAD


def written_down(database: Database) -> list[str]:
    """Everything that a database knows of its tables, as sorted text."""
    with database.read() as tx:
        if database.is_sqlite:
            ours = "sql is not null and name not like 'sqlite%'"
            rows = tx.execute(text(f"select type, name, sql from sqlite_master where {ours}")).all()
            found = [f"{kind} {name}: {_sorted(sql)}" for kind, name, sql in rows]
        else:
            found = [" ".join(map(str, row)) for query in _CATALOGUE for row in tx.execute(text(query))]
    return sorted(each for each in found if VERSION_TABLE not in each)


def _sorted(sql: str) -> str:
    # The order of constraints inside a table means nothing.
    return " | ".join(sorted(re.sub(r",$", "", line.strip()) for line in sql.splitlines()))


_CATALOGUE = (
    """
    select table_name, column_name, data_type, character_maximum_length, is_nullable, column_default
    from information_schema.columns where table_schema = 'public'
    """,
    """
    select conrelid::regclass, conname, pg_get_constraintdef(oid)
    from pg_constraint where connamespace = 'public'::regnamespace
    """,
    "select tablename, indexname, indexdef from pg_indexes where schemaname = 'public'",
)
