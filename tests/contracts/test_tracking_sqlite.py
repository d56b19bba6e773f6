from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.tracking import TrackingContract
from headway.db.connection import Database, open_database
from headway.db.migrate import migrate


class TestTrackingOnSqlite(TrackingContract):
    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[Database]:
        found: Database = open_database(f"sqlite:///{tmp_path / 'headway.db'}")
        migrate(found)
        yield found
        found.close()
