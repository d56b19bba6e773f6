from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.tracking import TrackingContract
from fakes.databases import clean_database, needs_postgres
from headway.db.connection import Database


@pytest.mark.postgres
@needs_postgres
class TestTrackingOnPostgres(TrackingContract):
    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[Database]:
        with clean_database("postgresql", tmp_path) as found:
            yield found
