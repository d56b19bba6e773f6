"""A backup is made while all goes on, holds everything acknowledged before it, and a restore starts nothing twice."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from fakes.attempts import Attempts
from fakes.databases import sqlite_copy
from fakes.jobs import AT, launch_of, plan_with, queue
from headway.db import schema
from headway.db.backup import DATABASE_NAME, BackupReport, back_up, restore
from headway.db.connection import Database, open_database
from headway.db.events import record
from headway.db.migrate import migrate
from headway.engines.base import Alive, Lost
from headway.engines.local import LocalEngine
from headway.errors import Conflict, NotFound, NotThereYet
from headway.jobs import advance
from headway.jobs.model import AttemptState, TaskState
from headway.jobs.store import JobStore
from headway.sandbox.isolation import IsolationReport

PATIENCE = 60.0
PLAIN = IsolationReport(level=0, reasons=("not asked for in this test",))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def database(data: Path) -> Iterator[Database]:
    found = open_database(sqlite_copy(data))
    yield found
    found.close()


def put(data: Path, name: str, content: bytes) -> None:
    path = data / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def noted(database: Database) -> set[int]:
    """The numbers that events were written for."""
    with database.read() as tx:
        return {int(each) for each in tx.execute(select(schema.event.c.entity_id)).scalars()}


def intact(path: Path) -> bool:
    database = sqlite3.connect(path)
    try:
        return bool(database.execute("PRAGMA integrity_check").fetchone()[0] == "ok")
    finally:
        database.close()


def laid_out(backup: Path, data: Path, report: BackupReport) -> set[int]:
    """Restore a backup, look at all of it, and return the numbers that its events were written for."""
    assert restore(backup, data).files == report.files
    assert intact(data / DATABASE_NAME)
    opened = open_database(f"sqlite:///{data / DATABASE_NAME}")
    migrate(opened)
    kept = noted(opened)
    opened.close()
    assert kept == set(range(len(kept)))  # a prefix of what was written: no gap
    for row in kept:  # every file that the database may name is there
        assert (data / "artifacts" / str(row % 50) / str(row)).exists()
    return kept


def come_and_go(data: Path, stop: threading.Event) -> None:
    """Somebody cleans up meanwhile: files vanish between listing and copying."""
    while not stop.is_set():
        for folder in sorted((data / "contents").glob("*")):
            shutil.rmtree(folder, ignore_errors=True)
        for number in range(20):
            put(data, f"contents/{number}/file", b"z")


def test_everything_acknowledged_before_a_backup_is_in_it_while_writers_go_on(
    database: Database, data: Path, tmp_path: Path
) -> None:
    acknowledged: list[int] = []
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            put(data, f"artifacts/{number % 50}/{number}", b"x" * 100)
            with database.write() as tx:
                record(tx, "row", str(number), to_state="kept", at=AT, actor="ada", detail="y" * 500)
            acknowledged.append(number)
            number += 1

    threads = [threading.Thread(target=write), threading.Thread(target=come_and_go, args=(data, stop))]
    for thread in threads:
        thread.start()
    try:
        for number in range(3):
            deadline = time.monotonic() + PATIENCE
            while len(acknowledged) < 20 * (number + 1) and time.monotonic() < deadline:
                time.sleep(0.005)
            before = list(acknowledged)
            report = back_up(database, data, tmp_path / f"backup{number}")
            kept = laid_out(tmp_path / f"backup{number}", tmp_path / f"restored{number}", report)
            assert set(before) <= kept
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)


def test_a_backup_holds_the_private_files_and_only_its_owner_may_read_it(
    database: Database, data: Path, tmp_path: Path
) -> None:
    put(data, "admin-token", b"hw_secret")
    put(data, "environments/e/bin/python", b"made again from the lock file")
    put(data, "attempts/A/log", b"of this machine")
    put(data, "contents/ab/cd", b"model")
    put(data, "contents/#incoming/ef", b"not complete")
    report = back_up(database, data, tmp_path / "backup")
    found = {str(path.relative_to(tmp_path / "backup")) for path in (tmp_path / "backup").rglob("*") if path.is_file()}
    assert found == {"headway.db", "admin-token", "contents/ab/cd"}
    assert report.files == 3
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "backup" / DATABASE_NAME).stat().st_mode & 0o777 == 0o600


def test_a_copy_that_was_killed_is_no_backup(database: Database, data: Path, tmp_path: Path) -> None:
    for number in range(400):
        put(data, f"artifacts/{number}", b"x" * 20_000)
    code = (
        "import sys; from pathlib import Path; from headway.db.backup import back_up;"
        "from headway.db.connection import open_database;"
        "back_up(open_database(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))"
    )
    target = tmp_path / "backup"
    process = subprocess.Popen([sys.executable, "-c", code, str(database.engine.url), str(data), str(target)])
    deadline = time.monotonic() + PATIENCE
    while not (target / "artifacts").exists() and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE)
    if (target / DATABASE_NAME).exists():
        pytest.skip("it was done before it could be killed")
    with pytest.raises(NotFound, match="holds no backup"):
        restore(target, tmp_path / "restored")
    assert not (tmp_path / "restored" / DATABASE_NAME).exists()


def test_nothing_is_written_over(database: Database, data: Path, tmp_path: Path) -> None:
    back_up(database, data, tmp_path / "backup")
    with pytest.raises(Conflict, match="is not empty"):
        back_up(database, data, tmp_path / "backup")
    before = (data / DATABASE_NAME).read_bytes()
    with pytest.raises(Conflict, match="holds a database already"):
        restore(tmp_path / "backup", data)
    assert (data / DATABASE_NAME).read_bytes() == before


@pytest.mark.parametrize("damage", ["head", "middle"])
def test_a_damaged_backup_is_refused_and_leaves_no_database(
    database: Database, data: Path, tmp_path: Path, damage: str
) -> None:
    with database.write() as tx:
        for number in range(200):
            record(tx, "row", str(number), to_state="kept", at=AT, actor="ada", detail="y" * 500)
    back_up(database, data, tmp_path / "backup")
    path = tmp_path / "backup" / DATABASE_NAME
    content = bytearray(path.read_bytes())
    start = 0 if damage == "head" else len(content) // 2
    content[start : start + 40_000] = os.urandom(40_000)
    path.write_bytes(content)
    with pytest.raises(Conflict, match="is damaged"):
        restore(tmp_path / "backup", tmp_path / "restored")
    assert list((tmp_path / "restored").iterdir()) == []


def test_postgresql_is_told_what_to_do_instead(tmp_path: Path) -> None:
    database = open_database("postgresql://nobody@/nothing")
    with pytest.raises(NotThereYet) as caught:
        back_up(database, tmp_path, tmp_path / "backup")
    assert "pg_dump" in caught.value.hint


def test_a_restored_directory_neither_adopts_nor_starts_what_lives_in_the_first(
    database: Database, data: Path, tmp_path: Path
) -> None:
    """The first goes on as if nothing had happened; the second finds its attempts lost and tries again, once."""
    attempts = Attempts(data, PLAIN)
    spec = attempts.spec("import time\ntime.sleep(120)\n")
    with database.write() as tx:
        job = queue(tx, plan_with({"running": (), "recorded": ()}))
        advance.admit(tx, job, AT)
        advance.open_tasks(tx, JobStore(tx).tasks(job.id), AT)
        running, recorded = JobStore(tx).tasks(job.id)
        advance.launch(tx, running, launch_of(running, attempt_id=spec.id, directory=spec.directory), AT)
        unborn = launch_of(recorded, attempt_id="UNBORN", directory=str(data / "attempts" / "UNBORN"))
        advance.launch(tx, recorded, unborn, AT)
    handle = attempts.engine.start(spec)
    try:
        seen = attempts.wait_alive(handle)
        with database.write() as tx:
            mine = next(each for each in JobStore(tx).live_attempts() if each.id == spec.id)
            advance.started(tx, mine, handle)
            advance.observe(tx, JobStore(tx).task(running.id), mine, seen, AT)
        back_up(database, data, tmp_path / "backup")
        second = tmp_path / "second"
        restore(tmp_path / "backup", second)
        (second / "attempts").mkdir()
        engine = LocalEngine(second / "attempts", isolation=PLAIN)
        opened = open_database(f"sqlite:///{second / DATABASE_NAME}")
        with opened.write() as tx:
            store = JobStore(tx)
            live = store.live_attempts()
            assert {each.id: each.state for each in live} == {
                spec.id: AttemptState.RUNNING,
                "UNBORN": AttemptState.LAUNCHING,
            }
            for each in live:
                assert each.handle is not None  # so it is looked at, never started
                assert Path(each.directory) == second / "attempts" / each.id
                lost = engine.observe(each.handle)
                assert isinstance(lost, Lost)
                assert advance.observe(tx, store.task(each.task_id), each, lost, AT)
            assert store.live_attempts() == []
            assert [task.state for task in store.tasks(job.id)] == [TaskState.READY, TaskState.READY]
            assert [task.attempts for task in store.tasks(job.id)] == [1, 1]  # the next one is number 2
        opened.close()
        assert list((second / "attempts").iterdir()) == []
        assert isinstance(attempts.engine.observe(handle), Alive)  # the first lives on
        with database.read() as tx:
            assert tx.execute(select(func.count()).where(schema.attempt.c.state == "running")).scalar() == 1
    finally:
        attempts.engine.stop(handle)
        attempts.wait(handle, lambda seen: not isinstance(seen, Alive))
