"""One database: SQLite (WAL, durable commits) or PostgreSQL, behind `read` and `write` transactions."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError

from headway.errors import StorageFull, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

# SQLite lets one writer in at a time. Everything that reads before it writes relies on it (the next number of a job,
# the row that is there already), so PostgreSQL's writers take turns too; tracking's hot path locks its own rows.
_TAKE_TURN = text("SELECT pg_advisory_xact_lock(1214603620)")  # "Head": a number that nobody else uses in our database

_LEAST_ROOM = 1 << 20
_FULL = ("is full", "no space left")


class Database:
    """The pool of connections of one process; threads may share it."""

    def __init__(self, engine: Engine) -> None:
        """Wrap an engine made by `open_database`."""
        self.engine = engine

    @property
    def is_sqlite(self) -> bool:
        """Whether writers must take turns."""
        return self.engine.dialect.name == "sqlite"

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection inside a read transaction: one consistent picture.

        Raises:
            Unreachable: the database does not answer.
        """
        with self.refusals_told(), self.engine.connect().execution_options(**self._reading) as connection:
            yield connection
            connection.rollback()

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """Yield a connection inside a write transaction; durable when the block ends.

        Writers take turns on both databases, so that what a block reads still holds when it writes.

        Raises:
            StorageFull: the disk took no more; nothing of the block is kept.
            Unreachable: the database does not answer; nothing of the block is kept, unless it was lost in the commit.
        """
        with (
            self.refusals_told(),
            # A deferred transaction that turns into a writer fails at once when another one writes.
            self.engine.connect().execution_options(headway_write=True) as connection,
            connection.begin(),
        ):
            if not self.is_sqlite:
                connection.execute(_TAKE_TURN)
            yield connection

    @contextlib.contextmanager
    def refusals_told(self) -> Iterator[None]:
        """Say what a refusal of the database means to whoever asked; a mistake of our own stays what it is."""
        try:
            yield
        except DBAPIError as error:
            said = str(error.orig)
            plain = said.lower()
            if any(words in plain for words in _FULL) or ("disk i/o error" in plain and self._has_no_room()):
                raise StorageFull(
                    "the disk is full: nothing was saved",
                    cause=said,
                    hint="free space in the data directory; `headway server clean` removes what nothing refers to",
                ) from error
            if error.connection_invalidated or "database is locked" in plain or self._is_away(error):
                raise Unreachable("the database does not answer", cause=said, hint="try again") from error
            raise

    def _is_away(self, error: DBAPIError) -> bool:
        if self.is_sqlite or not isinstance(error, OperationalError):
            return False
        # No state: it was never reached. 08 and 57: the connection broke, or the server goes down or comes up.
        state = getattr(error.orig, "sqlstate", None)
        return state is None or state[:2] in ("08", "57")

    def _has_no_room(self) -> bool:
        # Where its shared memory cannot be made or grow, SQLite calls a full disk an I/O error.
        folder = Path(self.engine.url.database or ".").parent
        return self.is_sqlite and shutil.disk_usage(folder).free < _LEAST_ROOM

    @property
    def _reading(self) -> dict[str, Any]:
        # PostgreSQL shows every statement the newest state unless it is told otherwise.
        return {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def open_database(url: str) -> Database:
    """Open the database at an SQLAlchemy address; its schema is `headway.db.migrate`'s matter."""
    if url.startswith("postgresql://"):
        url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    if not url.startswith("sqlite"):
        return Database(create_engine(url, pool_size=10, max_overflow=20, pool_pre_ping=True))
    engine = create_engine(url, connect_args={"timeout": 30, "check_same_thread": False}, pool_size=10, max_overflow=40)
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)
    return Database(engine)


def _set_pragmas(connection: Any, _record: object) -> None:
    # The driver must not begin transactions by itself: `_begin` says which kind.
    connection.isolation_level = None
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "busy_timeout = 30000",
        "case_sensitive_like = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    is_writer = connection.get_execution_options().get("headway_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")
        "auto_vacuum = INCREMENTAL",  # of a new file only, and only before anything else is written to it
