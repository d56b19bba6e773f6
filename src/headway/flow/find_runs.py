"""Runs by MLflow's filter language, for pages and terminal."""

from __future__ import annotations

from sqlalchemy import Connection, select

from headway.auth.visible import EVERYTHING, Sight
from headway.db import schema
from headway.db.prefix import begins_with
from headway.errors import UsageError
from headway.tracking.model import Run
from headway.tracking.store import RunStore

SHORTEST = 6


def find_runs(tx: Connection, *, where: str, order: str | None, limit: int, sight: Sight = EVERYTHING) -> list[Run]:
    """Return the newest runs of all experiments in sight that match, or in the order asked for."""
    store = RunStore(tx)
    experiments = [each.id for each in store.experiments.all(("active",), sight=sight)]
    page = store.search(experiments, where, order_by=[order] if order else [], limit=max(limit, 1))
    return list(page.items[:limit])


def find_run(tx: Connection, run_id: str) -> Run | None:
    """Return a run by its id or by first characters that name only one."""
    store = RunStore(tx)
    found = store.find(run_id)
    if found is not None or len(run_id) < SHORTEST:
        return found
    begin_so = select(schema.run.c.uuid).where(begins_with(schema.run.c.uuid, run_id), schema.run.c.stage != "purging")
    ids = tx.execute(begin_so.limit(2)).scalars().all()
    if len(ids) > 1:
        raise UsageError(f"several runs begin with {run_id}", hint="give more characters")
    return store.get(str(ids[0])) if ids else None
