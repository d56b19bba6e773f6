"""The driver's own statements on a SQLAlchemy connection: one spelling (`?`) for both databases.

The hot path of tracking writes small statements thousands of times a second, where SQLAlchemy's compiler costs
more than the database (tracking-store.md). Everything here runs inside the connection's own transaction.
"""

from __future__ import annotations

import contextlib
import functools
import time
from typing import TYPE_CHECKING, Any

from headway.errors import HeadwayError, StorageFull, Unreachable, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection

Row = tuple[Any, ...]

# What both drivers, and SQLAlchemy around them, call errors of the database and not of the statement.
_AWAY = frozenset({"OperationalError", "InterfaceError"})
# SQLite calls these operational too. ("No such file" is a socket of PostgreSQL that is away.)
_OURS = (
    *(f"no such {what}" for what in ("table", "column", "function", "savepoint", "index", "collation")),
    *("syntax error", "no column", "too many sql", "too many terms", "too many columns", "too many attached"),
)
_STEPS = 100_000  # of SQLite's machine between two looks at the clock
_SLICE = 500  # ids in one IN list


class Link:
    """Statements on one connection, inside its transaction."""

    __slots__ = ("_errors", "_raw", "for_update", "is_sqlite", "tx")

    def __init__(self, tx: Connection) -> None:
        """Take the driver's connection out of `tx`, beginning its transaction if nothing has yet."""
        if not tx.get_execution_options().get("headway_lane", False) and not tx.in_transaction():
            tx.begin()
        self.tx = tx
        self._raw: Any = tx.connection.driver_connection
        self._errors: Any = tx.dialect.loaded_dbapi.Error
        self.is_sqlite = tx.dialect.name == "sqlite"
        # SQLite has one writer at a time; PostgreSQL must be told which row we are about to decide on.
        self.for_update = "" if self.is_sqlite else " for update"

    @contextlib.contextmanager
    def time_limit(self, seconds: float) -> Iterator[None]:
        """Break off a statement of this block that runs for longer, as a `UsageError`: it asked for too much."""
        if not self.is_sqlite:
            self.run("select set_config('statement_timeout', ?, true)", (str(max(1, round(seconds * 1000))),))
            yield
            return
        until = time.monotonic() + seconds
        self._raw.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
        try:
            yield
        finally:
            self._raw.set_progress_handler(None, 0)

    def lowering(self, text: str) -> str:
        """Return the name of the function that folds the case of values to be compared with a text."""
        if not self.is_sqlite or text.isascii():
            return "lower"
        # SQLite's own knows ASCII only.
        self._raw.create_function("unicode_lower", 1, _lowered, deterministic=True)
        return "unicode_lower"

    def run(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """Execute one statement and return the driver's cursor."""
        try:
            return self._raw.execute(sql if self.is_sqlite else _percent(sql), values)
        except self._errors as error:
            raise stored_error(error) or error from error

    def one(self, sql: str, values: Sequence[Any] = ()) -> Row | None:
        """Return the first row, or None."""
        found: Row | None = self.run(sql, values).fetchone()
        return found

    def all(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Return every row."""
        try:
            rows: list[Row] = self.run(sql, values).fetchall()
        except self._errors as error:
            raise stored_error(error) or error from error
        return rows

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Execute one statement for each row."""
        if not rows:
            return
        if len(rows) == 1:
            self.run(sql, rows[0])
            return
        try:
            self._raw.cursor().executemany(sql if self.is_sqlite else _percent(sql), rows)
        except self._errors as error:
            raise stored_error(error) or error from error

    def each(self, sql: str, ids: Sequence[Any], *, before: Sequence[Any] = ()) -> Iterable[Row]:
        """Yield the rows of a statement with one `in (??)` list, asked in slices."""
        for start in range(0, len(ids), _SLICE):
            part = ids[start : start + _SLICE]
            yield from self.all(sql.replace("??", marks(len(part))), [*before, *part])


def _lowered(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def marks(count: int) -> str:
    """Return `?, ?, ?`."""
    return ", ".join("?" * count)


@functools.lru_cache(maxsize=2048)
def _percent(sql: str) -> str:
    return sql.replace("?", "%s")


def stored_error(error: BaseException) -> HeadwayError | None:
    """Say what a database's refusal means to a caller; None when it is our own mistake."""
    text = str(error).lower()
    if "interrupted" in text or "statement timeout" in text:
        return UsageError(
            "The search took too long and was broken off.", hint="narrow it: fewer experiments, a rarer value"
        )
    is_of_database = any(kind.__name__ in _AWAY for kind in type(error).__mro__)
    if not is_of_database or any(words in text for words in _OURS):
        return None
    if "is full" in text or "no space left" in text:
        return StorageFull(
            "the disk is full: nothing was saved",
            cause=str(error),
            hint="free space in the data directory; `headway server clean` removes what nothing refers to",
        )
    return Unreachable("the database did not answer in time", cause=str(error), hint="try again")
