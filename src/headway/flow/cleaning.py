"""Free what nothing refers to any more: on demand (`headway server clean`), and by the worker as time goes by."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import select

from headway.app import App
from headway.db import schema
from headway.db.reclaim import reclaim
from headway.errors import HeadwayError
from headway.flow.background import Background
from headway.flow.ballast import keep_ballast
from headway.flow.keeping import refresh
from headway.flow.purging import work_off
from headway.flow.retention import retain
from headway.flow.space import measure
from headway.flow.trimming import drop_contents, orphan_contents, trim_files, trim_rows
from headway.jobs.store import JobStore
from headway.logs import logger
from headway.serving.store import DeploymentStore
from headway.tracking.purge import is_pending

IN_THE_MAKING = timedelta(hours=6)
HOURLY, DAILY = 3600.0, 86_400.0
RETRY = 30.0  # seconds until a purge that is held up is tried again
BREATH = 0.01  # between two batches, so that trainings get their turn to write
_ORPHANS_AT_ONCE = 100


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
    environments = sum(each.prune(needed) for each in (app.builder, *app.builders.values()))
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


# --- by the worker ----------------------------------------------------------------------------------


@dataclass(slots=True)
class Upkeep:
    """The worker's upkeep: purges at once, rules every hour, the rest once a day."""

    orphans: list[str] = field(default_factory=list)
    seen_at: datetime | None = None  # when the orphans were looked for
    tried: float = 0.0

    def step(self, app: App, background: Background) -> bool:
        """Begin what is due; return whether a purge is under way."""
        self._drop_orphans(app)
        if is_due(app, "retention", HOURLY):
            background.run("retention", partial(apply_rules, app))
        elif is_due(app, "upkeep", DAILY):
            background.run("upkeep", partial(self._daily, app))
        with app.database.read() as tx:
            is_waiting = is_pending(tx)
        if not is_waiting or background.is_running("purge"):
            return is_waiting
        if time.monotonic() - self.tried < RETRY:
            return False
        return background.run("purge", partial(self._purge, app))

    def _purge(self, app: App) -> None:
        removed = work_off(app, pause=partial(time.sleep, BREATH))
        # Nothing went: something is in the way, and asking again at once would only fill the log.
        self.tried = 0.0 if removed else time.monotonic()
        if removed:
            measure(app)

    def _daily(self, app: App) -> None:
        keep_ballast(app)
        rows = trim_rows(app)
        freed = trim_files(app, _remove)
        began = app.clock.now()
        found = orphan_contents(app)
        self.seen_at, self.orphans = began, found
        cleaned = clean_up(app)
        reclaim(app.database)
        measure(app)
        logger().info("upkeep", **rows, freed=freed, orphans=len(found), cleaned=str(cleaned))

    def _drop_orphans(self, app: App) -> None:
        """Remove a few stored outputs, here between two ticks, where nothing can begin to be collected."""
        if self.orphans and self.seen_at is not None:
            part, self.orphans = self.orphans[:_ORPHANS_AT_ONCE], self.orphans[_ORPHANS_AT_ONCE:]
            drop_contents(app, part, since=self.seen_at)


def apply_rules(app: App) -> None:
    """Apply the retention rules until they find nothing more to do."""
    rules = refresh(app)
    while True:
        done = retain(app, rules)
        if not done.runs and not done.purges:
            return
        logger().info("retention", ended=len(done.runs), purges=len(done.purges), held=done.held)
        time.sleep(BREATH)


def is_due(app: App, name: str, every: float) -> bool:
    """Whether `every` seconds have gone since this was last due, however often the server was started in between."""
    mark = app.data / "upkeep" / name
    now = app.clock.now().timestamp()
    try:
        last = mark.stat().st_mtime
    except FileNotFoundError:
        last = now  # a new server: its first time comes later
        if not _touch(mark):
            return False
    if now - last < every:
        return False
    return _touch(mark)


def _touch(mark: Path) -> bool:
    try:
        mark.parent.mkdir(mode=0o700, exist_ok=True)
        mark.touch()
    except OSError:
        return False  # a full disk: nothing is begun that could not be marked as begun
    return True


def reclaim_now(app: App) -> dict[str, object]:
    """Trim rows and files and give the database's unused pages back at once; a first call may write it anew.

    Raises:
        StorageFull: there is no room to write the database anew.
    """
    rows = trim_rows(app)
    freed = trim_files(app, _remove)
    cleaned = clean_up(app)
    done = reclaim(app.database, whole=True)
    try:
        space = measure(app)
    except HeadwayError:
        space = None
    return {
        "rows": rows,
        "files": freed + cleaned.environments + cleaned.attempts + cleaned.builds,
        "database": done,
        "at": space.at if space else app.clock.now(),
    }
