from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.stores import StoresContract
from fakes.databases import clean_database
from headway.db.connection import Database


class TestStoresOnSqlite(StoresContract):
    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[Database]:
        with clean_database("sqlite", tmp_path) as found:
            yield found
