"""Runs of jobs, copied into the MLflow server that a project names: once they ended, and for as long as it takes.

The attempt logs to Headway through its door, whatever that server does; what is acknowledged there is copied from here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial

from sqlalchemy import Connection

from headway.app import App
from headway.db.events import record
from headway.environments.model import Tier
from headway.errors import Conflict, HeadwayError, Unreachable
from headway.flow.background import Background
from headway.flow.present import base_url
from headway.flow.tracker_login import connected
from headway.jobs.model import Job
from headway.jobs.store import JobStore
from headway.logs import logger
from headway.planning.model import Plan
from headway.tracking.mirror_store import PENDING, Mirrored, MirrorStore
from headway.tracking.model import PARENT_TAG, Metric, Run
from headway.tracking.outside import host_of, run_url
from headway.tracking.peer.connection import PeerConnection
from headway.tracking.peer.reader import PeerReader
from headway.tracking.peer.tagged import MIRROR_TAG, search_tagged
from headway.tracking.peer.writer import POINTS, PeerWriter
from headway.tracking.store import RunStore

MOST_RUNS = 500  # of one job
IN_FLIGHT = timedelta(seconds=20)  # how long a request that was cut off may still take effect
VISIT = 15.0  # seconds: the rest follows at the next visit


def want_mirrors(tx: Connection, job: Job, plan: Plan, app: App) -> None:
    """Have an ended job's runs copied, where the base branch says so; a fork's never carry our word to others."""
    tracking = plan.project.tracking
    if tracking is None or tracking.mode != "log" or plan.tier is Tier.FORK:
        return
    runs = [task.run_id for task in JobStore(tx).tasks(job.id) if task.run_id]
    found = list(dict.fromkeys(each for run_id in runs for each in _family(RunStore(tx), run_id)))
    MirrorStore(tx).want(
        found[:MOST_RUNS],
        job_id=job.id,
        repo_id=job.repo_id,
        project=job.project,
        tracking=tracking,
        at=app.clock.now(),
    )


def _family(runs: RunStore, run_id: str) -> Iterator[str]:
    """Yield a run and its children, parents first."""
    waiting, seen = [run_id], set[str]()
    while waiting and len(seen) < MOST_RUNS:
        each = waiting.pop(0)
        if each in seen or runs.find(each) is None:
            continue
        seen.add(each)
        yield each
        waiting += runs.children(each)


def step(app: App, peers: Background) -> None:
    """Begin what is to be copied, one project at a time beside the loops."""
    with app.database.read() as tx:
        due = MirrorStore(tx).due_projects(app.clock.now())
    for repo_id, project in due:
        peers.run(f"mirror {repo_id}/{project}", partial(visit, app, repo_id, project))


def visit(app: App, repo_id: str, project: str) -> None:
    """Copy what a project has waiting until the visit is over; safe to leave at any point."""
    with app.database.read() as tx:
        due = MirrorStore(tx).due(repo_id, project, app.clock.now())
    ends = time.monotonic() + VISIT
    while due and time.monotonic() < ends:
        try:
            with connected(app, repo_id, due[0].tracking, seconds=VISIT) as connection:
                while due and time.monotonic() < ends:
                    Copy(app, connection, due[0]).make()
                    due.pop(0)
        except HeadwayError as error:
            # Out of time, and not away: what was sent is kept, and the next visit goes on from there.
            if time.monotonic() >= ends:
                return
            _postpone(app, due if isinstance(error, Unreachable) else due[:1], error)
            due = [] if isinstance(error, Unreachable) else due[1:]


def _postpone(app: App, failed: list[Mirrored], error: HeadwayError) -> None:
    cause = "; ".join(part for part in (error.message, error.cause, error.hint) if part)[:500]
    now = app.clock.now()
    with app.database.write() as tx:
        for each in failed:
            MirrorStore(tx).postponed(each, cause, now)
            if not each.tries:
                _tell(tx, each, f"not yet copied to {host_of(each.tracking.uri)}: {cause}", app)
    logger().warning("runs cannot be copied yet", project=failed[0].project, runs=len(failed), error=cause)


def _tell(tx: Connection, each: Mirrored, what: str, app: App) -> None:
    record(tx, "job", each.job_id, to_state="tracker", reason=what[:500], actor="headway", at=app.clock.now())


class Copy:
    """One run on its way into a foreign server; every step may be repeated."""

    def __init__(self, app: App, connection: PeerConnection, row: Mirrored) -> None:
        """Take what is known of it so far."""
        self._app = app
        self._connection = connection
        self._row = row
        self._writer = PeerWriter(connection)
        self._done = set(row.done)
        self._is_new = False

    def make(self) -> None:
        """Create or adopt the run there, send what is missing, and end it."""
        app, row = self._app, self._row
        with app.database.read() as tx:
            run = RunStore(tx).find(row.run_id)
        if run is None or run.info.stage != "active":
            with app.database.write() as tx:
                MirrorStore(tx).refused(row.run_id, "the run was deleted here", app.clock.now())
            return
        self._check_parent(run)
        remote = self._remote(run)
        self._send_points(run, remote)
        self._writer.pairs(remote, params=list(run.params.items()), tags=self._tags(run))
        self._writer.inputs(remote, run.datasets)
        self._writer.finish(remote, status=run.info.status.value, end_time=run.info.end_time)
        with app.database.write() as tx:
            MirrorStore(tx).finished(row.run_id, app.clock.now())
            _tell(tx, row, f"run {run.info.name} was copied to {host_of(row.tracking.uri)}", app)

    def _remote(self, run: Run) -> str:
        """Return the copy's id. The tag finds what an earlier try made, also one that ended before it knew so."""
        experiment = self._writer.experiment(self._row.tracking.experiment)
        found = search_tagged(self._connection, experiment, MIRROR_TAG, run.info.run_id)
        if found:
            # The first one, should somebody have copied a copy.
            remote = min(found, key=lambda each: (each.info.start_time, each.run_id)).run_id
        else:
            self._intend()
            self._is_new = True
            remote = self._writer.create_run(
                experiment,
                name=run.info.name,
                user=run.info.user_id,
                start_time=run.info.start_time,
                tags=[(MIRROR_TAG, run.info.run_id)],
            ).run_id
        if remote != self._row.remote_run_id:
            self._done = set()
        with self._app.database.write() as tx:
            MirrorStore(tx).found(
                run.info.run_id,
                remote_run_id=remote,
                remote_url=run_url(self._row.tracking.uri, experiment, remote),
                is_new=remote != self._row.remote_run_id,
            )
        return remote

    def _check_parent(self, run: Run) -> None:
        """Return when the run's parent, if it is to be copied too, is there already.

        Raises:
            Conflict: it is not, and the copy could not say whose child it is.
        """
        parent = run.tags.get(PARENT_TAG, "")
        with self._app.database.read() as tx:
            is_behind = bool(parent) and MirrorStore(tx).is_awaited(parent)
        if is_behind:
            raise Conflict("its parent run is not copied yet", hint="nothing: it follows its parent")

    def _intend(self) -> None:
        """Note that a run is about to be made there; one that was, and is not seen, may still arrive.

        Raises:
            Conflict: an earlier try is too fresh to be given up.
        """
        now = self._app.clock.now()
        if self._row.remote_run_id == PENDING and now - self._row.since < IN_FLIGHT:
            raise Conflict(
                "an earlier try to make the run there was cut off, and may still arrive",
                hint=f"nothing: it is looked for again, and made anew after {IN_FLIGHT.seconds} seconds",
            )
        with self._app.database.write() as tx:
            MirrorStore(tx).creating(self._row.run_id, now)

    def _send_points(self, run: Run, remote: str) -> None:
        batch: list[Metric] = []
        ended: list[str] = []
        for key in sorted(set(run.metrics) - self._done):
            for point in self._missing(run, remote, key):
                batch.append(point)
                if len(batch) == POINTS:
                    self._flush(remote, batch, ended)
                    batch, ended = [], []
            ended.append(key)
        self._flush(remote, batch, ended)

    def _missing(self, run: Run, remote: str, key: str) -> Iterator[Metric]:
        with self._app.database.read() as tx:
            points = RunStore(tx).history(run.info.run_id, key)
        if self._is_new:
            yield from points
            return
        # Not every store of MLflow's takes an equal point once: what an earlier try has sent is left out.
        there = {
            (each.timestamp, each.step, repr(each.value)) for each in PeerReader(self._connection).history(remote, key)
        }
        yield from (each for each in points if (each.timestamp, each.step, repr(each.value)) not in there)

    def _flush(self, remote: str, batch: list[Metric], ended: list[str]) -> None:
        if batch:
            self._writer.points(remote, batch)
        self._done |= set(ended)
        with self._app.database.write() as tx:
            MirrorStore(tx).sent(self._row.run_id, sorted(self._done))

    def _tags(self, run: Run) -> list[tuple[str, str]]:
        tags = {**run.tags, MIRROR_TAG: run.info.run_id, "headway.url": f"{base_url(self._app)}/runs/{run.info.run_id}"}
        parent = tags.pop(PARENT_TAG, "")
        if parent:
            with self._app.database.read() as tx:
                there = MirrorStore(tx).remote_of(parent)
            if there:
                tags[PARENT_TAG] = there
        return list(tags.items())
