"""A job has ended: gather its result once, judge it, and save both before anything is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from headway.app import App
from headway.blobs.content import content_key
from headway.db import schema
from headway.errors import HeadwayError
from headway.flow.background import Background
from headway.flow.baselines import Chosen, baseline_for
from headway.flow.changed import what_changed
from headway.flow.crash import crash_of
from headway.flow.gather import gather
from headway.flow.merging import becomes_baseline
from headway.flow.mirror import want_mirrors
from headway.flow.model import JobResult
from headway.flow.notify import notify_ended
from headway.flow.outside import must_wait, with_outside
from headway.flow.prepare import why_not
from headway.flow.repos import git_at
from headway.flow.results import JobResults
from headway.gates.judge import judge
from headway.gates.model import Evidence, Override
from headway.ids import digest_of
from headway.jobs import advance
from headway.jobs.model import Job, JobState
from headway.jobs.store import JobStore
from headway.logs import logger
from headway.planning.model import OutputFile, Plan
from headway.reports.model import CrashView, Curve


def step(app: App, background: Background) -> bool:
    """Settle every job that has ended; return whether there is one."""
    with app.database.read() as tx:
        ended = JobStore(tx).unsettled()
    for job in ended:
        if must_wait(app, job):
            continue  # its tracker is being asked, beside the loops
        background.run(f"settle {job.id}", partial(settle, app, job.id))
    return bool(ended)


def settle(app: App, job_id: str) -> None:
    """Gather and judge one ended job; safe to repeat."""
    with app.database.read() as tx:
        store = JobStore(tx)
        job = store.get(job_id)
        plan = store.plan(job.plan_id)
    try:
        result = _settled(app, job, plan)
    except HeadwayError as error:
        if error.retryable:
            raise
        result = _unsettled(app, job, plan, error)
    except SQLAlchemyError:
        raise
    except Exception as error:  # noqa: BLE001  # a defect of ours, tried for ever, would never be told to anybody
        logger().exception("job cannot be judged", job=job.number)
        result = _unsettled(app, job, plan, error)
    now = app.clock.now()
    with app.database.write() as tx:
        is_baseline = becomes_baseline(tx, job, plan, result)
        JobResults(tx).save(result, is_baseline=is_baseline)
        want_mirrors(tx, job, plan, app)
        advance.settled(tx, JobStore(tx).get(job_id), now)
    notify_ended(app, job, plan, result)


def _settled(app: App, job: Job, plan: Plan) -> JobResult:
    result = gather(app, job, plan)
    if job.state is JobState.SUCCEEDED:
        with app.database.read() as tx:
            result = with_outside(tx, plan, result)
            overrides = _overrides(tx, job, plan)
        return _judged(app, job, plan, result, overrides=overrides)
    return replace(result, crash=crash_of(app, job, plan))


def _unsettled(app: App, job: Job, plan: Plan, error: Exception) -> JobResult:
    """Return a result without a verdict: what could not be judged has not passed."""
    return JobResult(
        job_id=job.id,
        number=job.number,
        repo_id=job.repo_id,
        project=job.project,
        branch=job.branch,
        commit=job.commit,
        tree=plan.tree,
        tier=job.tier,
        at=job.finished_at or app.clock.now(),
        params=plan.params,
        crash=CrashView(
            task="judging",
            exit_code=None,
            reason=f"the result could not be judged: {why_not(error)}",
            attempt=1,
            attempts=1,
            seconds=0.0,
            tail=(),
            hint="headway doctor looks at the server; /retry judges again",
        ),
        notes=plan.notes,
    )


def judge_again(app: App, job: Job, evidence: JobResult | None = None) -> None:
    """Judge a settled job anew: its overrides have changed, or the evidence that is given has."""
    is_kept = False
    while not is_kept:
        with app.database.read() as tx:
            plan = JobStore(tx).plan(job.plan_id)
            result = evidence or JobResults(tx).get(job.id)
            overrides = _overrides(tx, job, plan)
        if result is None:
            return
        judged = _judged(app, job, plan, result, overrides=overrides)
        with app.database.write() as tx:
            # A word that was given while we judged must not be lost with what we save.
            is_kept = _overrides(tx, job, plan) == overrides
            if is_kept:
                JobResults(tx).save(judged, is_baseline=False)


def _judged(app: App, job: Job, plan: Plan, result: JobResult, *, overrides: Sequence[Override]) -> JobResult:
    project = plan.project
    chosen = _with_rows(app, plan, baseline_for(app, job, plan, result))
    # One hold-out for both sides, the base branch's: labels are never the change's own.
    found = judge(
        project.gates.rules,
        metrics=project.metrics,
        predictions=project.predictions,
        candidate=_evidence(app, result, "this change" if job.change else "this run"),
        baseline=None if chosen.result is None else _evidence(app, chosen.result, chosen.label),
        holdout=None if result.holdout is None else _path(app, result.holdout),
        overrides=overrides,
        head_sha=job.commit,
    )
    told = result.outside.notes if result.outside else ()
    verdict = replace(found.verdict, notes=(*found.verdict.notes, *chosen.notes, *told)).withhold(plan.other_values)
    judged = replace(
        result,
        metrics=found.metrics,
        metrics_digest=digest_of(found.metrics),
        verdict=verdict,
        baseline_label=chosen.label,
    )
    if chosen.result is None:
        return judged
    return replace(
        judged,
        baseline_job=chosen.result.job_id,
        baseline_metrics=found.baseline_metrics,
        curves=_paired(judged.curves, chosen.result.curves),
        changed=what_changed(git_at(app, job.repo_id, job.commit), chosen.result, judged),
    )


def _with_rows(app: App, plan: Plan, chosen: Chosen) -> Chosen:
    """Find the predictions of a baseline that was judged before `predictions:` was declared.

    Where it wrote none at all, comparing begins with this run: nothing that a change could bring about.
    """
    spec, result = plan.project.predictions, chosen.result
    if spec is None or result is None or result.predictions is not None:
        return chosen
    with app.database.read() as tx:
        outputs = [output for task in JobStore(tx).tasks(result.job_id) for output in task.outputs]
    found = next((output for output in outputs if output.path == spec.path), None)
    if found is not None:
        return replace(chosen, result=replace(result, predictions=found))
    note = f"{chosen.label} wrote no predictions to {spec.path}: comparing begins with this run"
    return replace(chosen, label="", result=None, notes=(*chosen.notes, note))


def _evidence(app: App, result: JobResult, label: str) -> Evidence:
    predictions = None if result.predictions is None else str(_path(app, result.predictions))
    unknown = result.outside.unknown if result.outside else ""
    return Evidence(label=label, metrics=result.metrics, predictions=predictions, unknown=unknown)


def _path(app: App, output: OutputFile) -> Path:
    return app.data / "contents" / content_key(output.digest)


def _paired(curves: tuple[Curve, ...], others: tuple[Curve, ...]) -> tuple[Curve, ...]:
    by_name = {curve.metric: curve for curve in others}
    return tuple(
        replace(curve, baseline_steps=other.steps, baseline_values=other.values)
        if (other := by_name.get(curve.metric))
        else curve
        for curve in curves
    )


def _overrides(tx: Connection, job: Job, plan: Plan) -> list[Override]:
    """Return the words in force: each for one head on one base (rule 31 of the forge door)."""
    if job.change is None:
        return []
    table = schema.override
    rows = tx.execute(
        select(table.c.check, table.c.actor, table.c.reason, table.c.head_sha)
        .where(
            table.c.repo_id == job.repo_id,
            table.c.change == job.change,
            table.c.project == job.project,
            table.c.head_sha == job.commit,
            table.c.base_sha == plan.base_commit,
        )
        .order_by(table.c.check),
    )
    return [Override(**row) for row in rows.mappings()]
