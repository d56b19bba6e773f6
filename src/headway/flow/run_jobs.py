"""The job loop: read what is not final, observe the world, take the smallest next action."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from functools import partial

from headway.app import App
from headway.engines.base import Alive, Exited, Lost, Observation, Starting
from headway.errors import HeadwayError
from headway.flow.background import Background
from headway.flow.collect import close_attempt, collect
from headway.flow.prepare import prepare, start
from headway.jobs import advance
from headway.jobs.model import Attempt, AttemptState, Job, JobState, Task, TaskState
from headway.jobs.store import JobStore


def step(app: App, background: Background) -> bool:
    """Move every unfinished job by its next smallest steps; return whether work is under way."""
    with app.database.read() as tx:
        store = JobStore(tx)
        jobs = store.unfinished()
        live = store.live_attempts()
    if not jobs:
        return False
    _observe(app, live)
    _admit(app, jobs)
    for job in jobs:
        if job.state is JobState.RUNNING or job.desired == "cancel":
            _advance(app, job, background, free=app.settings.slots - len(live))
    return True


def _observe(app: App, live: list[Attempt]) -> None:
    for attempt in live:
        engine = app.engine(attempt.engine)
        if attempt.handle is None:
            # Recorded, and perhaps never started: the launch protocol admits one start only.
            start(app, attempt.id)
            continue
        seen = engine.observe(attempt.handle)
        if isinstance(seen, Starting):
            start(app, attempt.id)
            continue
        if isinstance(seen, Alive) and attempt.state is not AttemptState.LAUNCHING:
            continue
        if isinstance(seen, Exited | Lost):
            close_attempt(app, attempt, is_good=isinstance(seen, Exited) and seen.exit_code == 0 and not seen.reason)
        _write(app, attempt, seen)


def _write(app: App, attempt: Attempt, seen: Observation) -> None:
    with app.database.write() as tx:
        store = JobStore(tx)
        task = store.task(attempt.task_id)
        fresh = next(each for each in store.attempts([task.id]) if each.id == attempt.id)
        advance.observe(tx, task, fresh, seen, app.clock.now())


def _admit(app: App, jobs: list[Job]) -> None:
    running = [job for job in jobs if job.state is JobState.RUNNING]
    busy = Counter((job.repo_id, job.project, job.change, job.branch) for job in running)
    room = app.settings.slots - len(running)
    for job in jobs:
        if job.state is not JobState.QUEUED or job.desired == "cancel":
            continue
        lane = (job.repo_id, job.project, job.change, job.branch)
        # Two commands at once on one change: one after the other, in the order they came.
        if room <= 0 or busy[lane]:
            continue
        with app.database.write() as tx:
            try:
                app.engine(job.engine)
            except HeadwayError as error:
                advance.refuse(tx, job, f"{error.message}: {error.hint}", app.clock.now())
                continue
            advance.admit(tx, job, app.clock.now())
        busy[lane] += 1
        room -= 1


def _advance(app: App, job: Job, background: Background, *, free: int) -> None:
    now = app.clock.now()
    with app.database.read() as tx:
        tasks = JobStore(tx).tasks(job.id)
    if job.desired == "cancel":
        _cancel(app, tasks, now)
    elif _can_open(tasks):
        with app.database.write() as tx:
            advance.open_tasks(tx, tasks, now)
    for task in tasks:
        if task.state is TaskState.READY and job.desired != "cancel" and _is_due(task, now):
            # Preparing is cheap beside running; only running attempts take a slot.
            preparing = sum(background.is_running(f"prepare {each.id}") for each in tasks)
            if free - preparing > 0:
                background.run(f"prepare {task.id}", partial(prepare, app, task.id))
        elif task.state is TaskState.COLLECTING:
            background.run(f"collect {task.id}", partial(collect, app, task.id))
    if all(task.state.is_final for task in tasks):
        with app.database.write() as tx:
            store = JobStore(tx)
            advance.close(tx, store.get(job.id), store.tasks(job.id), now)


def _can_open(tasks: list[Task]) -> bool:
    done = {task.name for task in tasks if task.state.is_final}
    return any(task.state is TaskState.PENDING and done.issuperset(task.needs) for task in tasks) or any(
        task.state is TaskState.PENDING and any(need in _bad(tasks) for need in task.needs) for task in tasks
    )


def _bad(tasks: list[Task]) -> set[str]:
    return {task.name for task in tasks if task.state.is_final and not task.state.is_good}


def _is_due(task: Task, now: datetime) -> bool:
    return task.next_at is None or task.next_at <= now


def _cancel(app: App, tasks: list[Task], now: datetime) -> None:
    with app.database.write() as tx:
        advance.cancel_waiting(tx, tasks, now)
        live = JobStore(tx).live_attempts()
    names = {task.id for task in tasks}
    for attempt in live:
        if attempt.task_id in names and attempt.handle is not None:
            app.engine(attempt.engine).stop(attempt.handle)
