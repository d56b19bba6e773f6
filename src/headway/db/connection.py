"""One database: SQLite (WAL, durable commits) or PostgreSQL, behind `read` and `write` transactions."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError

from headway.errors import StorageFull

if TYPE_CHECKING:
    from collections.abc import Iterator


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
        """Yield a connection inside a read transaction: one consistent picture."""
        with self.engine.connect() as connection:
            yield connection
            connection.rollback()

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """Yield a connection inside a write transaction; durable when the block ends.

        Raises:
            StorageFull: the disk took no more; nothing of the block is kept.
        """
        try:
            # A deferred transaction that turns into a writer fails at once when another one writes.
            connecting = self.engine.connect().execution_options(headway_write=True)
            with connecting as connection, connection.begin():
                yield connection
        except OperationalError as error:
            if "full" in str(error.orig).lower():
                raise StorageFull(
                    "the disk is full: nothing was saved",
                    cause=str(error.orig),
                    hint="free space in the data directory; `headway server clean` removes what nothing refers to",
                ) from error
            raise

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
