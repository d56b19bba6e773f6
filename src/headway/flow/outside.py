"""A project's own tracker in the story: what it says of a job's commit, when that is waited for, what is news."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from headway.app import App
from headway.db import schema
from headway.db.events import record
from headway.environments.model import Tier
from headway.flow.deciding import deciding_job
from headway.flow.model import JobResult
from headway.jobs.model import Job, JobState
from headway.jobs.store import JobStore
from headway.planning.model import Plan
from headway.projects.model import TrackingSpec
from headway.tracking.outside import Outside
from headway.tracking.outside_store import Look, OutsideStore
from headway.tracking.watch_list import WatchList

PATIENCE = timedelta(seconds=60)


def tracking_of(plan: Plan) -> TrackingSpec | None:
    """Return the tracker whose word counts for a job; never for a fork's code, which anybody may tag."""
    return None if plan.tier is Tier.FORK else plan.project.tracking


def must_wait(app: App, job: Job) -> bool:
    """Whether a job's tracker has still to be asked what is tagged with its commit, before the job is judged."""
    with app.database.read() as tx:
        tracking = tracking_of(JobStore(tx).plan(job.plan_id))
        if tracking is None or job.state is not JobState.SUCCEEDED:
            return False
        look = OutsideStore(tx).look(job.repo_id, job.project, job.commit)
    ended, now = job.finished_at or app.clock.now(), app.clock.now()
    if look is None or look.wanted_at is None or look.wanted_at < ended:
        with app.database.write() as tx:
            WatchList(tx).want(job.repo_id, job.project, job.commit, tracking=tracking, at=ended)
        return True
    is_asked = look.tried_at is not None and look.tried_at >= ended
    return not is_asked and now - ended < PATIENCE


def with_outside(tx: Connection, plan: Plan, result: JobResult) -> JobResult:
    """Add to a result what its project's tracker says: metrics where our own run has none."""
    if tracking_of(plan) is None:
        return result
    found = OutsideStore(tx).outside(result.repo_id, result.project, result.commit)
    if found is None:
        return result
    own = _own_metrics(result)
    outside = found.taking(own)
    taken = {name: outside.usable[name] for name in outside.taken}
    return replace(result, outside=outside, metrics=own | taken)


def _own_metrics(result: JobResult) -> dict[str, float]:
    taken = result.outside.taken if result.outside else ()
    return {name: value for name, value in result.metrics.items() if name not in taken}


def is_news(before: Outside | None, after: Outside | None) -> bool:
    """Whether a verdict that was made by `before` must be made again."""
    return _weight(before) != _weight(after)


def _weight(outside: Outside | None) -> object:
    if outside is None:
        return None
    run = outside.chosen
    taken = {name: outside.usable.get(name) for name in outside.taken}
    return (bool(outside.unknown), taken, run.run_id if run and outside.is_judged else "")


def job_of(tx: Connection, look: Look) -> Job | None:
    """Return the job that judges a commit, whatever became of it; else the newest that tried other values."""
    table = schema.job.c
    where = (table.repo_id == look.repo_id, table.project == look.project, table.commit == look.commit)
    newest = next(iter(JobStore(tx).find(*where, limit=1)), None)
    return newest and (deciding_job(tx, newest) or newest)


def tell(tx: Connection, look: Look, what: str, at: datetime) -> None:
    """Let the report of a commit's job be made again, with the reason."""
    job = job_of(tx, look)
    if job is not None:
        record(tx, "job", job.id, to_state="tracker", reason=what, actor="headway", at=at)
