"""Backup and restore of a data directory: database first, so that every file it names is in the copy."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from headway.db.connection import Database
from headway.errors import Conflict, NotFound, NotThereYet, StorageFull

DATABASE_NAME = "headway.db"
# Environments are made again from their lock files, attempts and endpoints belong to this machine.
FOLDERS = ("artifacts", "contents")
PRIVATE = ("admin-token",)
# The database gets its name last: a copy that was interrupted has none, and is no backup.
_UNFINISHED = f".unfinished-{DATABASE_NAME}"
# A folder store's own: what is not complete, and the journal of files that stand at their places already.
_OWN = frozenset({"#incoming", "#journal"})


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupReport:
    """What a backup holds."""

    path: str
    files: int
    size: int  # bytes


def back_up(database: Database, data: Path, target: Path) -> BackupReport:
    """Copy the database (SQLite's online backup) and the files that it refers to, while all goes on.

    Everything that was acknowledged before the call is in it.

    Raises:
        Conflict: the target exists and is not empty.
        NotThereYet: the database is PostgreSQL: `pg_dump` it, then copy the folders.
        StorageFull: the target's disk took no more; what was copied is not a backup.
    """
    if not database.is_sqlite:
        raise NotThereYet(
            "backup of PostgreSQL is not there yet",
            hint=f"pg_dump the database, then copy {', '.join(FOLDERS)} from {data}",
        )
    if target.exists() and any(target.iterdir()):
        raise Conflict(f"{target} is not empty", hint="name a new folder")
    with _room_told(target):
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        _copy_database(data / DATABASE_NAME, target / _UNFINISHED)
        _copy_files(data, target)
        (target / _UNFINISHED).replace(target / DATABASE_NAME)
    return _measured(target)


def restore(backup: Path, data: Path) -> BackupReport:
    """Lay a backup out as a new data directory.

    Attempts that were under way when the backup was made have no folder here: whoever looks at them finds them lost,
    and their tasks are tried once more. None is adopted, and none is started a second time under its own name.

    Raises:
        NotFound: there is no complete backup in that folder.
        Conflict: the data directory has a database already, or the backup is damaged.
        StorageFull: the disk took no more; the data directory has no database.
    """
    if not (backup / DATABASE_NAME).is_file():
        raise NotFound(f"{backup} holds no backup", cause=f"it has no {DATABASE_NAME}")
    if (data / DATABASE_NAME).exists():
        raise Conflict(
            f"{data} holds a database already",
            cause="a restore never writes over one",
            hint="choose another folder with HEADWAY_DATA, or move this one away",
        )
    with _room_told(data):
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        _copy_checked(backup, data / _UNFINISHED)
        _copy_files(backup, data)
        _move_in(data / _UNFINISHED, data)
        (data / _UNFINISHED).replace(data / DATABASE_NAME)
    return _measured(data)


def _copy_database(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(source)) as there, contextlib.closing(sqlite3.connect(target)) as here:
        there.backup(here)
        # Complete in one file, so that it can be renamed; the first process that opens it turns WAL on again.
        here.execute("PRAGMA journal_mode = DELETE")
    target.chmod(0o600)


def _copy_files(source: Path, target: Path) -> None:
    for name in FOLDERS:
        for folder, folders, files in os.walk(source / name):
            folders[:] = [each for each in folders if each not in _OWN]
            there = target / Path(folder).relative_to(source)
            there.mkdir(mode=0o700, parents=True, exist_ok=True)
            for file in set(files) - _OWN:
                # Removed since it was listed: then it was removed from the database as well.
                with contextlib.suppress(FileNotFoundError):
                    shutil.copy2(Path(folder) / file, there / file)
    for name in PRIVATE:
        if (source / name).exists():
            shutil.copy2(source / name, target / name)


def _copy_checked(backup: Path, database: Path) -> None:
    try:
        _copy_database(backup / DATABASE_NAME, database)
        with contextlib.closing(sqlite3.connect(database)) as opened:
            verdict = str(opened.execute("PRAGMA integrity_check").fetchone()[0])
    except sqlite3.DatabaseError as error:
        if _is_full(error):
            raise
        verdict = str(error)
    if verdict != "ok":
        database.unlink(missing_ok=True)
        raise Conflict(f"the backup in {backup} is damaged", cause=verdict, hint="use another one")


def _move_in(database: Path, data: Path) -> None:
    """Let attempts lie below this data directory, so that nobody looks into the one that the backup was made of."""
    with contextlib.closing(sqlite3.connect(database)) as opened, opened:
        opened.execute("UPDATE attempt SET directory = ? || id WHERE engine = 'local'", (f"{data}/attempts/",))
        # Recorded and not yet started: without a handle it would be started here too.
        opened.execute("UPDATE attempt SET handle = id WHERE handle IS NULL AND state IN ('launching', 'running')")


@contextlib.contextmanager
def _room_told(folder: Path) -> Iterator[None]:
    """Say where there was no room, and leave nothing that looks like a database."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        with contextlib.suppress(OSError):
            (folder / _UNFINISHED).unlink(missing_ok=True)
        if _is_full(error):
            raise StorageFull(
                f"the disk that holds {folder} is full",
                cause=str(error),
                hint="free space there, or name another folder",
            ) from error
        raise


def _is_full(error: Exception) -> bool:
    return getattr(error, "errno", None) == errno.ENOSPC or "is full" in str(error)


def _measured(folder: Path) -> BackupReport:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return BackupReport(path=str(folder), files=len(files), size=sum(path.stat().st_size for path in files))
