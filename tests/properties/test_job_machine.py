"""Whatever an engine says and however late a loop acts, a job's states stay what reliability.md promises."""

from __future__ import annotations

import random
import shutil
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Connection, bindparam, event, select

from fakes.databases import sqlite_copy
from fakes.jobs import AT, GOOD, launch_of, plan_with, queue
from headway.db import schema
from headway.db.connection import open_database
from headway.engines.base import Alive, Exited, Isolation, Lost, Observation, Starting
from headway.jobs import advance
from headway.jobs.model import Attempt, AttemptState, Job, JobState, Task, TaskState
from headway.jobs.store import JobStore

GRAPHS = (
    {"train": ()},
    {"prepare": (), "train": ("prepare",)},
    {"a": (), "b": (), "join": ("a", "b"), "last": ("join",)},
    {},
)

# The states and their ways, written down once more from reliability.md: the code must not be its own judge.
PATHS = {
    "job": {
        None: {"queued"},
        "queued": {"running", "refused", "cancelled"},
        "running": {"succeeded", "failed", "cancelled"},
    },
    "task": {
        None: {"pending"},
        "pending": {"ready", "skipped", "cancelled"},
        "ready": {"running", "reused", "failed", "cancelled"},
        "running": {"ready", "collecting", "failed", "cancelled"},
        "collecting": {"succeeded", "failed"},
    },
    "attempt": {
        None: {"launching"},
        "launching": {"running", "succeeded", "failed", "timed_out", "cancelled", "lost"},
        "running": {"succeeded", "failed", "timed_out", "cancelled", "lost"},
    },
}
REMARKS = {"cancelling", "settled"}  # events that are no states

_EXITS = [
    (0, ""),
    (0, ""),
    (0, ""),
    (1, ""),
    (137, ""),
    (143, "timeout"),
    (143, "cancelled"),
    (137, "memory"),
    (0, "disk"),
]
STORIES: list[Observation] = [
    Starting(),
    Alive(isolation=Isolation.L2),
    Alive(isolation=Isolation.L0, draining=True),
    Lost(why="gone"),
    *(
        Exited(exit_code=code, reason=reason, isolation=Isolation.L2, started_at=1.0, finished_at=2.0)
        for code, reason in _EXITS
    ),
]
observations = st.sampled_from(STORIES)

Place = tuple[int, int]  # which job, and how many steps ago it was read
places = st.tuples(st.integers(0, 2), st.sampled_from([0, 0, 0, 1, 2, 5, 12]))


@dataclass(frozen=True)
class Picture:
    """What one loop has read: it may act on it much later."""

    job: Job
    tasks: tuple[Task, ...]
    attempts: tuple[Attempt, ...]


class JobMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.database = open_database(sqlite_copy(self.folder))

        @event.listens_for(self.database.engine, "connect")
        def hurry(connection, _record):  # type: ignore[no-untyped-def]
            connection.execute("PRAGMA synchronous = OFF")  # power is not cut here

        self.now = AT
        self.jobs: list[str] = []
        self.seen = 0
        self.past: list[list[Picture]] = []  # after each step, of each job
        self.at: dict[tuple[str, str], str] = {}

    @initialize(graph=st.sampled_from(GRAPHS), retries=st.integers(0, 2))
    def first(self, graph: dict[str, tuple[str, ...]], retries: int) -> None:
        self.new(graph, retries)

    # --- what happens ---

    @precondition(lambda self: len(self.jobs) < 2)
    @rule(graph=st.sampled_from(GRAPHS), retries=st.integers(0, 2))
    def new(self, graph: dict[str, tuple[str, ...]], retries: int) -> None:
        command = f"C{len(self.jobs)}"
        plan = plan_with(graph, retries=retries)
        with self.database.write() as tx:
            job = queue(tx, plan, command, at=self.now)
        with self.database.write() as tx:  # the command comes again
            assert queue(tx, plan, command, at=self.now).id == job.id
        self.jobs.append(job.id)

    @rule(seconds=st.integers(0, 600))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(seen=places)
    def admit(self, seen: Place) -> None:
        with self.database.write() as tx:
            advance.admit(tx, self.old(seen).job, self.now)

    @rule(seen=places)
    def refuse(self, seen: Place) -> None:
        with self.database.write() as tx:
            advance.refuse(tx, self.old(seen).job, "no", self.now)

    @rule(seen=places)
    def open_tasks(self, seen: Place) -> None:
        picture = self.old(seen)
        if picture.job.state is JobState.RUNNING:  # as the loop reads it: tasks of a queued job wait
            with self.database.write() as tx:
                advance.open_tasks(tx, picture.tasks, self.now)

    @rule(seen=places)
    def launch(self, seen: Place) -> None:
        for task in self.old(seen).tasks:
            with self.database.write() as tx:
                advance.launch(tx, task, launch_of(task), self.now)

    @rule(seen=places, said=observations, which=st.integers(0, 9), times=st.integers(1, 2))
    def observe(self, seen: Place, said: Observation, which: int, times: int) -> None:
        """The engine says anything at all of any attempt, perhaps twice, to a loop that may have read long ago."""
        picture = self.old(seen)
        if picture.attempts:
            attempt = picture.attempts[which % len(picture.attempts)]
            task = next(task for task in picture.tasks if task.id == attempt.task_id)
            for _ in range(times):
                with self.database.write() as tx:
                    advance.started(tx, attempt, attempt.id)
                    advance.observe(tx, task, attempt, said, self.now)

    @rule(seen=places, is_good=st.booleans())
    def collect(self, seen: Place, is_good: bool) -> None:  # noqa: FBT001  # Hypothesis names it
        for task in self.old(seen).tasks:
            with self.database.write() as tx:
                if is_good:
                    advance.finish(tx, task, (), self.now)
                else:
                    advance.fail(tx, task, "a missing output", self.now)

    @rule(seen=places)
    def reuse(self, seen: Place) -> None:
        for task in self.old(seen).tasks[:1]:
            with self.database.write() as tx:
                advance.reuse(tx, task, self.now, key="k", run_id="", outputs=(), reason="trained before")

    @rule(seen=places)
    def cancel(self, seen: Place) -> None:
        with self.database.write() as tx:
            advance.cancel(tx, self.old(seen).job, "a push", "ada", self.now)

    @rule(seen=places)
    def cancel_waiting(self, seen: Place) -> None:
        picture = self.old(seen)
        if picture.job.desired == "cancel":
            with self.database.write() as tx:
                advance.cancel_waiting(tx, picture.tasks, self.now)

    @rule(seen=places)
    def close(self, seen: Place) -> None:
        picture = self.old(seen)
        with self.database.write() as tx:
            advance.close(tx, picture.job, picture.tasks, self.now)

    @rule(which=st.integers(0, 2), said=st.lists(observations, min_size=1, max_size=4))
    def good_loop(self, which: int, said: list[Observation]) -> None:
        """A loop that reads before each step does a round, whatever the engine says."""
        self.tick(self.jobs[which % len(self.jobs)], said)

    # --- what must hold ---

    @invariant()
    def everything_holds(self) -> None:
        with self.database.read() as tx:
            pictures = [read(tx, job_id) for job_id in self.jobs]
            self.past.append(pictures)
            fresh = tx.execute(_EVENTS, {"after": self.seen}).all()
        for row in fresh:
            self.seen = row.seq
            self.follow(row)
        for picture in pictures:
            self.states_are_where_the_events_lead(picture)
            for task in picture.tasks:
                check_attempts(task, [each for each in picture.attempts if each.task_id == task.id])
            if picture.job.state.is_final:
                check_end(picture)

    def follow(self, row: Any) -> None:
        """Every event goes on from where the last one of the same thing led, by a way that exists."""
        place = (row.entity, row.entity_id)
        # Tasks come with their job, without an event of their own.
        before = self.at.get(place, "pending" if row.entity == "task" else None)
        assert row.from_state == before, f"{place} is {before}, and the event says {row.from_state}"
        if row.to_state not in REMARKS:
            assert row.to_state in PATHS[row.entity].get(before, ()), f"{place}: {before} -> {row.to_state}"
            self.at[place] = row.to_state

    def states_are_where_the_events_lead(self, now: Picture) -> None:
        assert self.at["job", now.job.id] == now.job.state
        assert all(self.at.get(("task", each.id), "pending") == each.state for each in now.tasks)
        assert all(self.at["attempt", each.id] == each.state for each in now.attempts)

    def teardown(self) -> None:
        """Let a loop that reads before each step run: every job ends, once."""
        try:
            for _ in range(60):
                if all(self.picture(each).job.state.is_final for each in self.jobs):
                    break
                for each in self.jobs:
                    self.tick(each, [GOOD])
                self.now += timedelta(minutes=6)
            self.everything_holds()
            assert [each for each in map(self.picture, self.jobs) if not each.job.state.is_final] == []
        finally:
            self.database.close()
            shutil.rmtree(self.folder)

    # --- reading and driving ---

    def old(self, place: Place) -> Picture:
        """What was read of a job some steps ago, or just now."""
        which, age = place
        then = self.past[max(len(self.past) - 1 - age, 0)]
        return then[which % len(then)]

    def picture(self, job_id: str) -> Picture:
        with self.database.read() as tx:
            return read(tx, job_id)

    def tick(self, job_id: str, said: list[Observation]) -> None:
        now = self.picture(job_id)
        with self.database.write() as tx:
            advance.admit(tx, now.job, self.now)
            if now.job.desired == "cancel":
                advance.cancel_waiting(tx, now.tasks, self.now)
            elif now.job.state is JobState.RUNNING:
                advance.open_tasks(tx, now.tasks, self.now)
        for number, attempt in enumerate(each for each in now.attempts if not each.state.is_final):
            with self.database.write() as tx:
                store = JobStore(tx)
                fresh = next(each for each in store.attempts([attempt.task_id]) if each.id == attempt.id)
                task = store.task(attempt.task_id)
                advance.observe(tx, task, fresh, said[number % len(said)], self.now)
        now = self.picture(job_id)
        with self.database.write() as tx:
            for task in now.tasks:
                if task.state is TaskState.READY and now.job.desired != "cancel":
                    advance.launch(tx, task, launch_of(task), self.now)
                advance.finish(tx, task, (), self.now)
        now = self.picture(job_id)
        with self.database.write() as tx:
            advance.close(tx, now.job, now.tasks, self.now)


_EVENTS = (
    select(schema.event.c["seq", "entity", "entity_id", "from_state", "to_state"])
    .where(schema.event.c.seq > bindparam("after"))
    .order_by(schema.event.c.seq)
)


def read(tx: Connection, job_id: str) -> Picture:
    store = JobStore(tx)
    tasks = store.tasks(job_id)
    return Picture(store.get(job_id), tuple(tasks), tuple(store.attempts(task.id for task in tasks)))


def check_attempts(task: Task, attempts: list[Attempt]) -> None:
    """A running task has one live attempt, no other has any, and numbers count up without a gap."""
    live = [each for each in attempts if not each.state.is_final]
    assert len(live) == (1 if task.state is TaskState.RUNNING else 0)
    assert [each.number for each in attempts] == list(range(1, task.attempts + 1))
    assert [each.fence for each in attempts] == [each.number for each in attempts]
    assert len(attempts) <= max(task.max_attempts, 2)  # one more than allowed only after a loss
    if task.state in (TaskState.COLLECTING, TaskState.SUCCEEDED):
        assert attempts[-1].state is AttemptState.SUCCEEDED


def check_end(now: Picture) -> None:
    """A job that has ended has only tasks that have, and says what they say."""
    assert all(task.state.is_final for task in now.tasks)
    assert now.job.finished_at is not None
    is_good = bool(now.tasks) and all(task.state.is_good for task in now.tasks)
    assert (now.job.state is JobState.SUCCEEDED) == is_good
    assert now.job.reason or is_good


JobMachine.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
TestJobMachine = JobMachine.TestCase


def test_long_lives_at_random() -> None:
    """Hypothesis prefers short stories; these are long, and each is told again by its number."""
    for seed in range(30):
        draw = random.Random(seed)
        machine = JobMachine()
        try:
            machine.new(draw.choice(GRAPHS[1:]), draw.randrange(3))
            machine.everything_holds()
            for _ in range(40):
                act_at_random(machine, draw)
                machine.everything_holds()
            machine.teardown()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


def act_at_random(machine: JobMachine, draw: random.Random) -> None:
    seen = (draw.randrange(3), draw.choice([0, 0, 0, 1, 2, 5, 12]))
    said = draw.choice([*STORIES, GOOD, GOOD])
    simple = (machine.admit, machine.open_tasks, machine.launch, machine.reuse, machine.cancel, machine.refuse)
    chosen = draw.choices(
        [*simple, machine.cancel_waiting, machine.close, machine.collect, machine.observe, machine.good_loop],
        weights=[9, 9, 9, 1, 1, 1, 3, 5, 9, 20, 3],
    )[0]
    if chosen == machine.collect:
        machine.collect(seen, draw.random() < 0.9)
    elif chosen == machine.observe:
        machine.observe(seen, said, draw.randrange(9), draw.choice([1, 1, 2]))
    elif chosen == machine.good_loop:
        machine.good_loop(seen[0], [said])
    else:
        chosen(seen)
    machine.wait(draw.choice([0, 0, 1, 60]))
    if len(machine.jobs) < 2 and draw.random() < 0.1:
        machine.new(draw.choice(GRAPHS), draw.randrange(3))
