"""Walk a database from one schema to another: one process at a time, all steps or none."""

from __future__ import annotations

import contextlib
import fcntl
from pathlib import Path
from typing import TYPE_CHECKING

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from headway.db.migrations import VERSION_TABLE
from headway.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.script import Script
    from sqlalchemy import Connection

    from headway.db.connection import Database


def revise(database: Database, *, to: str, folder: Path) -> None:
    """Take every step between the schema that a database has and `to`, forwards or back, in one transaction."""
    scripts = ScriptDirectory(str(folder), version_locations=[str(folder)])
    steps = list(reversed(list(scripts.walk_revisions())))  # oldest first; our history has no branches
    with _alone(database) as connection:
        context = MigrationContext.configure(connection)
        has = context.get_current_revision()
        _check(connection, has, steps)
        with Operations.context(context):
            here, there = _place(steps, has), _place(steps, to)
            for step in steps[here:there]:
                step.module.upgrade()
            for step in reversed(steps[there:here]):
                step.module.downgrade()
        context.stamp(scripts, to)


def _place(steps: list[Script], revision: str | None) -> int:
    """Return how many steps lead to a schema; nothing and "base" are the empty database."""
    names = [step.revision for step in steps]
    return names.index(revision) + 1 if revision in names else 0


def _check(connection: Connection, has: str | None, steps: list[Script]) -> None:
    if has is not None and has not in [step.revision for step in steps]:
        raise Conflict(
            f"the database has schema {has}, which this version of Headway does not know",
            cause=f"a newer version has opened it; this one knows schemas up to {steps[-1].revision}",
            hint="install the newer version again, or restore a backup from before the upgrade into a new folder",
        )
    foreign = set(inspect(connection).get_table_names()) - {VERSION_TABLE}
    if has is None and foreign:
        raise Conflict(
            f"the database has {len(foreign)} tables and no schema version",
            cause="it belongs to something else, or to a Headway from before its first release",
            hint="choose another folder with HEADWAY_DATA, or another database with HEADWAY_DATABASE",
        )


@contextlib.contextmanager
def _alone(database: Database) -> Iterator[Connection]:
    """Yield a write transaction in which no other process migrates this database, however long it takes."""
    if not database.is_sqlite:
        with database.write() as connection:  # which waits for its turn
            yield connection
        return
    # SQLite's own lock gives up after its busy time-out; a large table takes longer than that.
    with _locked(Path(f"{database.engine.url.database}.migrating")), _unchecked(database) as connection:
        yield connection
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        if broken:
            raise Conflict(
                f"the migration would leave {len(broken)} rows that refer to nothing; nothing was changed",
                cause=", ".join(sorted({str(row[0]) for row in broken})),
                hint="report this, with the output of `headway doctor`",
            )


@contextlib.contextmanager
def _unchecked(database: Database) -> Iterator[Connection]:
    """Yield a write transaction that may replace a table which others refer to: SQLite cannot alter one in place."""
    with database.refusals_told(), database.engine.connect().execution_options(headway_write=True) as connection:
        driver = connection.connection.dbapi_connection
        assert driver is not None  # noqa: S101  # it is open
        driver.execute("PRAGMA foreign_keys = OFF")
        try:
            with connection.begin():
                yield connection
        finally:
            # The connection goes back to the pool. Closing it, the last one, would take SQLite's shared memory away,
            # which on a full disk nobody could make again.
            driver.execute("PRAGMA foreign_keys = ON")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a file lock, which the system takes from a killed process by itself."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
