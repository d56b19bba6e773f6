import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from headway.db.connection import open_database
from headway.db.migrate import migrate
from headway.db.schema import metadata
from headway.tracking.store import RunStore

URL = os.environ.get("HEADWAY_TEST_POSTGRES", "")
ON_POSTGRES = [pytest.mark.postgres, pytest.mark.skipif(not URL, reason="HEADWAY_TEST_POSTGRES names no server")]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=ON_POSTGRES)])
def tx(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    """A write transaction on a fresh schema; both databases run the same tests."""
    database = open_database(URL if request.param == "postgresql" else f"sqlite:///{tmp_path / 'h.db'}")
    migrate(database)
    with database.write() as connection:
        if request.param == "postgresql":
            listed = ", ".join(f'"{table.name}"' for table in metadata.sorted_tables)
            connection.execute(text(f"truncate {listed} restart identity cascade"))
        RunStore(connection).experiments.ensure_default()
        yield connection
    database.close()
