"""Which commits projects' own trackers are asked about, and which of them are due."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from headway.db import schema
from headway.projects.model import TrackingSpec
from headway.tracking.outside_store import Look, read_looks

EVERY = timedelta(seconds=10)  # how old an answer for a live commit may grow
MOST_AT_ONCE = 10  # commits that one visit asks for
LIVE_MAIN = 10  # commits of the default branch that runs may still come for


class WatchList:
    """What shall be looked at, inside one transaction."""

    def __init__(self, tx: Connection) -> None:
        """Work through this connection."""
        self._tx = tx

    def want(self, repo_id: str, project: str, commit: str, *, tracking: TrackingSpec, at: datetime) -> None:
        """Ask for an answer on a commit that is younger than `at`; safe to repeat."""
        self._put(repo_id, project, commit, {"tracking": msgspec.to_builtins(tracking), "wanted_at": at})

    def watch(
        self,
        repo_id: str,
        project: str,
        commit: str,
        *,
        tracking: TrackingSpec,
        change: int | None = None,
        branch: str = "",
        base_sha: str = "",
    ) -> None:
        """Look at a commit again and again: the head of an open change, or of the default branch (no change)."""
        values = {
            "tracking": msgspec.to_builtins(tracking),
            "change": change,
            "branch": branch,
            "base_sha": base_sha,
            "live": True,
        }
        self._put(repo_id, project, commit, values)

    def leave(self, repo_id: str, *, change: int, but: str = "") -> None:
        """Look no more at the commits of a change, but for its head."""
        table = schema.tracker_look.c
        where = and_(table.repo_id == repo_id, table.change == change, table.commit != but)
        self._tx.execute(update(schema.tracker_look).where(where).values(live=False))

    def leave_old(self, repo_id: str, project: str, *, keep: Sequence[str]) -> None:
        """Look no more at commits of the default branch but these."""
        table = schema.tracker_look.c
        where = and_(
            table.repo_id == repo_id, table.project == project, table.change.is_(None), table.commit.not_in(list(keep))
        )
        self._tx.execute(update(schema.tracker_look).where(where).values(live=False))

    def renamed(self, repo_id: str, project: str, tracking: TrackingSpec | None) -> None:
        """Take over what the base branch now says of its tracker; None ends all looking."""
        table = schema.tracker_look.c
        where = and_(table.repo_id == repo_id, table.project == project)
        values = {"live": False} if tracking is None else {"tracking": msgspec.to_builtins(tracking)}
        self._tx.execute(update(schema.tracker_look).where(where).values(**values))

    def _put(self, repo_id: str, project: str, commit: str, values: dict[str, Any]) -> None:
        insert = sqlite.insert if self._tx.dialect.name == "sqlite" else postgresql.insert
        ids = {"repo_id": repo_id, "project": project, "commit": commit}
        row = insert(schema.tracker_look).values({"live": False, "runs": [], **ids, **values})
        self._tx.execute(row.on_conflict_do_update(index_elements=list(ids), set_=values))

    def due(self, at: datetime) -> list[tuple[str, str]]:
        """Return the projects whose trackers should be asked now."""
        table, state = schema.tracker_look.c, schema.tracker.c
        joined = schema.tracker_look.outerjoin(
            schema.tracker, and_(state.repo_id == table.repo_id, state.project == table.project)
        )
        rested = or_(state.next_at.is_(None), state.next_at <= at)
        query = (
            select(table.repo_id, table.project)
            .select_from(joined)
            .where(or_(_waiting(), and_(_stale(at), rested)))
            .distinct()
        )
        return [(row[0], row[1]) for row in self._tx.execute(query)]

    def to_ask(self, repo_id: str, project: str, at: datetime) -> list[Look]:
        """Return the commits that one visit asks for: those that somebody waits for, then the longest unasked."""
        table = schema.tracker_look.c
        mine = and_(table.repo_id == repo_id, table.project == project)
        waiting = read_looks(self._tx, mine, _waiting(), limit=MOST_AT_ONCE)
        stale = read_looks(self._tx, mine, _stale(at), limit=MOST_AT_ONCE)
        found = {look.commit: look for look in (*waiting, *stale)}
        return list(found.values())[:MOST_AT_ONCE]


def _waiting() -> ColumnElement[bool]:
    table = schema.tracker_look.c
    return and_(table.wanted_at.is_not(None), or_(table.tried_at.is_(None), table.tried_at < table.wanted_at))


def _stale(at: datetime) -> ColumnElement[bool]:
    table = schema.tracker_look.c
    is_unanswered = and_(
        table.wanted_at.is_not(None), or_(table.answered_at.is_(None), table.answered_at < table.wanted_at)
    )
    is_old = or_(table.tried_at.is_(None), table.tried_at < at - EVERY)
    return and_(or_(table.live.is_(True), is_unanswered), is_old)
