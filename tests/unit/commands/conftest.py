from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fakes.databases import DATABASES, clean_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headway.db.connection import Database


@pytest.fixture(params=DATABASES)
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each kind."""
    with clean_database(request.param, tmp_path) as opened:
        yield opened
