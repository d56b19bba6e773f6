"""Two jobs side by side: what went in beside what came out."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from headway.app import App
from headway.errors import NotFound
from headway.flow.changed import what_changed
from headway.flow.model import JobResult
from headway.flow.repos import git_at
from headway.flow.results import JobResults
from headway.jobs.model import Job
from headway.reports.model import WhatChanged


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The newer job, the older one, what changed between them and what moved."""

    job: int
    other: int
    changed: WhatChanged
    metrics: dict[str, tuple[float | None, float | None]]  # name -> (other, job)


def compare_jobs(app: App, tx: Connection, job: Job, other: Job) -> Comparison:
    """Return the differences of two jobs with results.

    Raises:
        NotFound: one of them has none.
    """
    now, before = _result(tx, job), _result(tx, other)
    names = sorted({*now.metrics, *before.metrics})
    return Comparison(
        job=job.number,
        other=other.number,
        changed=what_changed(git_at(app, job.repo_id, job.commit), before, now),
        metrics={name: (before.metrics.get(name), now.metrics.get(name)) for name in names},
    )


def _result(tx: Connection, job: Job) -> JobResult:
    found = JobResults(tx).get(job.id)
    if found is None:
        raise NotFound(f"job #{job.number} has no result", cause=f"it is {job.state}", hint="wait until it has ended")
    return found
