from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.tracking import TrackingContract
from fakes.databases import clean_database
from headway.db.connection import Database


class TestTrackingOnSqlite(TrackingContract):
    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[Database]:
        with clean_database("sqlite", tmp_path) as found:
            yield found
