"""The only writer of job, task and attempt states: each step is one conditional update and one event.

A step returns whether it took effect; False means that somebody else moved first: read again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select, update

from headway.db import schema
from headway.db.events import record
from headway.engines.base import Alive, Exited, Lost, Observation, Starting
from headway.ids import new_id
from headway.jobs.model import Attempt, AttemptState, Job, JobState, Task, TaskState
from headway.jobs.store import JobStore
from headway.planning.model import OutputFile, Plan

SYSTEM = "headway"

# Every move that is ever written; what is not here has no effect, whoever asks for it.
_JOB_MOVES = {
    JobState.QUEUED: (JobState.RUNNING, JobState.REFUSED, JobState.CANCELLED),
    JobState.RUNNING: (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED),
}
_TASK_MOVES = {
    TaskState.PENDING: (TaskState.READY, TaskState.SKIPPED, TaskState.CANCELLED),
    TaskState.READY: (TaskState.RUNNING, TaskState.REUSED, TaskState.FAILED, TaskState.CANCELLED),
    TaskState.RUNNING: (TaskState.READY, TaskState.COLLECTING, TaskState.FAILED, TaskState.CANCELLED),
    TaskState.COLLECTING: (TaskState.SUCCEEDED, TaskState.FAILED),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """What a job is made from."""

    plan: Plan
    command_id: str
    change: int | None
    branch: str
    actor: str


def create(tx: Connection, new: NewJob, at: datetime) -> str:
    """Queue a job with all its tasks and return its id; repeating it returns the first one's."""
    plan = new.plan
    known = tx.execute(
        select(schema.job.c.id).where(
            schema.job.c.command_id == new.command_id,
            schema.job.c.project == plan.project.name,
        ),
    ).scalar()
    if known is not None:
        return str(known)
    job_id = new_id()
    number = int(tx.execute(select(func.coalesce(func.max(schema.job.c.number), 0))).scalar_one()) + 1
    tx.execute(
        schema.job.insert().values(
            id=job_id,
            number=number,
            repo_id=plan.repo_id,
            project=plan.project.name,
            plan_id=plan.id,
            command_id=new.command_id,
            change=new.change,
            commit=plan.commit,
            branch=new.branch,
            tier=int(plan.tier),
            actor=new.actor,
            engine=plan.project.engine.type,
            state=JobState.QUEUED.value,
            desired="run",
            version=1,
            queued_at=at,
        ),
    )
    record(tx, "job", job_id, to_state=JobState.QUEUED, at=at, actor=new.actor, detail={"number": number})
    for position, planned in enumerate(plan.tasks):
        tx.execute(
            schema.task.insert().values(
                id=new_id(),
                job_id=job_id,
                name=planned.spec.name,
                position=position,
                needs=planned.spec.needs,
                state=TaskState.PENDING.value,
                reason=planned.why,
                max_attempts=planned.spec.retries + 1,
                outputs=(),
            ),
        )
    return job_id


def admit(tx: Connection, job: Job, at: datetime) -> bool:
    """Let a queued job begin, unless it shall end."""
    if job.desired == "cancel":
        return False
    return _move_job(tx, job, JobState.RUNNING, at, started_at=at)


def refuse(tx: Connection, job: Job, reason: str, at: datetime) -> bool:
    """End a job that may not run, with the reason that a person will read."""
    # The job first: one that somebody admitted meanwhile keeps its tasks.
    if not _move_job(tx, job, JobState.REFUSED, at, reason=reason, finished_at=at):
        return False
    for task in JobStore(tx).tasks(job.id):
        _move_task(tx, task, TaskState.SKIPPED, at, reason="the job was refused", finished_at=at)
    return True


def open_tasks(tx: Connection, tasks: Iterable[Task], at: datetime) -> int:
    """Make every pending task ready whose needs are met, and skip those that cannot be met any more."""
    by_name = {task.name: task for task in tasks}
    moved = 0
    for task in by_name.values():
        if task.state is not TaskState.PENDING:
            continue
        needed = [by_name[name] for name in task.needs]
        bad = [each.name for each in needed if each.state.is_final and not each.state.is_good]
        if bad:
            reason = f"needs {', '.join(bad)}, which did not succeed"
            moved += _move_task(tx, task, TaskState.SKIPPED, at, reason=reason, finished_at=at)
        elif all(each.state.is_good for each in needed):
            moved += _move_task(tx, task, TaskState.READY, at, reason=task.reason)
    return moved


def note(tx: Connection, task: Task, reason: str) -> None:
    """Say what a task is busy with, without moving it."""
    tx.execute(update(schema.task).where(schema.task.c.id == task.id).values(reason=reason))


def reuse(
    tx: Connection,
    task: Task,
    at: datetime,
    *,
    key: str,
    run_id: str,
    outputs: tuple[OutputFile, ...],
    reason: str,
) -> bool:
    """Finish a ready task with an earlier result of the same key."""
    return _move_task(
        tx,
        task,
        TaskState.REUSED,
        at,
        reason=reason,
        exact_key=key,
        run_id=run_id or None,
        outputs=msgspec.to_builtins(outputs),
        started_at=at,
        finished_at=at,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Everything that is recorded before the engine is called."""

    attempt_id: str
    nonce: str
    engine: str
    directory: str
    key: str
    run_id: str
    spec: Any  # AttemptSpec as plain values, without token and secrets


def launch(tx: Connection, task: Task, new: Launch, at: datetime) -> bool:
    """Record the intent to start an attempt; the effect follows, and may follow twice."""
    number = task.attempts + 1
    moved = _move_task(
        tx,
        task,
        TaskState.RUNNING,
        at,
        reason="",
        attempts=number,
        exact_key=new.key,
        run_id=new.run_id,
        started_at=task.started_at or at,
        next_at=None,
    )
    if not moved:
        return False
    tx.execute(
        schema.attempt.insert().values(
            id=new.attempt_id,
            task_id=task.id,
            number=number,
            fence=number,
            engine=new.engine,
            nonce=new.nonce,
            state=AttemptState.LAUNCHING.value,
            directory=new.directory,
            spec=new.spec,
        ),
    )
    record(tx, "attempt", new.attempt_id, to_state=AttemptState.LAUNCHING, at=at, actor=SYSTEM)
    return True


def started(tx: Connection, attempt: Attempt, handle: str) -> None:
    """Keep the engine's handle of an attempt that is being launched."""
    tx.execute(update(schema.attempt).where(schema.attempt.c.id == attempt.id).values(handle=handle))


def observe(tx: Connection, task: Task, attempt: Attempt, seen: Observation, at: datetime) -> bool:
    """Write what an engine says of a live attempt; what ends goes on to collecting, retry or failure."""
    if attempt.state.is_final:
        return False  # an engine may say it late, or twice, or of what was taken for lost
    match seen:
        case Starting():
            return False
        case Alive():
            if attempt.state is not AttemptState.LAUNCHING:
                return False
            return _move_attempt(tx, attempt, AttemptState.RUNNING, at, started_at=at, isolation=int(seen.isolation))
        case Lost():
            return _ended(tx, task, attempt, AttemptState.LOST, at, exit_code=None, reason=f"lost: {seen.why}")
        case Exited():
            return _exited(tx, task, attempt, seen, at)


def fail(tx: Connection, task: Task, reason: str, at: datetime, *, exit_code: int | None = None) -> bool:
    """End a task that cannot be prepared or whose outputs cannot be gathered; one that runs ends by its attempt."""
    if task.state is TaskState.RUNNING:
        return False
    return _move_task(tx, task, TaskState.FAILED, at, reason=reason, exit_code=exit_code, finished_at=at)


def finish(tx: Connection, task: Task, outputs: tuple[OutputFile, ...], at: datetime) -> bool:
    """End a task whose outputs and run have been gathered."""
    return _move_task(
        tx,
        task,
        TaskState.SUCCEEDED,
        at,
        reason="",
        exit_code=0,
        outputs=msgspec.to_builtins(outputs),
        finished_at=at,
    )


def cancel(tx: Connection, job: Job, reason: str, actor: str, at: datetime, *, superseded_by: str = "") -> bool:
    """Ask for the end of a job; its loop stops what runs and then ends it."""
    if job.state.is_final or job.desired == "cancel":
        return False
    done = tx.execute(
        update(schema.job)
        .where(schema.job.c.id == job.id, schema.job.c.version == job.version)
        .values(desired="cancel", reason=reason, superseded_by=superseded_by or None, version=job.version + 1),
    ).rowcount
    if done:
        record(tx, "job", job.id, from_state=job.state, to_state="cancelling", reason=reason, actor=actor, at=at)
    return bool(done)


def cancel_waiting(tx: Connection, tasks: Iterable[Task], at: datetime) -> int:
    """End the tasks of a cancelled job that have no process."""
    waiting = (TaskState.PENDING, TaskState.READY)
    return sum(
        _move_task(tx, task, TaskState.CANCELLED, at, reason="cancelled", finished_at=at)
        for task in tasks
        if task.state in waiting
    )


def close(tx: Connection, job: Job, tasks: Iterable[Task], at: datetime) -> bool:
    """End a job when every task has ended; an empty job is a failure, never a success."""
    tasks = list(tasks)
    if job.state.is_final or not all(task.state.is_final for task in tasks):
        return False
    if tasks and all(task.state.is_good for task in tasks):
        state, reason = JobState.SUCCEEDED, ""
    elif job.desired == "cancel":
        state, reason = JobState.CANCELLED, job.reason
    else:
        failed = [task for task in tasks if task.state in (TaskState.FAILED, TaskState.CANCELLED)]
        state = JobState.FAILED
        reason = f"step {failed[0].name}: {failed[0].reason}" if failed else "no step could run"
    return _move_job(tx, job, state, at, reason=reason, finished_at=at)


def trained_elsewhere(tx: Connection, job: Job, reason: str, at: datetime) -> bool:
    """End a queued job that has no steps of its own: its run was made and tracked somewhere else."""
    if JobStore(tx).tasks(job.id) or not admit(tx, job, at):
        return False
    running = JobStore(tx).get(job.id)
    return _move_job(tx, running, JobState.SUCCEEDED, at, reason=reason, finished_at=at)


def settled(tx: Connection, job: Job, at: datetime) -> None:
    """Mark that the job's result and verdict are saved."""
    tx.execute(update(schema.job).where(schema.job.c.id == job.id).values(settled_at=at))
    record(tx, "job", job.id, from_state=job.state, to_state="settled", actor=SYSTEM, at=at)


def backoff(attempts: int) -> timedelta:
    """Return how long to wait before the next attempt: 2, 4, 8 ... seconds, at most 5 minutes."""
    return timedelta(seconds=min(2.0**attempts, 300.0))


def _exited(tx: Connection, task: Task, attempt: Attempt, seen: Exited, at: datetime) -> bool:
    if seen.reason == "cancelled":
        state = AttemptState.CANCELLED
    elif seen.reason == "timeout":
        state = AttemptState.TIMED_OUT
    elif seen.exit_code == 0 and not seen.reason:
        state = AttemptState.SUCCEEDED
    else:
        state = AttemptState.FAILED
    if state is not AttemptState.SUCCEEDED:
        reason = _exit_reason(seen)
        isolation = int(seen.isolation)
        return _ended(tx, task, attempt, state, at, exit_code=seen.exit_code, reason=reason, isolation=isolation)
    moved = _move_attempt(tx, attempt, state, at, exit_code=0, finished_at=at, isolation=int(seen.isolation))
    return moved and _move_task(tx, task, TaskState.COLLECTING, at, reason="collecting outputs", exit_code=0)


def _exit_reason(seen: Exited) -> str:
    words = {
        "timeout": "stopped at its time limit",
        "cancelled": "cancelled",
        "memory": "stopped: it used more memory than its limit",
        "disk": "stopped: it wrote more to disk than its limit",
        "processes": "stopped: it started more processes than its limit",
        "isolation": "could not be isolated as required",
        "launch": "could not be started",
    }
    told = words.get(seen.reason, seen.reason or f"exit code {seen.exit_code}")
    return f"{told}; {seen.detail}" if seen.detail else told


def _ended(
    tx: Connection,
    task: Task,
    attempt: Attempt,
    state: AttemptState,
    at: datetime,
    *,
    exit_code: int | None,
    reason: str,
    isolation: int | None = None,
) -> bool:
    values = {"isolation": isolation} if isolation is not None else {}
    if not _move_attempt(tx, attempt, state, at, exit_code=exit_code, reason=reason, finished_at=at, **values):
        return False
    if state is AttemptState.CANCELLED:
        return _move_task(tx, task, TaskState.CANCELLED, at, reason=reason, exit_code=exit_code, finished_at=at)
    # A lost attempt is tried once more even without retries: the code is not to blame (reliability.md, 6).
    lost_once = state is AttemptState.LOST and attempt.number == 1
    if task.attempts < task.max_attempts or lost_once:
        wait = timedelta(0) if lost_once else backoff(task.attempts)
        again = f"attempt {attempt.number} {reason}; trying again"
        return _move_task(tx, task, TaskState.READY, at, reason=again, exit_code=exit_code, next_at=at + wait)
    return _move_task(tx, task, TaskState.FAILED, at, reason=reason, exit_code=exit_code, finished_at=at)


def _move_job(tx: Connection, job: Job, to: JobState, at: datetime, *, reason: str = "", **values: Any) -> bool:
    if to not in _JOB_MOVES.get(job.state, ()):
        return False
    done = tx.execute(
        update(schema.job)
        .where(
            schema.job.c.id == job.id,
            schema.job.c.state == job.state.value,
            schema.job.c.version == job.version,
        )
        .values(state=to.value, reason=reason, version=job.version + 1, **values),
    ).rowcount
    if done:
        record(tx, "job", job.id, from_state=job.state, to_state=to, reason=reason, actor=SYSTEM, at=at)
    return bool(done)


def _move_task(tx: Connection, task: Task, to: TaskState, at: datetime, *, reason: str, **values: Any) -> bool:
    if to not in _TASK_MOVES.get(task.state, ()):
        return False
    done = tx.execute(
        update(schema.task)
        .where(
            schema.task.c.id == task.id,
            schema.task.c.state == task.state.value,
            schema.task.c.version == task.version,
        )
        .values(state=to.value, reason=reason, version=task.version + 1, **values),
    ).rowcount
    if done:
        record(tx, "task", task.id, from_state=task.state, to_state=to, reason=reason, actor=SYSTEM, at=at)
    return bool(done)


def _move_attempt(tx: Connection, attempt: Attempt, to: AttemptState, at: datetime, **values: Any) -> bool:
    done = tx.execute(
        update(schema.attempt)
        .where(schema.attempt.c.id == attempt.id, schema.attempt.c.state == attempt.state.value)
        .values(state=to.value, **values),
    ).rowcount
    if done:
        reason = str(values.get("reason", ""))
        record(tx, "attempt", attempt.id, from_state=attempt.state, to_state=to, reason=reason, actor=SYSTEM, at=at)
    return bool(done)
