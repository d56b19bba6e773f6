"""Bring a database to the schema of this version, under a lock, before anything else touches it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from headway.db.migrations import FOLDER, HEAD, VERSION_TABLE

if TYPE_CHECKING:
    from pathlib import Path

    from headway.db.connection import Database


def migrate(database: Database, *, to: str = HEAD, folder: Path = FOLDER) -> None:
    """Create or change every table; safe to repeat, to race, and to kill at any point.

    A lower `to` takes the steps back, and what only the higher schema can hold is lost.

    Raises:
        Conflict: the database has a schema that this version of Headway does not know.
        StorageFull: the disk is too full for it; nothing has changed.
    """
    if schema_version(database) == to:
        return
    from headway.db.revise import revise  # noqa: PLC0415  # Alembic costs each start 100 ms, and few need it

    revise(database, to=to, folder=folder)


def schema_version(database: Database) -> str | None:
    """Return the name of the schema that a database has; None when it has none."""
    with database.read() as connection:
        if not inspect(connection).has_table(VERSION_TABLE):
            return None
        found: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608  # our own constant
        return found
