"""Backup and restore of a data directory: database first, so that every file it names is in the copy."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from headway.db.connection import Database
from headway.errors import Conflict, NotFound, NotThereYet

DATABASE_NAME = "headway.db"
# Environments are made again from their lock files, attempts and endpoints belong to this machine.
FOLDERS = ("artifacts", "contents")
PRIVATE = ("admin-token",)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupReport:
    """What a backup holds."""

    path: str
    files: int
    size: int  # bytes


def back_up(database: Database, data: Path, target: Path) -> BackupReport:
    """Copy the database (SQLite's online backup) and the files that it refers to, while all goes on.

    Raises:
        Conflict: the target exists and is not empty.
        NotThereYet: the database is PostgreSQL: `pg_dump` it, then copy the folders.
    """
    if not database.is_sqlite:
        raise NotThereYet(
            "backup of PostgreSQL is not there yet",
            hint=f"pg_dump the database, then copy {', '.join(FOLDERS)} from {data}",
        )
    if target.exists() and any(target.iterdir()):
        raise Conflict(f"{target} is not empty", hint="name a new folder")
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    with sqlite3.connect(data / DATABASE_NAME) as source, sqlite3.connect(target / DATABASE_NAME) as copy:
        source.backup(copy)
    for name in FOLDERS:
        if (data / name).exists():
            shutil.copytree(data / name, target / name, ignore=shutil.ignore_patterns(".tmp-*"))
    for name in PRIVATE:
        if (data / name).exists():
            shutil.copy2(data / name, target / name)
    return _measured(target)


def restore(backup: Path, data: Path) -> BackupReport:
    """Lay a backup out as a new data directory.

    Raises:
        NotFound: there is no backup in that folder.
        Conflict: the data directory has a database already.
    """
    if not (backup / DATABASE_NAME).is_file():
        raise NotFound(f"{backup} holds no backup", cause=f"it has no {DATABASE_NAME}")
    if (data / DATABASE_NAME).exists():
        raise Conflict(
            f"{data} holds a database already",
            cause="a restore never writes over one",
            hint="choose another folder with HEADWAY_DATA, or move this one away",
        )
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copytree(backup, data, dirs_exist_ok=True)
    with sqlite3.connect(data / DATABASE_NAME) as database:
        verdict = database.execute("PRAGMA integrity_check").fetchone()[0]
    if verdict != "ok":
        raise Conflict(f"the backup in {backup} is damaged", cause=str(verdict), hint="use another one")
    return _measured(data)


def _measured(folder: Path) -> BackupReport:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return BackupReport(path=str(folder), files=len(files), size=sum(path.stat().st_size for path in files))
