import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from headway.db.connection import open_database
from headway.db.migrate import migrate
from headway.db.schema import metadata
from headway.tracking.store import RunStore

URL = os.environ.get("HEADWAY_TEST_POSTGRES", "")
# `make test-postgres` names a server; elsewhere nothing is collected for it, rather than a skip per test.
DATABASES = ["sqlite", *([pytest.param("postgresql", marks=pytest.mark.postgres)] if URL else [])]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the schema: copied, since making forty tables costs more than most tests."""
    path = tmp_path_factory.mktemp("template") / "h.db"
    database = open_database(f"sqlite:///{path}")
    migrate(database)
    database.close()
    return path


@pytest.fixture(params=DATABASES)
def tx(request: pytest.FixtureRequest, tmp_path: Path, template: Path) -> Iterator[Connection]:
    """A write transaction on an empty schema; both databases run the same tests."""
    is_sqlite = request.param == "sqlite"
    if is_sqlite:
        shutil.copy(template, tmp_path / "h.db")
    database = open_database(f"sqlite:///{tmp_path / 'h.db'}" if is_sqlite else URL)
    if not is_sqlite:
        migrate(database)
    with database.write() as connection:
        if not is_sqlite:
            listed = ", ".join(f'"{table.name}"' for table in metadata.sorted_tables)
            connection.execute(text(f"truncate {listed} restart identity cascade"))
        RunStore(connection).experiments.ensure_default()
        yield connection
    database.close()
