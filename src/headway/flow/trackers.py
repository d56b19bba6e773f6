"""Ask the MLflow servers that projects name, beside the loops: a slow one holds up nothing but itself."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from headway.app import App
from headway.errors import HeadwayError
from headway.flow import mirror
from headway.flow.adopt import adopt
from headway.flow.background import Background
from headway.flow.outside import is_news, job_of, tell, with_outside
from headway.flow.results import JobResults
from headway.flow.settle import judge_again
from headway.flow.tracker_login import connected
from headway.jobs.store import JobStore
from headway.logs import logger
from headway.tracking.outside import OutsideRun, host_of
from headway.tracking.outside_store import Look, OutsideStore
from headway.tracking.peer.tagged import find_tagged
from headway.tracking.watch_list import WatchList


def step(app: App, peers: Background) -> bool:
    """Begin what is due, each project's tracker once at a time; never waits for any of them."""
    if not peers.is_due("trackers", 0.5):
        return False
    with app.database.read() as tx:
        due = WatchList(tx).due(app.clock.now())
    for repo_id, project in due:
        peers.run(f"ask {repo_id}/{project}", partial(ask, app, repo_id, project))
    mirror.step(app, peers)
    return False


def ask(app: App, repo_id: str, project: str) -> None:
    """Ask one project's tracker for the commits that are due, and act on what it says; bounded in time and size."""
    with app.database.read() as tx:
        looks = WatchList(tx).to_ask(repo_id, project, app.clock.now())
    if not looks:
        return
    answered: list[tuple[Look, tuple[OutsideRun, ...]]] = []
    try:
        with connected(app, repo_id, looks[0].tracking) as connection:
            for look in looks:
                began = app.clock.now()
                answered.append((look, find_tagged(connection, look.tracking, look.commit)))
                _keep(app, look, answered[-1][1], began)
    except HeadwayError as error:
        _away(app, looks[len(answered) :], error)
    for look, runs in answered:
        try:
            _judge_anew(app, look)
            adopt(app, look, runs)
        except HeadwayError as error:
            logger().warning("what a tracker says cannot be used", project=project, error=str(error))


def _keep(app: App, look: Look, runs: tuple[OutsideRun, ...], began: datetime) -> None:
    with app.database.write() as tx:
        store = OutsideStore(tx)
        before = store.state(look.repo_id, look.project)
        # As old as the question: what came in between may be missing.
        store.answered(look, runs, began)
        if before is not None and before.away_since is not None:
            _tell_all(tx, look, f"{host_of(look.tracking.uri)} answers again", began)
        elif runs != look.runs:
            tell(tx, look, f"{host_of(look.tracking.uri)} tells of {len(runs)} runs", began)


def _judge_anew(app: App, look: Look) -> None:
    """Judge the newest job of a commit again when its tracker says something else than it was judged by."""
    with app.database.read() as tx:
        job, results = job_of(tx, look), JobResults(tx)
        result = None if job is None else results.get(job.id)
        # A baseline has been compared with: it stays what it was.
        if job is None or result is None or result.verdict is None or results.is_baseline(job.id):
            return
        fresh = with_outside(tx, JobStore(tx).plan(job.plan_id), result)
    if not is_news(result.outside, fresh.outside):
        return
    judge_again(app, job, fresh)
    with app.database.write() as tx:
        tell(tx, look, f"judged again by what {host_of(look.tracking.uri)} says now", app.clock.now())


def _away(app: App, looks: list[Look], error: HeadwayError) -> None:
    cause = "; ".join(part for part in (error.message, error.cause, error.hint) if part)
    now = app.clock.now()
    with app.database.write() as tx:
        store = OutsideStore(tx)
        before = store.state(looks[0].repo_id, looks[0].project)
        store.failed(looks, cause, now)
        if before is not None and before.away_since is not None:
            return
        _tell_all(tx, looks[0], f"{host_of(looks[0].tracking.uri)} cannot be reached: {cause}"[:500], now)
    logger().warning("a project's tracker cannot be asked", project=looks[0].project, error=cause)


def _tell_all(tx: Connection, look: Look, what: str, at: datetime) -> None:
    for each in OutsideStore(tx).live(look.repo_id, look.project):
        tell(tx, each, what, at)
