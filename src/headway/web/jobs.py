"""Jobs: what runs, what waits, what became of it; one job whole; two side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, select
from starlette.responses import Response

from headway.app import App
from headway.auth.visible import repos_in_sight
from headway.commands.store import CommandStore
from headway.db import schema
from headway.errors import HeadwayError, UsageError
from headway.flow.compare import Comparison, compare_jobs
from headway.flow.joblogs import read_logs
from headway.flow.model import JobResult
from headway.flow.present import command_text
from headway.flow.results import JobResults
from headway.forges.repo_store import RepoStore
from headway.jobs.model import Attempt, Job, Task
from headway.jobs.store import JobStore
from headway.planning.model import Plan, PlannedTask
from headway.reports import numbers
from headway.tracking.mirror_store import MirrorStore
from headway.tracking.store import RunStore
from headway.web.charts import baseline_of
from headway.web.graph import draw
from headway.web.told import tell_job
from headway.web.visit import HEADERS, Visit

PAGE = 50
TAIL = 500
_CHUNK = 2000
_STATES = ("queued", "running", "succeeded", "failed", "cancelled", "refused")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One job in a table."""

    job: Job
    outcome: str = ""  # of its verdict, where it has one
    metrics: dict[str, float] = field(default_factory=dict)
    declared: tuple[str, ...] = ()  # metrics that the project names, the primary first
    params: dict[str, Any] = field(default_factory=dict)
    is_baseline: bool = False


def lines_of(tx: Connection, jobs: Iterable[Job]) -> list[Line]:
    """Return jobs with what they were judged by."""
    jobs = list(jobs)
    ids = [job.id for job in jobs]
    results = JobResults(tx).of_jobs(ids)
    table = schema.result.c
    kept = set(tx.execute(select(table.job_id).where(table.job_id.in_(ids), table.is_baseline.is_(True))).scalars())
    return [_line(job, results.get(job.id), is_baseline=job.id in kept) for job in jobs]


def _line(job: Job, result: JobResult | None, *, is_baseline: bool) -> Line:
    if result is None:
        return Line(job=job)
    verdict = result.verdict
    judged = [check.metric for check in verdict.checks if check.metric in result.metrics] if verdict else []
    return Line(
        job=job,
        outcome=verdict.outcome.value if verdict else "",
        metrics=result.metrics,
        declared=tuple(dict.fromkeys(judged)),
        params=dict(result.params),
        is_baseline=is_baseline,
    )


def primary_metric(result: JobResult | None) -> str:
    """Return the first judged metric with its change, in words; "" where there is none."""
    if result is None or result.verdict is None:
        return ""
    name = next((check.metric for check in result.verdict.checks if check.metric in result.metrics), "")
    if not name:
        return ""
    value, before = result.metrics[name], result.baseline_metrics.get(name)
    places = numbers.decimals(value, before)
    change = f" ({numbers.delta(value - before, places)})" if before is not None else ""
    return f"{name} {numbers.number(value, places)}{change}"


def list_jobs(visit: Visit) -> Response:
    """Show jobs, newest first; the filter stands in the address."""
    columns = schema.job.c
    before = visit.number("before", 0, most=10**9)
    chosen = {name: visit.query.get(name, "") for name in ("project", "state", "branch")}
    if chosen["state"] and chosen["state"] not in _STATES:
        raise UsageError(f"state={chosen['state']!r} is not one of {', '.join(_STATES)}")
    where: list[ColumnElement[bool]] = [columns[name] == value for name, value in chosen.items() if value]
    seen = repos_in_sight(visit.principal, columns.repo_id)
    where += seen
    if before:
        where.append(columns.number < before)
    with visit.app.database.read() as tx:
        jobs = JobStore(tx).find(*where, limit=PAGE + 1)
        lines = lines_of(tx, jobs[:PAGE])
        names = select(columns.project).where(*seen).distinct().order_by(columns.project)
        projects = list(tx.execute(names).scalars())
    older = jobs[PAGE - 1].number if len(jobs) > PAGE else 0
    is_live = any(not line.job.state.is_final for line in lines)
    return visit.page(
        "jobs_live.html" if visit.is_part else "jobs.html",
        lines=lines,
        columns=_shared_columns(lines),
        projects=projects,
        chosen=chosen,
        states=_STATES,
        older=older,
        every=2 if is_live else 15,
    )


def _shared_columns(lines: list[Line]) -> list[str]:
    return list(dict.fromkeys(name for line in lines for name in line.declared))[:3]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A task with its attempts and the latest numbers of its run."""

    task: Task
    attempts: tuple[Attempt, ...]
    metrics: dict[str, float]
    system: dict[str, float]
    action: str  # what the plan said, and why
    data: dict[str, str]


def show(visit: Visit) -> Response:
    """Show one job whole; while it runs, the page follows it."""
    app = visit.app
    with app.database.read() as tx:
        store = JobStore(tx)
        job = store.get(str(visit.path["number"]))
        plan = store.plan(job.plan_id)
        tasks = store.tasks(job.id)
        result = JobResults(tx).get(job.id)
        told = tell_job(app, tx, job)
        shown = _tasks(tx, plan, tasks)
        command = CommandStore(tx).get(job.command_id)
        repo = RepoStore(tx).find(job.repo_id)
        environments = _environments(tx, plan)
        baseline = baseline_of(tx, result)
        mirrors = MirrorStore(tx).of_job(job.id)
        position = store.queue_position(job) if job.state == "queued" else None
    is_live = job.settled_at is None
    return visit.page(
        "job_live.html" if visit.is_part else "job.html",
        job=job,
        repo=repo,
        plan=plan,
        told=told,
        view=told.view,
        tasks=shown,
        graph=draw(told.view.tasks),
        result=result,
        command=command_text(command),
        cause=command.cause,
        environments=environments,
        baseline=baseline,
        mirrors=mirrors,
        position=position,
        is_live=is_live,
        every=2,
    )


def _tasks(tx: Connection, plan: Plan, tasks: list[Task]) -> list[Shown]:
    store, runs = JobStore(tx), RunStore(tx)
    planned = {each.spec.name: each for each in plan.tasks}
    attempts = store.attempts(task.id for task in tasks)
    found = []
    for task in tasks:
        run = runs.find(task.run_id) if task.run_id else None
        latest = {name: point.value for name, point in run.metrics.items()} if run else {}
        wanted = planned.get(task.name)
        found.append(
            Shown(
                task=task,
                attempts=tuple(each for each in attempts if each.task_id == task.id),
                metrics={name: value for name, value in sorted(latest.items()) if not name.startswith("system/")},
                system={name: value for name, value in sorted(latest.items()) if name.startswith("system/")},
                action=_action(wanted, task),
                data=dict(wanted.spec.data) if wanted else {},
            ),
        )
    return found


def _action(wanted: PlannedTask | None, task: Task) -> str:
    if wanted is None:
        return ""
    # Once it is decided, only why it was decided so is of interest.
    return wanted.why if task.state.is_final else f"{wanted.action.value.replace('_', ' ')}: {wanted.why}"


def _environments(tx: Connection, plan: Plan) -> list[dict[str, Any]]:
    """Return what each environment of a plan is, with what its making took where that is recorded."""
    specs = {each.spec.env.digest: each.spec.env for each in plan.tasks}
    table = schema.environment
    rows = tx.execute(select(table).where(table.c.digest.in_(list(specs)))).mappings()
    made = {row["digest"]: float(row["seconds"]) for row in rows}
    return [
        {
            "digest": spec.digest,
            "kind": spec.kind.value,
            "python": spec.python,
            "files": spec.files,
            "seconds": made.get(spec.digest),
        }
        for spec in specs.values()
    ]


# --- the log ---------------------------------------------------------------------------------------


def log(visit: Visit) -> Response:
    """Return the lines since the cursor, and the element that asks for the next ones."""
    job, task = _job(visit.app, visit.path["number"]), visit.query.get("task") or None
    if "cursor" in visit.query:
        page = read_logs(visit.app, job, task=task, cursor=visit.query["cursor"], limit=_CHUNK)
        lines, cursor, is_final, skipped = list(page.lines), page.next, page.is_final, 0
    else:
        lines, cursor, is_final, skipped = _last_lines(visit.app, job, task)
    return visit.page(
        "log_more.html",
        job=job,
        lines=lines,
        skipped=skipped,
        cursor=cursor,
        task=task or "",
        # After its end a job may still have lines that did not fit into this page.
        is_over=is_final and len(lines) < _CHUNK,
        is_first="cursor" not in visit.query,
    )


def _last_lines(app: App, job: Job, task: str | None) -> tuple[list[str], str, bool, int]:
    """Return the last lines of a log, and how many stand before them."""
    kept: deque[str] = deque(maxlen=TAIL)
    cursor, total = "", 0
    while True:
        page = read_logs(app, job, task=task, cursor=cursor, limit=_CHUNK)
        kept.extend(page.lines)
        total += len(page.lines)
        cursor = page.next
        if len(page.lines) < _CHUNK:
            return list(kept), cursor, page.is_final, total - len(kept)


def whole_log(visit: Visit) -> Response:
    """Return the whole log as text to keep."""
    job = _job(visit.app, visit.path["number"])
    cursor = ""
    parts: list[str] = []
    while True:
        page = read_logs(visit.app, job, task=visit.query.get("task") or None, cursor=cursor, limit=_CHUNK)
        parts += page.lines
        cursor = page.next
        if len(page.lines) < _CHUNK:
            break
    kept = {"content-disposition": f'attachment; filename="job-{job.number}.log"'}
    return Response("\n".join(parts) + "\n", media_type="text/plain", headers=HEADERS | kept)


def _job(app: App, number: int) -> Job:
    with app.database.read() as tx:
        return JobStore(tx).get(str(number))


# --- two of them -----------------------------------------------------------------------------------


def choose(visit: Visit) -> Response:
    """Lead from a form (`a` and `b`, or two ticked rows) to the comparison."""
    chosen = [visit.query.get("a", ""), visit.query.get("b", "")]
    if any(not (each.isascii() and each.isdigit() and len(each) < 10) for each in chosen):
        raise UsageError("two jobs are compared", cause="not both are named", hint="choose one as A and another as B")
    return visit.go(f"/jobs/{int(chosen[0])}/compare/{int(chosen[1])}")


def compare(visit: Visit) -> Response:
    """Show what differs between two jobs: inputs beside outputs."""
    app = visit.app
    found: Comparison | None = None
    error: HeadwayError | None = None
    with app.database.read() as tx:
        store = JobStore(tx)
        older, newer = store.get(str(visit.path["a"])), store.get(str(visit.path["b"]))
        lines = {line.job.id: line for line in lines_of(tx, [older, newer])}
        names = tuple(each.name for each in store.plan(newer.plan_id).project.metrics)
        try:
            found = compare_jobs(app, tx, newer, older)
        except HeadwayError as failed:
            error = failed
    return visit.page(
        "compare.html",
        a=lines[older.id],
        b=lines[newer.id],
        found=found,
        error=error,
        declared=names,
        everything="all" in visit.query,
    )
