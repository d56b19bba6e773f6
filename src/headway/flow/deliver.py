"""Say at the forge what is so: wanted reports and statuses from the state, then the outbox until it stands."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, func, select, union, update
from sqlalchemy.exc import SQLAlchemyError

from headway.app import App
from headway.auth.secrets import SecretStore
from headway.db import schema
from headway.errors import HeadwayError
from headway.flow.background import Background
from headway.flow.deciding import deciding_job
from headway.flow.deployed import deployment_of
from headway.flow.outbox import want
from headway.flow.present import view_job
from headway.flow.sending import FAR_LIVE_EVERY, send_waiting
from headway.flow.statuses import status_of
from headway.forges.local import NAME as LOCAL
from headway.forges.model import StatusState, WantedComment
from headway.jobs.model import Job
from headway.jobs.store import JobStore
from headway.logs import logger
from headway.reports.model import ReportState, ReportView
from headway.reports.render import redacted, render
from headway.serving.model import Release
from headway.serving.store import ReleaseStore

# Live edits are coalesced: nobody reads a comment four times a second (github.md, 4.6).
LIVE_EVERY = timedelta(seconds=2)


def step(app: App, background: Background) -> bool:
    """Bring what is wanted up to date and send what does not stand yet."""
    now = app.clock.now()
    settled = None if app.database.is_sqlite else _settled_event(app)
    with app.database.read() as tx:
        since = _told_until(tx)
        latest = _latest_event(tx) if settled is None else settled
        lanes = _touched(tx, since) if latest > since else set()
        lanes |= _outdated(tx, now)
        releases = _touched_releases(tx, since) if latest > since else []
        jobs = [job for lane in sorted(lanes, key=str) for job in JobStore(tx).find(*_of_lane(lane), limit=1)]
    done = [_told(app, job, now) for job in jobs] + [_recorded(app, release, now) for release in releases]
    if all(done) and latest > since:
        with app.database.write() as tx:
            _mark_told(tx, ALL, "", now, latest)
    return send_waiting(app, background, now)


def _told(app: App, job: Job, now: datetime) -> bool:
    try:
        _report(app, job, now)
    except (HeadwayError, SQLAlchemyError) as error:
        logger().warning("report cannot be made yet", job=job.number, error=str(error))
        return False
    except Exception:  # noqa: BLE001  # a defect: tried at every tick it would make all others be told again with it
        logger().exception("report cannot be made", job=job.number)
    return True


def _touched_releases(tx: Connection, since: int) -> list[Release]:
    event = schema.event.c
    moved = select(event.entity_id).where(event.seq > since, event.entity == "release")
    return ReleaseStore(tx).find(schema.release.c.id.in_(moved))


def _recorded(app: App, release: Release, now: datetime) -> bool:
    """Want the forge's record of a release as the release stands now."""
    try:
        with app.database.write() as tx:
            fresh = ReleaseStore(tx).get(release.id) or release
            wanted = deployment_of(app, tx, fresh)
            if wanted is not None:
                want(tx, wanted, now)
    except (HeadwayError, SQLAlchemyError) as error:
        logger().warning("deployment cannot be recorded yet", release=release.id, error=str(error))
        return False
    except Exception:  # noqa: BLE001  # a defect: the reports of others must be told all the same
        logger().exception("deployment cannot be recorded", release=release.id)
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


# One living report, or one status where no change is: repository, change, project, commit without a change.
Lane = tuple[str, int | None, str, str]


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
    of_jobs = select(job.repo_id, job.change, job.project, job.commit).where(job.id.in_(jobs))
    of_releases = select(release.repo_id, release.change, release.project).where(
        release.id.in_(select(event.entity_id).where(new, event.entity == "release")), release.change.is_not(None)
    )
    lanes = {_lane(*row) for row in tx.execute(of_jobs)} | {(*row, "") for row in tx.execute(of_releases)}
    far = _far_repos(tx)
    return {lane for lane in lanes if lane[1] is not None or lane[0] in far}


def _lane(repo_id: str, change: int | None, project: str, commit: str) -> Lane:
    return (repo_id, change, project, "" if change is not None else commit)


def _lane_of(job: Job) -> Lane:
    return _lane(job.repo_id, job.change, job.project, job.commit)


def _far_repos(tx: Connection) -> set[str]:
    return set(tx.execute(select(schema.repo.c.id).where(schema.repo.c.forge != LOCAL)).scalars())


def _outdated(tx: Connection, now: datetime) -> set[Lane]:
    """Return the reports of live jobs whose times and curves have grown old."""
    store, far = JobStore(tx), _far_repos(tx)
    jobs = (*store.unfinished(), *store.unsettled())
    lanes = {_lane_of(job) for job in jobs if job.change is not None or job.repo_id in far}
    if not lanes:
        return lanes
    told = schema.outbox.c
    rows = tx.execute(
        select(told.coalesce_key, told.repo_id, told.told_at).where(
            told.kind == "told", told.told_at > now - FAR_LIVE_EVERY
        ),
    )
    fresh = {
        row.coalesce_key for row in rows if row.told_at > now - (FAR_LIVE_EVERY if row.repo_id in far else LIVE_EVERY)
    }
    return {lane for lane in lanes if _told_key(lane) not in fresh}


def _of_lane(lane: Lane) -> tuple[ColumnElement[bool], ...]:
    repo_id, change, project, commit = lane
    where = (schema.job.c.repo_id == repo_id, schema.job.c.project == project)
    if change is None:
        return (*where, schema.job.c.change.is_(None), schema.job.c.commit == commit)
    return (*where, schema.job.c.change == change)


ALL = "told:*"


def _told_key(lane: Lane) -> str:
    repo_id, change, project, commit = lane
    return f"told:{repo_id}:{commit if change is None else change}:{project}"


def _report(app: App, job: Job, now: datetime) -> None:
    with app.database.read() as tx:
        seq = _latest_event(tx)
        store = JobStore(tx)
        fresh = store.get(job.id)
        judge = deciding_job(tx, fresh) or fresh
        project = store.plan(judge.plan_id).project
        hidden = tuple(SecretStore(tx).all_values(job.repo_id))
        view, deciding = (redacted(view_job(app, tx, each), hidden) for each in (fresh, judge))
    report = render(view)
    status = status_of(judge, deciding, report if judge.id == fresh.id else render(deciding), project)
    is_live = status.state is StatusState.PENDING
    with app.database.write() as tx:
        if fresh.change is not None:
            comment = WantedComment(repo_id=job.repo_id, number=fresh.change, marker=report.marker, body=report.body)
            want(tx, comment, now, is_live=_is_moving(view))
        want(tx, status, now, is_live=is_live)
        _mark_told(tx, _told_key(_lane_of(fresh)), job.repo_id, now, seq)


def _is_moving(view: ReportView) -> bool:
    is_unjudged = view.state in (ReportState.PLANNED, ReportState.QUEUED, ReportState.RUNNING)
    return is_unjudged or (view.release is not None and not view.release.state.is_final)


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
