import os
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from contracts.tracking import TrackingContract
from headway.db.connection import Database, open_database
from headway.db.migrate import migrate
from headway.db.schema import metadata

URL = os.environ.get("HEADWAY_TEST_POSTGRES", "")


@pytest.mark.postgres
@pytest.mark.skipif(not URL, reason="HEADWAY_TEST_POSTGRES names no server")
class TestTrackingOnPostgres(TrackingContract):
    @pytest.fixture
    def database(self) -> Iterator[Database]:
        found = open_database(URL)
        migrate(found)
        with found.write() as tx:
            listed = ", ".join(f'"{table.name}"' for table in metadata.sorted_tables)
            tx.execute(text(f"truncate {listed} restart identity cascade"))
        yield found
        found.close()
