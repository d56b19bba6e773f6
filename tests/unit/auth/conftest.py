from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from headway.db.connection import Database, open_database
from headway.db.migrate import migrate
from headway.db.schema import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

URL = os.environ.get("HEADWAY_TEST_POSTGRES", "")
# `make test-postgres` names a server; elsewhere nothing is collected for it, rather than a skip per test.
DATABASES = ["sqlite", *([pytest.param("postgresql", marks=pytest.mark.postgres)] if URL else [])]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "h.db"
    database = open_database(f"sqlite:///{path}")
    migrate(database)
    database.close()
    return path


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path, template: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        shutil.copy(template, tmp_path / "h.db")
        opened = open_database(f"sqlite:///{tmp_path / 'h.db'}")
    else:
        opened = open_database(URL)
        migrate(opened)
        with opened.write() as tx:
            listed = ", ".join(f'"{table.name}"' for table in metadata.sorted_tables)
            tx.execute(text(f"truncate {listed} restart identity cascade"))
    yield opened
    opened.close()
