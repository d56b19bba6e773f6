"""From what is recorded to one `ReportView`: the state that a person may find a job in."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import msgspec
from sqlalchemy import Connection, select

from headway.app import App
from headway.commands.grammar import format_command
from headway.commands.model import Command, ParsedCommand
from headway.commands.store import CommandStore
from headway.db import schema
from headway.environments.model import Tier
from headway.flow.deciding import deciding_job
from headway.flow.environment_gate import needs, read_look
from headway.flow.model import JobResult
from headway.flow.outside import tracking_of
from headway.flow.results import JobResults
from headway.forges.local import NAME as LOCAL
from headway.gates.model import CheckState
from headway.jobs.model import Job, JobState, Task
from headway.jobs.store import JobStore
from headway.planning.model import Plan
from headway.projects.model import DeploySpec, ProjectSpec
from headway.reports.model import (
    MetricRow,
    ReportState,
    ReportView,
    RunRow,
    TaskView,
)
from headway.serving.model import Release, ReleaseState
from headway.serving.store import ReleaseStore
from headway.tracking.outside import Outside
from headway.tracking.outside_store import OutsideStore

MAX_ROWS = 50


def job_url(app: App, number: int) -> str:
    """Return the address of a job's page."""
    return f"{base_url(app)}/jobs/{number}"


def base_url(app: App) -> str:
    """Return the address that people reach this server at."""
    if app.settings.public_url:
        return app.settings.public_url.rstrip("/")
    try:
        # The port may have been chosen by the system: the server says in this file which it is.
        return str(msgspec.json.decode((app.data / "server.json").read_bytes())["url"])
    except (OSError, msgspec.DecodeError, KeyError):
        return f"http://{app.settings.host}:{app.settings.port}"


def view_job(app: App, tx: Connection, job: Job) -> ReportView:
    """Return everything that the report of one job says now."""
    store = JobStore(tx)
    plan = store.plan(job.plan_id)
    tasks = store.tasks(job.id)
    result = JobResults(tx).get(job.id)
    release = _release_of(tx, job)
    now = app.clock.now()
    return ReportView(
        project=job.project,
        state=_state(job, result, release),
        number=job.number,
        url=job_url(app, job.number),
        commit=job.commit,
        actor=job.actor,
        command=_command_text(tx, job),
        seconds=_seconds(job, now) if plan.tasks else None,
        cost=_cost(plan.project, job, now) if plan.tasks else None,
        currency=plan.project.engine.currency,
        queue_position=store.queue_position(job) if job.state is JobState.QUEUED else None,
        isolation=result.isolation if result else "",
        already_trained=bool(result and result.already_trained),
        metrics=plan.project.metrics,
        baseline_label=result.baseline_label if result else "",
        baseline_url=_baseline_url(app, tx, result),
        rows=_metric_rows(plan.project, result),
        verdict=result.verdict if result else None,
        tasks=_task_views(plan, tasks, now),
        crash=result.crash if result else None,
        curves=result.curves if result else (),
        changed=result.changed if result else None,
        runs=_run_rows(app, tx, job),
        params={name: str(value) for name, value in plan.params.items()},
        release=release,
        release_url=f"{base_url(app)}/deployments" if release else "",
        release_needs=_needs(app, release),
        next_step=_next_step(plan.project, job),
        superseded_by=_superseded(tx, job),
        compare_url=_compare_url(app, tx, job, result),
        log_url=job_url(app, job.number),
        seconds_left=_seconds_left(plan, tasks, now),
        earlier_run=_earlier(tx, result, tasks),
        reason=job.reason,
        notes=(*_cause(tx, job), *(result.notes if result else ())),
        outside=_outside(tx, plan, job, result),
        seed=plan.project.seed,
        updated_at=now,
        spec=plan.project.report,
        template=_template(plan),
        change=job.change if _forge(tx, job) == LOCAL else None,
        is_change=job.change is not None,
        is_deployable=plan.project.deploy is not None and (job.change is not None or plan.tier is Tier.MAIN),
        decided_by=_decided_by(tx, job, plan),
    )


def _forge(tx: Connection, job: Job) -> str:
    return str(tx.execute(select(schema.repo.c.forge).where(schema.repo.c.id == job.repo_id)).scalar())


def _decided_by(tx: Connection, job: Job, plan: Plan) -> str:
    """Say whose the required status is, where a job with other values is not asked."""
    judge = deciding_job(tx, job) if plan.replaced else None
    if judge is None:
        return ""
    return f"job #{judge.number}, {_headline(judge, JobResults(tx).get(judge.id))}"


def _outside(tx: Connection, plan: Plan, job: Job, result: JobResult | None) -> Outside | None:
    """Return what the project's tracker says now; what of it was judged is the result's."""
    if tracking_of(plan) is None:
        return None
    now, judged = OutsideStore(tx).outside(job.repo_id, job.project, job.commit), result.outside if result else None
    return judged if now is None else replace(now, taken=judged.taken if judged else ())


def _state(job: Job, result: JobResult | None, release: Release | None) -> ReportState:
    if job.superseded_by:
        return ReportState.SUPERSEDED
    if release is not None and release.state is not ReleaseState.PENDING:
        is_back = release.state in (ReleaseState.ROLLED_BACK, ReleaseState.ROLLING_BACK)
        return ReportState.ROLLED_BACK if is_back else ReportState.DEPLOYED
    if job.state in (JobState.QUEUED, JobState.CANCELLED):
        return ReportState(job.state.value)
    if job.state is JobState.RUNNING or result is None:
        return ReportState.RUNNING
    if job.state is not JobState.SUCCEEDED or result.verdict is None:
        return ReportState.CRASHED
    return ReportState.PASSED if result.verdict.allows_merge else ReportState.FAILED


def _command_text(tx: Connection, job: Job) -> str:
    command = CommandStore(tx).get(job.command_id)
    return command_text(command)


def _cause(tx: Connection, job: Job) -> tuple[str, ...]:
    """Say what asked for a job where it was no comment: a press, a label, a time, another system."""
    command = CommandStore(tx).get(job.command_id)
    return (f"asked for by {command.actor}: {command.cause}",) if command.cause else ()


def command_text(command: Command) -> str:
    """Return a command as a person would type it."""
    return format_command(
        ParsedCommand(
            verb=command.verb,
            arguments=command.arguments,
            environment=command.environment,
            params=command.params,
            dry_run=command.dry_run,
            reason=command.reason,
        ),
    )


def _compare_url(app: App, tx: Connection, job: Job, result: JobResult | None) -> str:
    if result is None or result.baseline_job is None:
        return ""
    return f"{base_url(app)}/jobs/{JobStore(tx).get(result.baseline_job).number}/compare/{job.number}"


def _superseded(tx: Connection, job: Job) -> str:
    if not job.superseded_by:
        return ""
    newer = JobStore(tx).find(
        schema.job.c.repo_id == job.repo_id,
        schema.job.c.change == job.change,
        schema.job.c.project == job.project,
        schema.job.c.commit == job.superseded_by,
        limit=1,
    )
    words = f"commit {job.superseded_by[:7]}"
    return f"job #{newer[0].number} of {words}" if newer else words


def _seconds_left(plan: Plan, tasks: list[Task], now: datetime) -> float | None:
    """Return what earlier runs let expect; None when a step has never run."""
    left = 0.0
    for planned, task in zip(plan.tasks, tasks, strict=True):
        if task.state.is_final:
            continue
        if planned.expected_seconds is None:
            return None
        spent = (now - task.started_at).total_seconds() if task.started_at else 0.0
        left += max(0.0, planned.expected_seconds - spent)
    return left


def _earlier(tx: Connection, result: JobResult | None, tasks: list[Task]) -> str:
    """Return which run the answer "already trained" comes from."""
    if result is None or not result.already_trained or not tasks or not tasks[-1].run_id:
        return ""
    task = JobStore(tx).task_of_run(tasks[-1].run_id)
    if task is None:
        return ""
    job = JobStore(tx).get(task.job_id)
    return f"job #{job.number} on {job.branch}"


def _seconds(job: Job, now: datetime) -> float | None:
    if job.started_at is None:
        return None
    return ((job.finished_at or now) - job.started_at).total_seconds()


def _cost(project: ProjectSpec, job: Job, now: datetime) -> float | None:
    price, seconds = project.engine.price_per_hour, _seconds(job, now)
    if price is None or seconds is None:
        return None
    return price * (project.steps[-1].resources.cpus or 1.0) * seconds / 3600 if project.steps else None


def _metric_rows(project: ProjectSpec, result: JobResult | None) -> tuple[MetricRow, ...]:
    if result is None:
        return ()
    declared = [metric.name for metric in sorted(project.metrics, key=lambda each: not each.primary)]
    others = [name for name in project.report.columns if name not in declared]
    more = sorted(set(result.metrics) - set(declared) - set(others))
    return tuple(
        MetricRow(
            name=name,
            candidate=result.metrics.get(name),
            baseline=result.baseline_metrics.get(name),
            noise=result.noise.get(name),
        )
        for name in (*declared, *others, *more)
    )


def _task_views(plan: Plan, tasks: list[Task], now: datetime) -> tuple[TaskView, ...]:
    planned = {each.spec.name: each for each in plan.tasks}
    return tuple(
        TaskView(
            name=task.name,
            state=task.state.value,
            needs=task.needs,
            seconds=((task.finished_at or now) - task.started_at).total_seconds() if task.started_at else None,
            why=task.reason,
            expected_seconds=planned[task.name].expected_seconds,
            expected_cost=planned[task.name].expected_cost,
        )
        for task in tasks
    )


def _run_rows(app: App, tx: Connection, job: Job) -> tuple[RunRow, ...]:
    if job.change is None:
        return ()
    same = (
        schema.job.c.repo_id == job.repo_id,
        schema.job.c.project == job.project,
        schema.job.c.change == job.change,
    )
    store = JobStore(tx)
    jobs = store.find(*same, limit=MAX_ROWS)
    results = JobResults(tx).of_jobs(each.id for each in jobs)
    return tuple(_run_row(app, store, each, results.get(each.id), is_this=each.commit == job.commit) for each in jobs)


def _run_row(app: App, store: JobStore, job: Job, result: JobResult | None, *, is_this: bool) -> RunRow:
    return RunRow(
        number=job.number,
        url=job_url(app, job.number),
        commit=job.commit,
        state=_state(job, result, None).value,
        headline=_headline(job, result),
        metrics=result.metrics if result else {},
        params={name: str(value) for name, value in store.plan(job.plan_id).params.items()},
        is_this_commit=is_this,
    )


def _headline(job: Job, result: JobResult | None) -> str:
    if result is None or result.verdict is None:
        return job.reason or job.state.value
    blocking = (CheckState.FAILED, CheckState.MISSING, CheckState.CANNOT_TELL)
    failed = [check.id for check in result.verdict.checks if check.judged and check.state in blocking]
    words = result.verdict.outcome.words
    return f"{words}: {', '.join(failed)}" if failed else words


def _release_of(tx: Connection, job: Job) -> Release | None:
    if job.change is None:
        return None
    found = ReleaseStore(tx).find(
        schema.release.c.repo_id == job.repo_id,
        schema.release.c.project == job.project,
        schema.release.c.change == job.change,
    )
    return next((release for release in found if release.commit == job.commit), None)


def _needs(app: App, release: Release | None) -> str:
    if release is None or release.state is not ReleaseState.WAITING:
        return ""
    look = read_look(app, release)
    who = look.who if look is not None and look.who else needs(None, release.spec or DeploySpec())
    held = look.why if look is not None and len(release.approved_by) >= (release.spec or DeploySpec()).approvals else ""
    return "; ".join(part for part in (who, held) if part)


def _baseline_url(app: App, tx: Connection, result: JobResult | None) -> str:
    if result is None or result.baseline_job is None:
        return ""
    number = tx.execute(select(schema.job.c.number).where(schema.job.c.id == result.baseline_job)).scalar()
    return job_url(app, int(number)) if number else ""


def _next_step(project: ProjectSpec, job: Job) -> str:
    if project.model is None or job.change is None:
        return ""
    text = f"On merge: registers as {project.model.name}"
    if project.deploy is None:
        return text
    weights = " → ".join(f"{step.weight} %" for step in project.deploy.steps)
    approvals = project.deploy.approvals
    needed = "no approval needed" if not approvals else f"{approvals} approval{'s' * (approvals > 1)} needed"
    return f"{text}; `/deploy` starts its release: canary {weights}, {needed}"


def _template(plan: Plan) -> str | None:
    text = plan.project.report.template_text
    return text or None
