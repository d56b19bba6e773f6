"""What projects' own trackers said, commit by commit, and whether they answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from headway.db import schema
from headway.projects.model import TrackingSpec
from headway.tracking.outside import Outside, OutsideRun, host_of

_LONGEST_WAIT = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is known of one commit of one project."""

    repo_id: str
    project: str
    commit: str
    tracking: TrackingSpec
    change: int | None
    branch: str
    base_sha: str
    live: bool
    wanted_at: datetime | None
    tried_at: datetime | None
    answered_at: datetime | None
    runs: tuple[OutsideRun, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerState:
    """Whether one project's tracker answers."""

    uri: str
    tried_at: datetime
    answered_at: datetime | None
    away_since: datetime | None
    cause: str
    tries: int
    next_at: datetime


_Record = TypeVar("_Record", Look, TrackerState)
_LOOK = [schema.tracker_look.c[name] for name in Look.__dataclass_fields__]
_STATE = [schema.tracker.c[name] for name in TrackerState.__dataclass_fields__]


class OutsideStore:
    """Looks and states, inside one transaction."""

    def __init__(self, tx: Connection) -> None:
        """Work through this connection."""
        self._tx = tx

    # --- what was said ---

    def answered(self, look: Look, runs: Sequence[OutsideRun], at: datetime) -> None:
        """Keep what a tracker said of a commit."""
        values = {"runs": msgspec.to_builtins(list(runs)), "tried_at": at, "answered_at": at}
        self._set(look, values)
        self._state(look, {"answered_at": at, "away_since": None, "cause": "", "tries": 0, "next_at": at}, at)

    def failed(self, looks: Sequence[Look], cause: str, at: datetime) -> None:
        """Keep that a tracker did not answer for these commits; what it said before stays."""
        first = looks[0]
        before = self.state(first.repo_id, first.project)
        tries = before.tries + 1 if before else 1
        since = before.away_since if before and before.away_since else at
        wait = timedelta(seconds=min(2.0 ** min(tries, 10), _LONGEST_WAIT))
        for look in looks:
            self._set(look, {"tried_at": at})
        values = {"away_since": since, "cause": cause[:500], "tries": tries, "next_at": at + wait}
        self._state(first, values, at)

    def _set(self, look: Look, values: dict[str, Any]) -> None:
        table = schema.tracker_look.c
        mine = and_(table.repo_id == look.repo_id, table.project == look.project, table.commit == look.commit)
        self._tx.execute(update(schema.tracker_look).where(mine).values(**values))

    def _state(self, look: Look, values: dict[str, Any], at: datetime) -> None:
        insert = sqlite.insert if self._tx.dialect.name == "sqlite" else postgresql.insert
        ids = {"repo_id": look.repo_id, "project": look.project}
        values = {"uri": look.tracking.uri, "tried_at": at, **values}
        row = insert(schema.tracker).values({**ids, **values})
        self._tx.execute(row.on_conflict_do_update(index_elements=list(ids), set_=values))

    # --- reading ---

    def state(self, repo_id: str, project: str) -> TrackerState | None:
        """Return whether a project's tracker answers; None before it was asked."""
        table = schema.tracker.c
        query = select(*_STATE).where(table.repo_id == repo_id, table.project == project)
        row = self._tx.execute(query).mappings().first()
        return None if row is None else _converted(row, TrackerState)

    def look(self, repo_id: str, project: str, commit: str) -> Look | None:
        """Return what is known of one commit."""
        table = schema.tracker_look.c
        mine = and_(table.repo_id == repo_id, table.project == project, table.commit == commit)
        return next(iter(read_looks(self._tx, mine, limit=1)), None)

    def lately(self, *where: ColumnElement[bool], limit: int) -> list[Look]:
        """Return the commits whose trackers have told of runs, the newest answer first."""
        table = schema.tracker_look.c
        told = (table.answered_at.is_not(None), table.runs != [], *where)
        query = select(*_LOOK).where(*told).order_by(table.answered_at.desc()).limit(limit)
        return [_look(row) for row in self._tx.execute(query).mappings()]

    def live(self, repo_id: str, project: str) -> list[Look]:
        """Return every live look of a project."""
        table = schema.tracker_look.c
        return read_looks(self._tx, table.repo_id == repo_id, table.project == project, table.live.is_(True), limit=200)

    def outside(self, repo_id: str, project: str, commit: str) -> Outside | None:
        """Return what a tracker says of a commit as it stands now; None when nobody asked."""
        look, state = self.look(repo_id, project, commit), self.state(repo_id, project)
        if look is None:
            return None
        is_answered = look.answered_at is not None and look.answered_at == look.tried_at
        away = None if is_answered or state is None else state.away_since
        return Outside(
            host=host_of(look.tracking.uri),
            uri=look.tracking.uri,
            is_judged=look.tracking.gates,
            runs=look.runs,
            answered_at=look.answered_at,
            away_since=away or (None if is_answered else look.tried_at or look.wanted_at),
            cause="" if is_answered else (state.cause if state and state.away_since else "it was not asked in time"),
        )


def read_looks(tx: Connection, *where: ColumnElement[bool], limit: int) -> list[Look]:
    """Return matching looks, the longest unasked first."""
    oldest = schema.tracker_look.c.tried_at.asc().nulls_first()
    query = select(*_LOOK).where(*where).order_by(oldest, schema.tracker_look.c.commit).limit(limit)
    return [_look(row) for row in tx.execute(query).mappings()]


def _look(row: Any) -> Look:
    return _converted(row, Look)


def _converted(row: Any, kind: type[_Record]) -> _Record:
    # By name, because a column called "commit" comes back under a key that is no plain str.
    return msgspec.convert({name: row[name] for name in kind.__dataclass_fields__}, kind)
