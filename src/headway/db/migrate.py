"""Bring a database to the schema of this version, under a lock, before anything else touches it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.db.schema import metadata

if TYPE_CHECKING:
    from headway.db.connection import Database


def migrate(database: Database) -> None:
    """Create or upgrade every table; safe to repeat and to race."""
    with database.write() as connection:
        metadata.create_all(connection)
