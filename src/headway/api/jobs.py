"""Jobs: their tasks, logs, reports and differences."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement

from headway.api.admit import admit_to
from headway.api.answers import Call
from headway.auth.belongs import Kind
from headway.auth.secrets import SecretStore
from headway.auth.visible import repos_in_sight
from headway.commands.store import CommandStore
from headway.db import schema
from headway.errors import NotFound
from headway.flow.compare import compare_jobs
from headway.flow.joblogs import read_logs
from headway.flow.present import view_job
from headway.flow.results import JobResults
from headway.jobs.store import JobStore
from headway.reports.render import redacted, render
from headway.reports.terminal import render_terminal
from headway.tracking.store import RunStore

_FILTERS = ("repo_id", "project", "state", "branch")


def list_jobs(call: Call) -> Any:
    """Return jobs, newest first, with the metrics of those that are judged."""
    where: list[ColumnElement[bool]] = [
        schema.job.c[name] == call.query[name] for name in _FILTERS if name in call.query
    ]
    where += repos_in_sight(call.principal, schema.job.c.repo_id)
    if "change" in call.query:
        where.append(schema.job.c.change == call.number("change", 0, most=10**9))
    with call.app.database.read() as tx:
        jobs = JobStore(tx).find(*where, limit=call.number("limit", 50), offset=call.number("offset", 0, most=10**9))
        results = JobResults(tx).of_jobs(job.id for job in jobs)
        causes = CommandStore(tx).causes(job.command_id for job in jobs)
    return [
        {
            "job": job,
            "asked": causes.get(job.command_id),
            "metrics": results[job.id].metrics if job.id in results else {},
            "outcome": _outcome(results.get(job.id)),
        }
        for job in jobs
    ]


def _outcome(result: Any) -> str | None:
    return result.verdict.outcome if result is not None and result.verdict is not None else None


def show(call: Call) -> Any:
    """Return one job whole: tasks, attempts, latest metrics, result."""
    with call.app.database.read() as tx:
        store = JobStore(tx)
        job = store.get(call.path["job"])
        tasks = store.tasks(job.id)
        metrics: dict[str, float] = {}
        for task in tasks:
            if task.run_id:
                run = RunStore(tx).find(task.run_id)  # it may have been purged
                metrics |= {name: point.value for name, point in run.metrics.items()} if run else {}
        return {
            "job": job,
            "asked": CommandStore(tx).causes([job.command_id]).get(job.command_id),
            "tasks": tasks,
            "attempts": store.attempts(task.id for task in tasks),
            "metrics": {name: value for name, value in metrics.items() if not name.startswith("system/")},
            "plan": store.plan(job.plan_id),
            "result": JobResults(tx).get(job.id),
            "position": store.queue_position(job) if job.state == "queued" else None,
        }


def logs(call: Call) -> Any:
    """Return log lines of a job from a cursor on; `next` continues."""
    with call.app.database.read() as tx:
        job = JobStore(tx).get(call.path["job"])
    return read_logs(
        call.app,
        job,
        task=call.query.get("task"),
        cursor=call.query.get("cursor", ""),
        limit=call.number("limit", 2000, most=20_000),
    )


def report(call: Call) -> Any:
    """Return the report: `format` is view (default), markdown or terminal."""
    with call.app.database.read() as tx:
        job = JobStore(tx).get(call.path["job"])
        view = view_job(call.app, tx, job)
        hidden = SecretStore(tx).all_values(job.repo_id)
    kind = call.query.get("format", "view")
    if kind == "markdown":
        return render(view, secrets=hidden)
    if kind == "terminal":
        text = render_terminal(view, width=call.number("width", 100), secrets=hidden)
        return {"text": text, "change": job.change}
    return redacted(view, hidden)


def compare(call: Call) -> Any:
    """Return what differs between this job and another (`with`, default its baseline)."""
    with call.app.database.read() as tx:
        store = JobStore(tx)
        job = store.get(call.path["job"])
        result = JobResults(tx).get(job.id)
        if result is None:
            raise NotFound(f"job #{job.number} has no result yet", hint="wait until it has ended")
        other = call.query.get("with") or result.baseline_job
        if not other:
            raise NotFound(f"job #{job.number} has no baseline", hint="name another job with ?with=")
        admit_to(call.app, call.principal, Kind.JOB, name=other)
        return compare_jobs(call.app, tx, job, store.get(other))
