"""The disk of the data directory is full: writes are refused with 507, reads go on, and space that comes back heals."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select
from starlette.applications import Starlette
from starlette.routing import Mount

from fakes.jobs import AT
from fakes.small_disk import fill_up, small_disk
from headway.api.v1 import api_routes
from headway.app import App, open_app
from headway.db import schema
from headway.db.backup import DATABASE_NAME, back_up, restore
from headway.db.connection import open_database
from headway.db.events import record
from headway.db.migrate import migrate, schema_version
from headway.errors import StorageFull
from headway.settings import Settings
from headway.tracking.model import Metric
from headway.tracking.store import RunStore
from headway.tracking.writer import Writer

pytestmark = pytest.mark.chaos
SIZE_MB = 16


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for 16 MB."""
    with small_disk(tmp_path / "small", megabytes=SIZE_MB) as folder:
        yield folder


@pytest.fixture
def app(small: Path) -> Iterator[App]:
    opened = open_app(Settings(data=small, auth="none"))
    yield opened
    opened.close()


def events(app: App) -> int:
    with app.database.read() as tx:
        return int(tx.execute(select(func.count()).select_from(schema.event)).scalar_one())


def ask(app: App, method: str, path: str, **more: Any) -> httpx.Response:
    """Put one request to the API."""

    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(Starlette(routes=[Mount("/api/v1", routes=api_routes(app))]))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, f"/api/v1/{path}", **more)

    return asyncio.run(once())


def write_until_full(app: App) -> int:
    """Write rows, each acknowledged by its own commit, until one is refused; return how many were kept."""
    kept = 0

    def write() -> None:
        nonlocal kept
        while kept < 100_000:
            with app.database.write() as tx:
                record(tx, "row", str(kept), to_state="kept", at=AT, actor="ada", detail="y" * 2000)
            kept += 1

    with pytest.raises(StorageFull) as refused:
        write()
    assert refused.value.status == 507
    assert "free space" in refused.value.hint
    return kept


def test_writes_are_refused_reads_go_on_and_freed_space_heals(app: App) -> None:
    filler = fill_up(app.data)
    before = events(app)
    kept = write_until_full(app)
    for _ in range(5):  # it stays so, and stays so said
        with pytest.raises(StorageFull), app.database.write() as tx:
            record(tx, "row", "more", to_state="kept", at=AT, actor="ada", detail="y" * 2000)
    assert events(app) == before + kept  # what was acknowledged, no more and no less
    filler.unlink()
    with app.database.write() as tx:  # no restart
        record(tx, "row", "after", to_state="kept", at=AT, actor="ada", detail="y" * 2000)
    assert events(app) == before + kept + 1
    with app.database.read() as tx:
        assert tx.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"


def test_a_block_that_fills_the_disk_leaves_nothing_of_itself(app: App) -> None:
    before = events(app)

    def too_much() -> None:
        with app.database.write() as tx:
            for number in range(20_000):
                record(tx, "row", str(number), to_state="kept", at=AT, actor="ada", detail="y" * 2000)

    with pytest.raises(StorageFull):
        too_much()
    assert events(app) == before
    with app.database.write() as tx:  # its own half-written rows were what filled it
        record(tx, "row", "after", to_state="kept", at=AT, actor="ada")
    assert events(app) == before + 1


def test_the_api_answers_507_and_reads_200(app: App) -> None:
    filler = fill_up(app.data)
    write_until_full(app)

    def put() -> httpx.Response:
        return ask(app, "PUT", "repos/r/secrets/KEY", json={"value": "v" * 30_000})

    refused = put()
    assert refused.status_code == 507, refused.text
    assert "the disk is full: nothing was saved" in refused.text
    assert "headway server clean" in refused.text
    assert ask(app, "GET", "jobs").status_code == 200
    assert ask(app, "GET", "repos/r/secrets").json() == []
    filler.unlink()
    assert put().status_code == 200
    assert ask(app, "GET", "repos/r/secrets").json() == ["KEY"]


def test_tracking_refuses_and_recovers_with_its_caches_right(app: App) -> None:
    writer = Writer(app.database)
    writer.start()
    try:
        run = writer.call(lambda store: store.create_run("0"))
        filler = fill_up(app.data)
        kept = 0

        def log() -> None:
            nonlocal kept
            while kept < 100_000:
                points = [Metric(f"m{kept}", 0.5, step, step) for step in range(200)]
                writer.call(lambda store, points=points: store.log_metrics(run, points))
                kept += 1

        with pytest.raises(StorageFull):
            log()
        with app.database.read() as tx:
            assert len(RunStore(tx).get(run).metrics) == kept
        filler.unlink()
        writer.call(lambda store: store.log_metrics(run, [Metric(f"m{kept}", 1.0, 1, 1), Metric("new", 2.0, 1, 1)]))
        with app.database.read() as tx:
            found = RunStore(tx).get(run).metrics
            assert len(found) == kept + 2
            assert found["new"].value == 2.0
    finally:
        writer.stop()


def test_backup_restore_and_migration_say_where_there_is_no_room(app: App, small: Path, tmp_path: Path) -> None:
    with app.database.write() as tx:
        for number in range(200):
            record(tx, "row", str(number), to_state="kept", at=AT, actor="ada", detail="y" * 500)
    back_up(app.database, app.data, tmp_path / "backup")
    filler = fill_up(small)
    with pytest.raises(StorageFull, match="backup is full"):
        back_up(app.database, app.data, small / "backup")
    assert not (small / "backup" / DATABASE_NAME).exists()
    with pytest.raises(StorageFull, match="restored is full"):
        restore(tmp_path / "backup", small / "restored")
    assert not (small / "restored" / DATABASE_NAME).exists()
    (small / "new").touch()  # a name has room, a table has not
    fresh = open_database(f"sqlite:///{small / 'other.db'}")
    with pytest.raises(StorageFull):
        migrate(fresh)
    filler.unlink()
    migrate(fresh)
    assert schema_version(fresh) == schema_version(app.database)
    fresh.close()
    assert restore(tmp_path / "backup", small / "restored").files >= 1
