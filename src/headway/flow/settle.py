"""A job has ended: gather its result once, judge it, and save both before anything is said of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from sqlalchemy import Connection, select

from headway.app import App
from headway.db import schema
from headway.flow.background import Background
from headway.flow.baselines import baseline_for
from headway.flow.changed import what_changed
from headway.flow.crash import crash_of
from headway.flow.evidence import side_of
from headway.flow.gather import gather
from headway.flow.merging import becomes_baseline
from headway.flow.model import JobResult
from headway.flow.notify import notify_ended
from headway.flow.repos import git_at
from headway.flow.results import JobResults
from headway.gates.evaluate import evaluate
from headway.gates.measure import Side, computed_value
from headway.gates.model import Override, Verdict
from headway.jobs import advance
from headway.jobs.model import Job, JobState
from headway.jobs.store import JobStore
from headway.planning.model import Plan
from headway.projects.model import ProjectSpec
from headway.reports.model import Curve


def step(app: App, background: Background) -> bool:
    """Settle every job that has ended; return whether there is one."""
    with app.database.read() as tx:
        ended = JobStore(tx).unsettled()
    for job in ended:
        background.run(f"settle {job.id}", partial(settle, app, job.id))
    return bool(ended)


def settle(app: App, job_id: str) -> None:
    """Gather and judge one ended job; safe to repeat."""
    with app.database.read() as tx:
        store = JobStore(tx)
        job = store.get(job_id)
        plan = store.plan(job.plan_id)
    result = gather(app, job, plan)
    if job.state is JobState.SUCCEEDED:
        result = _judged(app, job, plan, result)
    else:
        result = replace(result, crash=crash_of(app, job, plan))
    now = app.clock.now()
    with app.database.write() as tx:
        is_baseline = becomes_baseline(tx, job, plan, result)
        JobResults(tx).save(result, is_baseline=is_baseline)
        advance.settled(tx, JobStore(tx).get(job_id), now)
    notify_ended(app, job, plan, result)


def judge_again(app: App, job: Job, _override: Override) -> None:
    """Judge a settled job anew: its overrides have changed, its evidence has not."""
    with app.database.read() as tx:
        plan = JobStore(tx).plan(job.plan_id)
        result = JobResults(tx).get(job.id)
    if result is not None:
        judged = _judged(app, job, plan, result)
        with app.database.write() as tx:
            JobResults(tx).save(judged, is_baseline=False)


def _judged(app: App, job: Job, plan: Plan, result: JobResult) -> JobResult:
    project = plan.project
    chosen = baseline_for(app, job, plan, result)
    candidate = side_of(app, project, result, label="this change" if job.change else "this run")
    baseline = None
    if chosen.result is not None:
        # The candidate's hold-out for both: labels are the base branch's, and both sides stand on equal rows.
        other = replace(chosen.result, holdout=result.holdout)
        baseline = side_of(app, project, other, label=chosen.label)
    with app.database.read() as tx:
        overrides = _overrides(tx, job)
    verdict = evaluate(
        project.gates.rules,
        metrics=project.metrics,
        candidate=candidate,
        baseline=baseline,
        overrides=overrides,
        head_sha=job.commit,
    )
    computed = _computed(project, candidate)
    verdict = Verdict(outcome=verdict.outcome, checks=verdict.checks, notes=(*verdict.notes, *chosen.notes))
    judged = replace(result, metrics=result.metrics | computed, verdict=verdict, baseline_label=chosen.label)
    if chosen.result is None:
        return judged
    other_metrics = dict(chosen.result.metrics)
    if baseline is not None:
        other_metrics |= _computed(project, baseline)
    return replace(
        judged,
        baseline_job=chosen.result.job_id,
        baseline_metrics=other_metrics,
        curves=_paired(judged.curves, chosen.result.curves),
        changed=what_changed(git_at(app, job.repo_id, job.commit), chosen.result, judged),
    )


def _computed(project: ProjectSpec, side: Side) -> dict[str, float]:
    """The metrics that Headway computes itself, from predictions and pinned labels."""
    found = {spec.name: computed_value(side, spec).number for spec in project.metrics if spec.compute}
    return {name: number for name, number in found.items() if number is not None}


def _paired(curves: tuple[Curve, ...], others: tuple[Curve, ...]) -> tuple[Curve, ...]:
    by_name = {curve.metric: curve for curve in others}
    return tuple(
        replace(curve, baseline_steps=other.steps, baseline_values=other.values)
        if (other := by_name.get(curve.metric))
        else curve
        for curve in curves
    )


def _overrides(tx: Connection, job: Job) -> list[Override]:
    if job.change is None:
        return []
    table = schema.override
    rows = tx.execute(
        select(table.c.check, table.c.actor, table.c.reason, table.c.head_sha).where(
            table.c.repo_id == job.repo_id,
            table.c.change == job.change,
            table.c.project == job.project,
            table.c.head_sha == job.commit,
        ),
    )
    return [Override(**row) for row in rows.mappings()]
