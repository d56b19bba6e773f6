"""Runs of jobs that are to stand in a tracker of the project's own as well, and how far each has come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite

from headway.db import schema
from headway.projects.model import TrackingSpec

PENDING = "pending"  # in place of the copy's id, from before it is asked for until it is known
_LONGEST_WAIT = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrored:
    """One run on its way, or there."""

    run_id: str
    job_id: str
    repo_id: str
    project: str
    tracking: TrackingSpec
    state: str  # waiting | done | refused
    remote_run_id: str
    remote_url: str
    done: tuple[str, ...]  # metrics that stand there whole
    tries: int
    since: datetime
    away_since: datetime | None
    cause: str


_FIELDS = [schema.mirror.c[name] for name in Mirrored.__dataclass_fields__]


class MirrorStore:
    """Copies of runs, inside one transaction."""

    def __init__(self, tx: Connection) -> None:
        """Work through this connection."""
        self._tx = tx

    def want(
        self, run_ids: Sequence[str], *, job_id: str, repo_id: str, project: str, tracking: TrackingSpec, at: datetime
    ) -> None:
        """Have these ended runs copied, parents first; what is copied or on its way stays so."""
        insert = sqlite.insert if self._tx.dialect.name == "sqlite" else postgresql.insert
        for index, run_id in enumerate(run_ids):
            row = insert(schema.mirror).values(
                run_id=run_id,
                job_id=job_id,
                repo_id=repo_id,
                project=project,
                tracking=msgspec.to_builtins(tracking),
                state="waiting",
                done=[],
                next_at=at + timedelta(milliseconds=index),
                since=at,
            )
            self._tx.execute(row.on_conflict_do_nothing())

    def due_projects(self, at: datetime) -> list[tuple[str, str]]:
        """Return the projects that have a run to copy now."""
        table = schema.mirror.c
        query = select(table.repo_id, table.project).where(table.state == "waiting", table.next_at <= at).distinct()
        return [(row[0], row[1]) for row in self._tx.execute(query)]

    def due(self, repo_id: str, project: str, at: datetime, *, limit: int = 50) -> list[Mirrored]:
        """Return what is to be copied of a project now, oldest first."""
        table = schema.mirror.c
        query = (
            select(*_FIELDS)
            .where(table.repo_id == repo_id, table.project == project, table.state == "waiting", table.next_at <= at)
            .order_by(table.next_at)
            .limit(limit)
        )
        return [_mirrored(row) for row in self._tx.execute(query).mappings()]

    def of_job(self, job_id: str) -> list[Mirrored]:
        """Return how far the runs of a job have come."""
        query = select(*_FIELDS).where(schema.mirror.c.job_id == job_id).order_by(schema.mirror.c.run_id)
        return [_mirrored(row) for row in self._tx.execute(query).mappings()]

    def remote_of(self, run_id: str) -> str:
        """Return the copy's id; "" while there is none."""
        query = select(schema.mirror.c.remote_run_id).where(schema.mirror.c.run_id == run_id)
        found = str(self._tx.execute(query).scalar() or "")
        return "" if found == PENDING else found

    def is_awaited(self, run_id: str) -> bool:
        """Whether a run will be copied and its copy has no id yet."""
        table = schema.mirror.c
        query = select(table.run_id).where(
            table.run_id == run_id, table.state == "waiting", table.remote_run_id.in_(("", PENDING))
        )
        return self._tx.execute(query).first() is not None

    def creating(self, run_id: str, at: datetime) -> None:
        """Keep that a copy is asked for now, before it is."""
        self._set(run_id, {"remote_run_id": PENDING, "done": [], "since": at})

    def found(self, run_id: str, *, remote_run_id: str, remote_url: str, is_new: bool) -> None:
        """Keep which run there is the copy; what was sent to another one counts no more."""
        values: dict[str, Any] = {"remote_run_id": remote_run_id, "remote_url": remote_url}
        if is_new:
            values["done"] = []
        self._set(run_id, values)

    def sent(self, run_id: str, done: Sequence[str]) -> None:
        """Keep which metrics stand there whole."""
        self._set(run_id, {"done": sorted(done)})

    def finished(self, run_id: str, at: datetime) -> None:
        """The copy is whole."""
        self._set(run_id, {"state": "done", "since": at, "away_since": None, "cause": "", "tries": 0})

    def refused(self, run_id: str, cause: str, at: datetime) -> None:
        """There will be no copy."""
        self._set(run_id, {"state": "refused", "since": at, "cause": cause})

    def postponed(self, each: Mirrored, cause: str, at: datetime) -> None:
        """It failed now; it is tried again after a while that grows to ten minutes."""
        wait = timedelta(seconds=min(2.0 ** min(each.tries + 1, 10), _LONGEST_WAIT))
        values = {"tries": each.tries + 1, "next_at": at + wait, "away_since": each.away_since or at, "cause": cause}
        self._set(each.run_id, values)

    def _set(self, run_id: str, values: dict[str, Any]) -> None:
        self._tx.execute(update(schema.mirror).where(schema.mirror.c.run_id == run_id).values(**values))


def _mirrored(row: Any) -> Mirrored:
    return msgspec.convert({name: row[name] for name in Mirrored.__dataclass_fields__}, Mirrored)
