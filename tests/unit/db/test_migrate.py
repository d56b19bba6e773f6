"""Migrating is safe to repeat, to race, to kill, and to ask of a database that is not ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from fakes.databases import DATABASES, POSTGRES, empty_postgres
from headway.db import schema
from headway.db.connection import Database, open_database
from headway.db.events import record
from headway.db.migrate import migrate, schema_version
from headway.db.migrations import FOLDER, HEAD, VERSION_TABLE
from headway.errors import Conflict

AT = datetime(2026, 3, 1, tzinfo=UTC)
PATIENCE = 60.0

# What a later version might bring: a table that others refer to gets a column and loses one.
SECOND = """
import os, time
import sqlalchemy as sa
from alembic import op

revision = "0002_second"
down_revision = "0001_initial"
branch_labels = None
depends_on = None

def upgrade():
    op.create_table("shelf", sa.Column("id", sa.Integer(), primary_key=True))
    with op.batch_alter_table("job") as job:
        job.add_column(sa.Column("priority", sa.Integer(), nullable=False, server_default="7"))
        job.drop_column("superseded_by")
    op.execute("update job set priority = number")
    if os.environ.get("WAIT_IN"):
        open(os.environ["WAIT_IN"], "w").close()
        time.sleep(300)

def downgrade():
    with op.batch_alter_table("job") as job:
        job.add_column(sa.Column("superseded_by", sa.String(64)))
        job.drop_column("priority")
    op.drop_table("shelf")
"""

RUN = """
import sys
from pathlib import Path
from headway.db.connection import open_database
from headway.db.migrate import migrate
print("ready", flush=True)
sys.stdin.readline()
migrate(open_database(sys.argv[1]), to=sys.argv[2], folder=Path(sys.argv[3]))
print("done", "alembic" in sys.modules)
"""


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'h.db'}"
        return
    empty_postgres().close()
    yield POSTGRES
    empty_postgres().close()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    found = open_database(url)
    yield found
    found.close()


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """The steps of a version that is one further."""
    folder = tmp_path / "migrations"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "v0002_second.py").write_text(SECOND)
    return folder


def fill(database: Database, jobs: int = 40) -> None:
    with database.write() as tx:
        for number in range(1, jobs + 1):
            tx.execute(
                schema.job.insert().values(
                    id=f"J{number}", number=number, repo_id="r", project="p", plan_id="x", command_id=f"C{number}",
                    commit="c", branch="b", tier=1, actor="ada", engine="local", state="queued", desired="run",
                    queued_at=AT,
                )
            )  # fmt: skip
            tx.execute(
                schema.task.insert().values(
                    id=f"T{number}",
                    job_id=f"J{number}",
                    name="train",
                    position=0,
                    needs=(),
                    state="pending",
                    outputs=(),
                )
            )
            record(tx, "job", f"J{number}", to_state="queued", at=AT, actor="ada", detail={"number": number})


def rows(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table but for the column that goes and comes."""
    with database.read() as tx:
        return {
            table.name: sorted(
                tuple(row)
                for row in tx.execute(table.select().with_only_columns(*_kept(table)))  # type: ignore[attr-defined]
            )
            for table in (schema.job, schema.task, schema.event)
        }


def _kept(table: object) -> list[object]:
    return [column for column in table.c if column.name != "superseded_by"]  # type: ignore[attr-defined]


def start(url: str, to: str, folder: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, url, to, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def go(*processes: subprocess.Popen[str]) -> None:
    """Let all of them migrate as nearly at once as can be."""
    for each in processes:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in processes:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()


def test_a_database_at_the_head_is_let_through_without_alembic(url: str, database: Database) -> None:
    first, second = start(url, HEAD, FOLDER), start(url, HEAD, FOLDER)
    go(first)
    assert first.communicate(timeout=PATIENCE)[0] == "done True\n"
    go(second)
    assert second.communicate(timeout=PATIENCE)[0] == "done False\n"
    assert schema_version(database) == HEAD


def test_processes_that_start_at_once_migrate_once(url: str, database: Database, two: Path) -> None:
    processes = [start(url, "0002_second", two) for _ in range(3)]
    go(*processes)
    for each in processes:
        said, complaints = each.communicate(timeout=PATIENCE)
        assert (each.returncode, said[:4]) == (0, "done"), complaints
    assert schema_version(database) == "0002_second"


def test_up_down_up_keeps_every_row(database: Database, two: Path) -> None:
    migrate(database)
    fill(database)
    before = rows(database)
    migrate(database, to="0002_second", folder=two)
    assert rows(database) == before
    with database.read() as tx:
        assert tx.execute(text("select count(*) from job where priority = number")).scalar() == 40
        assert inspect(tx).has_table("shelf")
    migrate(database, to=HEAD, folder=two)
    assert rows(database) == before
    assert schema_version(database) == HEAD
    migrate(database, to="0002_second", folder=two)
    assert rows(database) == before


def test_foreign_keys_hold_after_a_migration_too(database: Database, two: Path) -> None:
    migrate(database)
    migrate(database, to="0002_second", folder=two)
    with pytest.raises(Exception, match=r"(?i)foreign key"), database.write() as tx:
        tx.execute(
            schema.task.insert().values(
                id="T", job_id="nobody", name="train", position=0, needs=(), state="pending", outputs=()
            )
        )


def test_a_migration_that_breaks_references_changes_nothing(database: Database, two: Path) -> None:
    migrate(database)
    fill(database)
    step = two / "v0002_second.py"
    step.write_text(SECOND.replace("update job set priority = number", "delete from job where number = 3"))
    if database.is_sqlite:  # PostgreSQL refuses the statement by itself
        with pytest.raises(Conflict, match="1 rows that refer to nothing; nothing was changed"):
            migrate(database, to="0002_second", folder=two)
    else:
        with pytest.raises(Exception, match="foreign key"):
            migrate(database, to="0002_second", folder=two)
    assert schema_version(database) == HEAD
    assert len(rows(database)["job"]) == 40


def test_kill_9_in_the_middle_leaves_the_old_schema_and_the_next_start_finishes(
    url: str, database: Database, two: Path, tmp_path: Path
) -> None:
    migrate(database)
    fill(database)
    before = rows(database)
    middle = tmp_path / "in the middle"
    process = start(url, "0002_second", two, WAIT_IN=str(middle))
    go(process)
    deadline = time.monotonic() + PATIENCE
    while not middle.exists():
        assert time.monotonic() < deadline, process.communicate(timeout=1)
        time.sleep(0.01)
    assert schema_version(database) == HEAD  # readers see the old one as long as it lasts
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert schema_version(database) == HEAD
    assert rows(database) == before
    with database.read() as tx:
        assert not inspect(tx).has_table("shelf")
    migrate(database, to="0002_second", folder=two)
    assert schema_version(database) == "0002_second"
    assert rows(database) == before
    if database.is_sqlite:
        with database.read() as tx:
            assert tx.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"


def test_a_newer_schema_is_refused_and_left_alone(database: Database, two: Path) -> None:
    migrate(database, to="0002_second", folder=two)
    before = schema_version(database)
    with pytest.raises(Conflict, match="schema 0002_second, which this version of Headway does not know") as caught:
        migrate(database)
    assert "up to 0001_initial" in caught.value.cause
    assert "install the newer version" in caught.value.hint
    assert schema_version(database) == before


def test_somebody_elses_tables_are_refused_and_left_alone(database: Database) -> None:
    with database.write() as tx:
        tx.execute(text("create table theirs (id integer)"))
    with pytest.raises(Conflict, match="1 tables and no schema version"):
        migrate(database)
    with database.read() as tx:
        assert VERSION_TABLE not in inspect(tx).get_table_names()
        assert inspect(tx).get_table_names() == ["theirs"]
