"""One database: SQLite (WAL, durable commits) or PostgreSQL, behind `read` and `write` transactions."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError

from headway.errors import HeadwayError, StorageFull, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# SQLite lets one writer in at a time. Everything that reads before it writes relies on it (the next number of a job,
# the row that is there already), so PostgreSQL's writers take turns too; tracking's hot path locks its own rows.
_TAKE_TURN = text("SELECT pg_advisory_xact_lock(1214603620)")  # "Head": a number that nobody else uses in our database

# Held by the connection of the one server that writes to a database, and gone with it.
_ONLY_SERVER = 1214603621
_HOLDER = (
    "select a.pid, coalesce(host(a.client_addr), 'this machine'), a.backend_start::text from pg_locks l "
    "join pg_stat_activity a on a.pid = l.pid where l.locktype = 'advisory' and l.objid = %s and l.granted"
)

_LEAST_ROOM = 1 << 20
_TRUSTED_FOR = 1.0  # seconds in which a connection of PostgreSQL is not asked whether it still is one
_FULL = ("is full", "no space left")


class Database:
    """The pool of connections of one process; threads may share it."""

    def __init__(self, engine: Engine) -> None:
        """Wrap an engine made by `open_database`."""
        self.engine = engine
        # Whether writers must take turns.
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._kept = threading.local()
        self._lanes: list[tuple[threading.Thread, Lane]] = []
        self._lanes_lock = threading.Lock()

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
    def quick_read(self) -> Iterator[Connection]:
        """Do as `read` does, at a third of its cost: each thread keeps a connection. Never one in another."""
        with self.refusals_told():
            lane = self._kept_lane()
        is_sound = False
        with lane.in_use:
            try:
                with self.refusals_told():
                    lane.begin()
                    yield lane.connection
                is_sound = True
            except HeadwayError as error:
                is_sound = not isinstance(error, (StorageFull, Unreachable))
                raise
            finally:
                is_sound = is_sound and lane.is_ended()
                if is_sound:
                    self._kept.used = time.monotonic()
                else:
                    self._forget(lane)

    def _kept_lane(self) -> Lane:
        lane: Lane | None = getattr(self._kept, "lane", None)
        if lane is not None and not self.is_sqlite and time.monotonic() - self._kept.used > _TRUSTED_FOR:
            if lane.answers():
                return lane
            self._forget(lane)  # the database was away meanwhile
            lane = None
        if lane is None:
            self._drop_lanes(lambda thread, _: not thread.is_alive())
            lane = self._kept.lane = self.lane(is_writer=False)
            self._kept.used = time.monotonic()
            with self._lanes_lock:
                self._lanes.append((threading.current_thread(), lane))
        return lane

    def _forget(self, lane: Lane) -> None:
        self._kept.lane = None
        self._drop_lanes(lambda _, each: each is lane)
        lane.discard()  # also when somebody else has closed them all

    def _drop_lanes(self, is_over: Callable[[threading.Thread, Lane], bool]) -> None:
        """Give connections back: a pool of threads ends and begins some, and would take all that there are."""
        with self._lanes_lock:
            over = [lane for thread, lane in self._lanes if is_over(thread, lane)]
            self._lanes = [each for each in self._lanes if not is_over(*each)]
        for lane in over:
            lane.discard()

    def lane(self, *, is_writer: bool) -> Lane:
        """Return a connection for one thread to keep; `discard` it."""
        options = {"headway_write": True} if is_writer else self._reading
        connection = self.engine.connect().execution_options(headway_lane=True, **options)
        begin = "" if not self.is_sqlite else "BEGIN IMMEDIATE" if is_writer else "BEGIN"
        return Lane(connection, begin)

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
        """Close every connection that nobody uses at this moment; SQLite would break the process under the others."""
        self._kept = threading.local()
        with self._lanes_lock:
            lanes, self._lanes = [lane for _, lane in self._lanes], []
        for lane in lanes:
            if lane.in_use.acquire(blocking=False):
                lane.discard()
                lane.in_use.release()
        self.engine.dispose()


class Lane:
    """A connection that one thread keeps, whose transactions begin and end by the driver's own words.

    SQLAlchemy's pool, events and transaction objects cost a small transaction as much as the database does. Statements
    through SQLAlchemy join the transaction that was begun here. Errors are the driver's own.
    """

    __slots__ = ("_begin", "_raw", "connection", "in_use")

    def __init__(self, connection: Connection, begin: str) -> None:
        """Keep `connection`; `begin` is the driver's statement, "" where the first statement begins by itself."""
        self.connection = connection
        self.in_use = threading.Lock()  # held by the thread that keeps it, while it does
        self._raw: Any = connection.connection.driver_connection
        self._begin = begin

    def begin(self) -> None:
        """Begin a transaction."""
        if self._begin:
            self._raw.execute(self._begin)

    def commit(self) -> None:
        """End the transaction: what it wrote is durable."""
        if self.connection.in_transaction():  # a statement went through SQLAlchemy, which must hear of the end
            self.connection.commit()
        else:
            self._raw.commit()

    def rollback(self) -> None:
        """End the transaction: nothing that it wrote is kept."""
        if self.connection.in_transaction():
            self.connection.rollback()
        else:
            self._raw.rollback()

    def claim(self) -> str:
        """Become the one connection that a PostgreSQL database's only server writes by, until it ends.

        Return "" when that is so, else who is it already. SQLite's file belongs to a data directory, which has a lock.
        """
        if self.connection.dialect.name == "sqlite":
            return ""
        (is_ours,) = self._raw.execute("select pg_try_advisory_lock(%s)", (_ONLY_SERVER,)).fetchone()
        holder = None if is_ours else self._raw.execute(_HOLDER, (_ONLY_SERVER,)).fetchone()
        self._raw.commit()
        if is_ours:
            return ""
        if holder is None:
            return "another connection, which has just gone"
        return f"PostgreSQL's process {holder[0]} for a client at {holder[1]}, since {holder[2]}"

    def answers(self) -> bool:
        """Say whether the database still answers on this connection."""
        try:
            self._raw.execute("select 1")
            self._raw.rollback()
        except self.connection.dialect.loaded_dbapi.Error:
            return False
        return True

    def is_ended(self) -> bool:
        """End a transaction that wrote nothing; say whether the connection can be used again."""
        try:
            self.rollback()
        except (DBAPIError, self.connection.dialect.loaded_dbapi.Error):
            return False
        return True

    def discard(self) -> None:
        """Drop a connection that may be broken."""
        with contextlib.suppress(Exception):  # it may be what failed
            self.connection.invalidate()
        with contextlib.suppress(Exception):
            self.connection.close()


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
    connection.execute("PRAGMA busy_timeout = 30000")
    if connection.execute("PRAGMA page_count").fetchone()[0] == 0:
        # Of a new file only: it takes the writer's turn, which an old one's every connection would wait for.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "case_sensitive_like = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    if not options.get("headway_lane", False):  # a lane has begun already
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("headway_write", False) else "BEGIN")
