"""The steps from one schema to the next, oldest first; each file is one step that is never edited once released.

A change of `schema.py` comes with a new file here (`upgrade` and `downgrade` in Alembic's operations), and HEAD
names it. Both databases run it in one transaction; on SQLite foreign keys are checked at its end.
"""

from __future__ import annotations

from pathlib import Path

HEAD = "0001_initial"
VERSION_TABLE = "alembic_version"
FOLDER = Path(__file__).parent
