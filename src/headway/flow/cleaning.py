"""`headway server clean`: free what nothing refers to any more."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select

from headway.app import App
from headway.db import schema
from headway.jobs.store import JobStore
from headway.serving.store import DeploymentStore

IN_THE_MAKING = timedelta(hours=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """What was freed, in bytes."""

    environments: int
    attempts: int
    builds: int


def clean_up(app: App) -> Cleaned:
    """Remove environments that neither a job of late nor a deployment needs, and old attempts' folders."""
    since = app.clock.now() - timedelta(days=app.settings.keep_attempts_days)
    with app.database.read() as tx:
        store = JobStore(tx)
        recent = store.find(schema.job.c.queued_at >= since, limit=1000)
        plans = [store.plan(job.plan_id) for job in recent]
        live = {attempt.id for attempt in store.live_attempts()}
        young = set(tx.execute(select(schema.attempt.c.id).where(schema.attempt.c.finished_at >= since)).scalars())
        needed = {planned.spec.env.digest for plan in plans for planned in plan.tasks}
        needed |= set(tx.execute(select(schema.model_version.c.env_digest)).scalars())
        needed |= {Path(route.env_path).name for kept in DeploymentStore(tx).all() for route in kept.deployment.routes}
    environments = app.builder.prune(needed)
    # What is young may be in the making: an attempt is recorded after its folder is filled, a build nowhere at all.
    settled = (app.clock.now() - IN_THE_MAKING).timestamp()
    attempts = sum(
        _remove(folder)
        for folder in _children(app.data / "attempts", before=settled)
        if folder.name not in live | young
    )
    builds = sum(_remove(entry) for entry in _children(app.data / "builds", before=settled))
    return Cleaned(environments=environments, attempts=attempts, builds=builds)


def _children(folder: Path, *, before: float) -> list[Path]:
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [entry for entry in found if entry.lstat().st_mtime < before]


def _remove(entry: Path) -> int:
    if not entry.is_dir() or entry.is_symlink():
        size = entry.lstat().st_size
        entry.unlink()
        return size
    size = sum(path.lstat().st_size for path in entry.rglob("*") if path.is_file())
    shutil.rmtree(entry, ignore_errors=True)
    return size
