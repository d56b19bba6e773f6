"""Say at the forge what is so: wanted reports and statuses from the state, then the outbox until it stands."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection, or_, select, update

from headway.app import App
from headway.auth.secrets import SecretStore
from headway.db import schema
from headway.errors import HeadwayError, NotFound
from headway.flow.background import Background
from headway.flow.merging import context
from headway.flow.outbox import KINDS, want
from headway.flow.present import job_url, view_job
from headway.flow.repos import forge_of
from headway.forges.model import StatusState, WantedComment, WantedStatus
from headway.jobs.model import Job, JobState
from headway.jobs.store import JobStore
from headway.logs import logger
from headway.reports.model import Report, ReportState, ReportView
from headway.reports.render import render

# A finished job's report may still change: a release, an override.
STILL_TOLD = timedelta(hours=48)
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


def step(app: App, _background: Background) -> bool:
    """Bring what is wanted up to date and send what does not stand yet."""
    now = app.clock.now()
    with app.database.read() as tx:
        jobs = _told_of(tx, now)
        outdated = [job for job in jobs if _is_due(tx, job, now)]
    for job in outdated:
        _report(app, job, now)
    return _send(app, now)


def _told_of(tx: Connection, now: datetime) -> list[Job]:
    """The newest job of each project of each change that anything may still be said of."""
    recent = or_(schema.job.c.finished_at.is_(None), schema.job.c.finished_at > now - STILL_TOLD)
    newest: dict[tuple[str, int | None, str], Job] = {}
    for job in JobStore(tx).find(schema.job.c.change.is_not(None), recent, limit=500):
        newest.setdefault((job.repo_id, job.change, job.project), job)
    return list(newest.values())


def _is_due(tx: Connection, job: Job, now: datetime) -> bool:
    """Whether something happened to the job (or its release) since it was last told of, or it is simply live."""
    said = tx.execute(
        select(schema.outbox.c.want_body, schema.outbox.c.told_at, schema.outbox.c.told_seq).where(
            schema.outbox.c.coalesce_key == _told_key(job),
        ),
    ).first()
    latest = int(tx.execute(select(schema.event.c.seq).order_by(schema.event.c.seq.desc()).limit(1)).scalar() or 0)
    if said is None or said.told_at is None:
        return True
    if latest > said.told_seq:
        return True
    return not job.state.is_final and now - said.told_at >= LIVE_EVERY


def _told_key(job: Job) -> str:
    return f"told:{job.repo_id}:{job.change}:{job.project}"


def _report(app: App, job: Job, now: datetime) -> None:
    with app.database.read() as tx:
        seq = int(tx.execute(select(schema.event.c.seq).order_by(schema.event.c.seq.desc()).limit(1)).scalar() or 0)
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
        _mark_told(tx, fresh, now, seq)


def _mark_told(tx: Connection, job: Job, now: datetime, seq: int) -> None:
    key = _told_key(job)
    done = tx.execute(
        update(schema.outbox).where(schema.outbox.c.coalesce_key == key).values(told_at=now, told_seq=seq),
    ).rowcount
    if not done:
        tx.execute(
            schema.outbox.insert().values(
                coalesce_key=key,
                repo_id=job.repo_id,
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


def _send(app: App, now: datetime) -> bool:
    table = schema.outbox.c
    with app.database.read() as tx:
        rows = tx.execute(
            select(schema.outbox)
            .where(table.want_rev > table.sent_rev, table.dead == "", table.next_at <= now)
            .order_by(table.next_at)
            .limit(50),
        ).all()
    for row in rows:
        wanted = msgspec.convert(row.want_body, KINDS[row.kind])
        values: dict[str, object]
        try:
            receipt = forge_of(app, row.repo_id).deliver(wanted)
        except NotFound as error:
            values = {"dead": error.message}
        except HeadwayError as error:
            logger().warning("not delivered", what=row.coalesce_key, error=error.message)
            wait = timedelta(seconds=min(2.0 ** (row.tries + 1), 300.0))
            values = {"tries": row.tries + 1, "next_at": now + wait}
            if row.tries + 1 >= MAX_TRIES:
                values["dead"] = error.message
        else:
            values = {"sent_rev": row.want_rev, "remote_id": receipt.remote_id, "tries": 0}
        with app.database.write() as tx:
            tx.execute(update(schema.outbox).where(table.coalesce_key == row.coalesce_key).values(**values))
    return bool(rows)
