"""Space that a database no longer needs goes back to the file system, as far as the database can do that."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from headway.errors import StorageFull

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headway.db.connection import Database

_PAGES = 2_000  # moved in one transaction: others write in between
_INCREMENTAL = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Reclaimed:
    """What the database's files took before and after."""

    before: int
    after: int
    how: str


def database_size(database: Database) -> int:
    """Return the bytes of the database, its write-ahead log included where it is a file beside it."""
    if not database.is_sqlite:
        with database.read() as tx:
            return int(tx.execute(text("select pg_database_size(current_database())")).scalar_one())
    path = Path(database.engine.url.database or "")
    return sum(_size(path.with_name(path.name + suffix)) for suffix in ("", "-wal", "-shm"))


def reclaim(database: Database, *, whole: bool = False) -> Reclaimed:
    """Give unused pages of SQLite back; `whole` rewrites a file that was made without that, and needs its size again.

    Safe to kill: SQLite's own transactions do all of it.

    Raises:
        StorageFull: there is no room for the rewritten copy.
    """
    before = database_size(database)
    if not database.is_sqlite:
        how = "PostgreSQL's autovacuum makes the space usable again; VACUUM FULL (it locks) gives it to the system"
        return Reclaimed(before=before, after=before, how=how)
    with _plain(database) as link:
        if link.execute("PRAGMA auto_vacuum").fetchone()[0] == _INCREMENTAL:
            how = "unused pages were given back"
            _shrink(link)
        elif whole:
            how = "the file was written anew"
            _rewrite(link, Path(database.engine.url.database or "."), before)
        else:
            how = "the file was made by an older version: `headway space reclaim` writes it anew once"
        # Until the log is copied back, the file keeps its length.
        link.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return Reclaimed(before=before, after=database_size(database), how=how)


@contextlib.contextmanager
def _plain(database: Database) -> Iterator[Any]:
    """Yield the driver's connection outside of any transaction: vacuum makes its own."""
    with database.refusals_told():
        link = database.engine.raw_connection()
        try:
            yield link.driver_connection
        except sqlite3.OperationalError as error:  # the driver's own, which SQLAlchemy did not see
            raise OperationalError("", {}, error) from error
        finally:
            link.close()


def _shrink(link: Any) -> None:
    left = link.execute("PRAGMA freelist_count").fetchone()[0]
    while left:
        link.execute(f"PRAGMA incremental_vacuum({_PAGES})").fetchall()
        now = link.execute("PRAGMA freelist_count").fetchone()[0]
        if now >= left:
            return  # somebody else used or needs them
        left = now


def _rewrite(link: Any, path: Path, size: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if free < 2 * size:
        raise StorageFull(
            "the database cannot be written anew: there is no room for the copy",
            cause=f"it has {size} bytes, {free} are free, and the copy passes through the log: it needs twice its size",
            hint="purge artifacts first (headway trash purge), they need no room",
        )
    link.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
    link.execute("VACUUM")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
