"""Say at the forge what is so: wanted reports and statuses from the state, then the outbox until it stands."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, func, select, union, update
from sqlalchemy.exc import SQLAlchemyError

from headway.app import App
from headway.auth.secrets import SecretStore
from headway.db import schema
from headway.errors import HeadwayError, NotFound, Throttled
from headway.flow.background import Background
from headway.flow.merging import context
from headway.flow.outbox import KINDS, want
from headway.flow.present import job_url, view_job
from headway.flow.repos import forge_of
from headway.forges.local import NAME as LOCAL
from headway.forges.model import StatusState, WantedComment, WantedStatus
from headway.jobs.model import Job, JobState
from headway.jobs.store import JobStore
from headway.logs import logger
from headway.reports.model import Report, ReportState, ReportView
from headway.reports.render import render

# Live edits are coalesced: nobody reads a comment four times a second (github.md, 4.6).
LIVE_EVERY = timedelta(seconds=2)
MAX_TRIES = 12

_STATES = {
    ReportState.PLANNED: StatusState.PENDING,
    ReportState.QUEUED: StatusState.PENDING,
    ReportState.RUNNING: StatusState.PENDING,
    ReportState.PASSED: StatusState.SUCCESS,
    ReportState.FAILED: StatusState.FAILURE,
    ReportState.CRASHED: StatusState.ERROR,
    ReportState.CANCELLED: StatusState.CANCELLED,
    ReportState.SUPERSEDED: StatusState.CANCELLED,
}


def step(app: App, background: Background) -> bool:
    """Bring what is wanted up to date and send what does not stand yet."""
    now = app.clock.now()
    settled = None if app.database.is_sqlite else _settled_event(app)
    with app.database.read() as tx:
        since = _told_until(tx)
        latest = _latest_event(tx) if settled is None else settled
        lanes = _touched(tx, since) if latest > since else set()
        lanes |= _outdated(tx, now)
        jobs = [job for lane in sorted(lanes) for job in JobStore(tx).find(*_of_lane(lane), limit=1)]
    done = [_told(app, job, now) for job in jobs]
    if all(done) and latest > since:
        with app.database.write() as tx:
            _mark_told(tx, ALL, "", now, latest)
    return _send(app, background, now)


def _told(app: App, job: Job, now: datetime) -> bool:
    try:
        _report(app, job, now)
    except (HeadwayError, SQLAlchemyError) as error:
        logger().warning("report cannot be made yet", job=job.number, error=str(error))
        return False
    except Exception:  # noqa: BLE001  # a defect: tried at every tick it would make all others be told again with it
        logger().exception("report cannot be made", job=job.number)
    return True


def _told_until(tx: Connection) -> int:
    key = schema.outbox.c.coalesce_key
    return int(tx.execute(select(schema.outbox.c.told_seq).where(key == ALL)).scalar() or 0)


def _latest_event(tx: Connection) -> int:
    return int(tx.execute(select(func.max(schema.event.c.seq))).scalar() or 0)


def _settled_event(app: App) -> int:
    """Return the latest event that no event of a job, task or release can come before any more.

    PostgreSQL numbers a row when it is written and shows it when its transaction ends, and tracking's writer takes no
    turns: a run's event may stand there before a job's with a lower number, which would then never be told. Whoever
    writes of jobs takes turns: in a turn of ours, all that they have numbered is there.
    """
    with app.database.read() as tx:
        latest = _latest_event(tx)
        if latest <= _told_until(tx):
            return latest
    with app.database.write() as tx:
        return _latest_event(tx)


Lane = tuple[str, int, str]  # one living report: repository, change, project


def _touched(tx: Connection, since: int) -> set[Lane]:
    """Return the reports that something has happened to after event `since`: only these are made again."""
    event, job, task, attempt, release = (
        schema.event.c,
        schema.job.c,
        schema.task.c,
        schema.attempt.c,
        schema.release.c,
    )
    new = event.seq > since
    jobs = union(
        select(event.entity_id).where(new, event.entity.in_(("job", "override"))),
        select(task.job_id).where(task.id.in_(select(event.entity_id).where(new, event.entity == "task"))),
        select(task.job_id)
        .join(schema.attempt, attempt.task_id == task.id)
        .where(attempt.id.in_(select(event.entity_id).where(new, event.entity == "attempt"))),
    )
    of_jobs = select(job.repo_id, job.change, job.project).where(job.id.in_(jobs), job.change.is_not(None))
    of_releases = select(release.repo_id, release.change, release.project).where(
        release.id.in_(select(event.entity_id).where(new, event.entity == "release")), release.change.is_not(None)
    )
    return {(row[0], int(row[1]), row[2]) for query in (of_jobs, of_releases) for row in tx.execute(query)}


def _outdated(tx: Connection, now: datetime) -> set[Lane]:
    """Return the reports of live jobs whose times and curves have grown old."""
    store = JobStore(tx)
    lanes = {(job.repo_id, job.change, job.project) for job in (*store.unfinished(), *store.unsettled()) if job.change}
    if not lanes:
        return lanes
    told = schema.outbox.c
    rows = tx.execute(
        select(told.coalesce_key).where(told.kind == "told", told.told_at > now - LIVE_EVERY),
    ).scalars()
    fresh = set(rows)
    return {lane for lane in lanes if _told_key(lane) not in fresh}


def _of_lane(lane: Lane) -> tuple[ColumnElement[bool], ...]:
    repo_id, change, project = lane
    return (schema.job.c.repo_id == repo_id, schema.job.c.change == change, schema.job.c.project == project)


ALL = "told:*"


def _told_key(lane: Lane) -> str:
    return f"told:{lane[0]}:{lane[1]}:{lane[2]}"


def _report(app: App, job: Job, now: datetime) -> None:
    with app.database.read() as tx:
        seq = _latest_event(tx)
        fresh = JobStore(tx).get(job.id)
        view = view_job(app, tx, fresh)
        hidden = SecretStore(tx).all_values(job.repo_id)
    report = render(view, secrets=hidden)
    with app.database.write() as tx:
        if fresh.change is not None:
            want(
                tx,
                WantedComment(
                    repo_id=job.repo_id,
                    number=fresh.change,
                    marker=report.marker,
                    body=report.body,
                ),
                now,
            )
            want(tx, _status(app, fresh, view, report), now)
            _mark_told(tx, _told_key((job.repo_id, fresh.change, job.project)), job.repo_id, now, seq)


def _mark_told(tx: Connection, key: str, repo_id: str, now: datetime, seq: int) -> None:
    done = tx.execute(
        update(schema.outbox).where(schema.outbox.c.coalesce_key == key).values(told_at=now, told_seq=seq),
    ).rowcount
    if not done:
        tx.execute(
            schema.outbox.insert().values(
                coalesce_key=key,
                repo_id=repo_id,
                kind="told",
                want_body={},
                want_rev=0,
                next_at=now,
                told_at=now,
                told_seq=seq,
            ),
        )


def _status(app: App, job: Job, view: ReportView, report: Report) -> WantedStatus:
    state = _STATES.get(view.state)
    if state is None:
        # A release says nothing about whether the change may be merged: the verdict does.
        is_green = view.verdict is not None and view.verdict.allows_merge
        state = StatusState.SUCCESS if is_green else StatusState.FAILURE
    if state is StatusState.SUCCESS and job.state is not JobState.SUCCEEDED:
        state = StatusState.ERROR
    return WantedStatus(
        repo_id=job.repo_id,
        sha=job.commit,
        context=context(job.project),
        state=state,
        title=report.headline,
        url=job_url(app, job.number),
        external_id=job.id,
    )


def _send(app: App, background: Background, now: datetime) -> bool:
    """Send what does not stand yet: here at once, to a forge over the network beside the loops, in order."""
    table, repo = schema.outbox.c, schema.repo.c
    with app.database.read() as tx:
        rows = tx.execute(
            select(schema.outbox, repo.forge)
            .join(schema.repo, repo.id == table.repo_id)
            .where(table.want_rev > table.sent_rev, table.dead == "", table.next_at <= now)
            .order_by(table.next_at)
            .limit(50),
        ).all()
    near = [row for row in rows if row.forge == LOCAL]
    for row in near:
        _send_one(app, row)
    far: dict[str, list[Row[Any]]] = {}
    for row in rows:
        if row.forge != LOCAL:
            far.setdefault(row.repo_id, []).append(row)
    for repo_id, waiting in far.items():
        # One after the other for a repository: GitHub asks for writes in series.
        background.run(f"send:{repo_id}", partial(_send_all, app, waiting))
    return bool(near)


def _send_all(app: App, rows: list[Row[Any]]) -> None:
    for row in rows:
        _send_one(app, row)


def _send_one(app: App, row: Row[Any]) -> None:
    table = schema.outbox.c
    values: dict[str, object]
    try:
        wanted = msgspec.convert(row.want_body, KINDS[row.kind])
        receipt = forge_of(app, row.repo_id).deliver(wanted)
    except Throttled as error:
        values = {"next_at": error.until}
    except NotFound as error:
        values = {"dead": error.message}
    except Exception as error:  # noqa: BLE001  # one that cannot be sent must not hold up all others
        logger().warning("not delivered", what=row.coalesce_key, error=str(error))
        # A forge that is away comes back, and what is wanted must then stand there soon.
        is_away = isinstance(error, HeadwayError) and error.retryable
        wait = timedelta(seconds=min(2.0 ** (row.tries + 1), 60.0 if is_away else 300.0))
        values = {"tries": row.tries + 1, "next_at": app.clock.now() + wait}
        if row.tries + 1 >= MAX_TRIES and not is_away:
            values["dead"] = str(error)[:2000] or type(error).__name__
    else:
        values = {"sent_rev": row.want_rev, "remote_id": receipt.remote_id, "tries": 0}
    with app.database.write() as tx:
        # Something newer may be wanted by now: what became of the older says nothing of that.
        is_same = () if "sent_rev" in values else (table.want_rev == row.want_rev,)
        tx.execute(update(schema.outbox).where(table.coalesce_key == row.coalesce_key, *is_same).values(**values))
