"""A job's report as a page shows it: the same document as the comment's, with links that stay on this server."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from headway.app import App
from headway.auth.secrets import SecretStore
from headway.flow.present import base_url, view_job
from headway.jobs.model import Job
from headway.reports.document import Document
from headway.reports.model import ReportState, ReportView
from headway.reports.render import redacted
from headway.reports.sections import compose

# What a page says better itself: as a drawing, as live curves, as a table of jobs, as buttons.
_ON_CHANGE = frozenset({"charts", "curves", "runs_table", "earlier_runs", "tasks", "elsewhere"})
_ON_JOB = frozenset({*_ON_CHANGE, "summary", "crash", "next_step", "release"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The report of one job."""

    job: Job
    view: ReportView
    document: Document
    skipped: frozenset[str]
    is_stale: bool = False  # the change has moved on since


def tell_change(app: App, tx: Connection, job: Job, *, head: str) -> Told:
    """Return the report of a change's job."""
    view = _view(app, tx, job)
    return Told(job=job, view=view, document=compose(view), skipped=_ON_CHANGE, is_stale=job.commit != head)


def tell_job(app: App, tx: Connection, job: Job) -> Told:
    """Return the report of a job by itself: what it was judged by, whatever was released of it later."""
    view = _view(app, tx, job)
    if view.release is not None and view.verdict is not None:
        state = ReportState.PASSED if view.verdict.allows_merge else ReportState.FAILED
        view = replace(view, release=None, state=state)
    return Told(job=job, view=view, document=compose(view), skipped=_ON_JOB)


def _view(app: App, tx: Connection, job: Job) -> ReportView:
    view = redacted(view_job(app, tx, job), SecretStore(tx).all_values(job.repo_id))
    base = base_url(app)
    return replace(
        view,
        url=view.url.removeprefix(base),
        baseline_url=view.baseline_url.removeprefix(base),
        release_url=view.release_url.removeprefix(base),
        compare_url="",  # the change's page: that is where the reader is
        log_url=view.log_url.removeprefix(base),
        earlier_url=view.earlier_url.removeprefix(base),
        runs=tuple(replace(row, url=row.url.removeprefix(base)) for row in view.runs),
    )
