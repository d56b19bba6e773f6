from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from fakes.databases import DATABASES, clean_database
from headway.tracking.store import RunStore


@pytest.fixture(params=DATABASES)
def tx(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    """A write transaction on an empty schema; both databases run the same tests."""
    with clean_database(request.param, tmp_path) as database, database.write() as connection:
        RunStore(connection).experiments.ensure_default()
        yield connection
