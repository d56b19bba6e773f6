from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from headway.db.connection import open_database
from headway.db.migrate import migrate
from headway.tracking.store import RunStore


@pytest.fixture
def tx(tmp_path: Path) -> Iterator[Connection]:
    database = open_database(f"sqlite:///{tmp_path / 'h.db'}")
    migrate(database)
    with database.write() as connection:
        RunStore(connection).experiments.ensure_default()
        yield connection
    database.close()
