"""The job loop: read what is not final, observe the world, take the smallest next action."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from headway.app import App
from headway.engines.base import Alive, Exited, Isolation, Lost, Observation, Starting
from headway.errors import HeadwayError
from headway.flow.background import Background
from headway.flow.collect import close_attempt, collect
from headway.flow.prepare import prepare, start, why_not
from headway.jobs import advance
from headway.jobs.model import Attempt, AttemptState, Job, JobState, Task, TaskState
from headway.jobs.store import JobStore, reasons
from headway.logs import logger

NOT_STARTED = 125  # what shells say when a command could not be run


def step(app: App, background: Background) -> bool:
    """Move every unfinished job by its next smallest steps; return whether work is under way."""
    # Counted before the reading: what is launched in between counts twice rather than not at all.
    preparing = {engine: background.count(_preparing(engine)) for engine in app.engines}
    with app.database.read() as tx:
        store = JobStore(tx)
        jobs = store.unfinished()
        live = store.live_attempts()
    if not jobs:
        return False
    # What is being prepared still is started there, too: nobody packs or spawns the same thing beside it.
    _observe(app, [each for each in live if each.handle or not background.is_running(_preparing_of(each))])
    _admit(app, jobs)
    busy = Counter(attempt.engine for attempt in live)
    free = {engine: app.slots_of(engine) - busy[engine] - count for engine, count in preparing.items()}
    for job in jobs:
        if job.state is JobState.RUNNING or job.desired == "cancel":
            here = free.get(job.engine, 0)
            free[job.engine] = here - _advance(app, job, background, free=here)
    return True


def adopt(app: App) -> int:
    """Look at what lived on while no worker did, before anything else is done; return how many still run."""
    with app.database.read() as tx:
        before = JobStore(tx).live_attempts()
    _observe(app, before)
    with app.database.read() as tx:
        live = {each.id for each in JobStore(tx).live_attempts()}
    return sum(each.id in live for each in before)


def _observe(app: App, live: list[Attempt]) -> None:
    if not live:
        return
    with app.database.read() as tx:
        said = reasons(tx, (attempt.task_id for attempt in live))
    for attempt in live:
        try:
            _observe_one(app, attempt, said=said.get(attempt.task_id, ""))
        except Exception:  # noqa: BLE001  # one attempt that cannot be looked at must not hold up all others
            logger().exception("attempt cannot be looked at", attempt=attempt.id)


def _observe_one(app: App, attempt: Attempt, *, said: str) -> None:
    engine = app.engines.get(attempt.engine)
    if engine is None:
        _wait_for_engine(app, attempt, said=said)
        return
    # Without a handle it is recorded, and perhaps never started: the launch protocol admits one start only.
    seen: Observation = Starting() if attempt.handle is None else engine.observe(attempt.handle)
    if isinstance(seen, Starting | Alive) and seen.why != said:
        _note(app, attempt, seen.why)
    if isinstance(seen, Starting):
        if attempt.handle is not None and app.is_elsewhere(attempt.engine):
            return  # it is ordered durably, and waits for a place: asking again would only write
        failed = _start(app, attempt)
        if failed is None:
            return
        seen = failed
    if isinstance(seen, Alive) and attempt.state is not AttemptState.LAUNCHING:
        return
    if isinstance(seen, Exited | Lost):
        close_attempt(app, attempt, is_good=isinstance(seen, Exited) and seen.exit_code == 0 and not seen.reason)
    _write(app, attempt, seen)


def _wait_for_engine(app: App, attempt: Attempt, *, said: str) -> None:
    """Say that an attempt's engine is not set up any more; a job that shall end does so without it."""
    why = f"the engine {attempt.engine} is not set up here now; what runs there is found again once it is"
    with app.database.read() as tx:
        store = JobStore(tx)
        is_wanted = store.get(store.task(attempt.task_id).job_id).desired == "run"
    if not is_wanted:
        close_attempt(app, attempt, is_good=False)
        _write(app, attempt, Lost(why=why))
    elif said != why:
        _note(app, attempt, why)


def _note(app: App, attempt: Attempt, why: str) -> None:
    """Say what a running task waits for, or that it does not wait any more."""
    with app.database.write() as tx:
        task = JobStore(tx).task(attempt.task_id)
        if task.state is TaskState.RUNNING:
            advance.note(tx, task, why)


def _start(app: App, attempt: Attempt) -> Exited | None:
    """Start a recorded attempt; what can never start has ended, or it would be tried for ever."""
    try:
        start(app, attempt.id)
    except SQLAlchemyError:
        raise  # it may run: the next look finds it
    except Exception as error:  # noqa: BLE001  # whatever it is, an attempt that can never begin must end
        logger().exception("attempt cannot be started", attempt=attempt.id)
        now = app.clock.now().timestamp()
        return Exited(
            exit_code=NOT_STARTED, reason=why_not(error), isolation=Isolation.L0, started_at=now, finished_at=now
        )
    return None


def _write(app: App, attempt: Attempt, seen: Observation) -> None:
    with app.database.write() as tx:
        store = JobStore(tx)
        task = store.task(attempt.task_id)
        fresh = next(each for each in store.attempts([task.id]) if each.id == attempt.id)
        advance.observe(tx, task, fresh, seen, app.clock.now())


def _admit(app: App, jobs: list[Job]) -> None:
    running = [job for job in jobs if job.state is JobState.RUNNING]
    busy = Counter((job.repo_id, job.project, job.change, job.branch) for job in running)
    room = {engine: app.slots_of(engine) for engine in {job.engine for job in jobs}}
    for job in running:
        room[job.engine] -= 1
    for job in jobs:
        if job.state is not JobState.QUEUED or job.desired == "cancel":
            continue
        if _is_refused(app, job):
            continue
        lane = (job.repo_id, job.project, job.change, job.branch)
        # Two commands at once on one change: one after the other, in the order they came.
        if room[job.engine] <= 0 or busy[lane]:
            continue
        with app.database.write() as tx:
            advance.admit(tx, job, app.clock.now())
        busy[lane] += 1
        room[job.engine] -= 1


def _is_refused(app: App, job: Job) -> bool:
    """Refuse a queued job at once whose engine is not there; it needs no place to hear that."""
    try:
        app.engine(job.engine)
    except HeadwayError as error:
        with app.database.write() as tx:
            advance.refuse(tx, job, f"{error.message}: {error.hint}", app.clock.now())
        return True
    return False


def _advance(app: App, job: Job, background: Background, *, free: int) -> int:
    """Take a job's next steps and return how many of the `free` slots that took."""
    now, taken = app.clock.now(), 0
    with app.database.read() as tx:
        tasks = JobStore(tx).tasks(job.id)
    if job.desired == "cancel":
        _cancel(app, tasks, now)
    elif _can_open(tasks):
        with app.database.write() as tx:
            advance.open_tasks(tx, tasks, now)
            tasks = JobStore(tx).tasks(job.id)  # what has just become ready is prepared now
    for task in tasks:
        if task.state is TaskState.READY and job.desired != "cancel" and _is_due(task, now):
            if taken < free:
                taken += background.run(f"{_preparing(job.engine)}{task.id}", partial(prepare, app, task.id))
        elif task.state is TaskState.COLLECTING:
            background.run(f"collect {task.id}", partial(collect, app, task.id))
    if all(task.state.is_final for task in tasks):
        with app.database.write() as tx:
            store = JobStore(tx)
            advance.close(tx, store.get(job.id), store.tasks(job.id), now)
    return taken


def _preparing(engine: str) -> str:
    """Return how the names of an engine's preparations begin, beside the loops."""
    return f"prepare {engine} "


def _preparing_of(attempt: Attempt) -> str:
    return f"{_preparing(attempt.engine)}{attempt.task_id}"


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
        engine = app.engines.get(attempt.engine)
        if attempt.task_id in names and attempt.handle is not None and engine is not None:
            engine.stop(attempt.handle)
