"""Our own ledger of head commits: when each was first told to us, whatever dates its pusher wrote into it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from headway.db import schema

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection


class HeadStore:
    """Heads of changes as they were told, inside one transaction; rows are only ever added."""

    def __init__(self, tx: Connection) -> None:
        """Work inside the caller's transaction."""
        self._tx = tx

    def note(self, repo_id: str, number: int, sha: str, at: datetime) -> None:
        """Keep that a change stands at a commit; the first time is kept."""
        insert = sqlite.insert if self._tx.dialect.name == "sqlite" else postgresql.insert
        row = insert(schema.change_head).values(repo_id=repo_id, number=number, sha=sha, first_seen_at=at)
        self._tx.execute(row.on_conflict_do_nothing())

    def is_newest(self, repo_id: str, number: int, sha: str) -> bool:
        """Whether no other head was first told at the same time or later: a branch may be pushed to and fro."""
        table = schema.change_head.c
        same = (table.repo_id == repo_id, table.number == number)
        mine = select(table.first_seen_at).where(*same, table.sha == sha).scalar_subquery()
        others = select(table.sha).where(*same, table.sha != sha, table.first_seen_at >= mine).limit(1)
        return self.first_seen(repo_id, number, sha) is not None and self._tx.execute(others).first() is None

    def change_at(self, repo_id: str, sha: str) -> int | None:
        """Return the newest change that was told to stand at a commit; a forge does not name those of forks."""
        table = schema.change_head.c
        query = select(table.number).where(table.repo_id == repo_id, table.sha == sha)
        return self._tx.execute(query.order_by(table.number.desc()).limit(1)).scalar()

    def first_seen(self, repo_id: str, number: int, sha: str) -> datetime | None:
        """Return when a head was first told; None when it never was."""
        table = schema.change_head.c
        return self._tx.execute(
            select(table.first_seen_at).where(table.repo_id == repo_id, table.number == number, table.sha == sha)
        ).scalar()
