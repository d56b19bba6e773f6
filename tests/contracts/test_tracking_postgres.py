import os
from collections.abc import Iterator

import pytest

from contracts.tracking import TrackingContract
from fakes.wire import empty_postgres
from headway.db.connection import Database

URL = os.environ.get("HEADWAY_TEST_POSTGRES", "")


@pytest.mark.postgres
@pytest.mark.skipif(not URL, reason="HEADWAY_TEST_POSTGRES names no server")
class TestTrackingOnPostgres(TrackingContract):
    @pytest.fixture
    def database(self) -> Iterator[Database]:
        found = empty_postgres(URL)
        yield found
        found.close()
