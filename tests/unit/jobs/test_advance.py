"""Every way through `jobs/advance.py`, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from fakes.databases import DATABASES, clean_database
from fakes.jobs import AT, BAD, GOOD, launch_of, plan_with, queue
from headway.db import schema
from headway.engines.base import Alive, Exited, Isolation, Lost, Observation, Starting
from headway.jobs import advance
from headway.jobs.model import Attempt, AttemptState, Job, JobState, Task, TaskState
from headway.jobs.store import JobStore
from headway.planning.model import OutputFile

LATER = AT + timedelta(minutes=1)


@pytest.fixture(params=DATABASES)
def tx(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    with clean_database(request.param, tmp_path) as database, database.write() as connection:
        yield connection


def job_of(tx: Connection, **plan: object) -> Job:
    return queue(tx, plan_with(plan.pop("graph", {"train": ()}), **plan))  # type: ignore[arg-type]


def now(tx: Connection, job: Job) -> tuple[Job, dict[str, Task], list[Attempt]]:
    store = JobStore(tx)
    tasks = {task.name: task for task in store.tasks(job.id)}
    return store.get(job.id), tasks, store.attempts(task.id for task in tasks.values())


def begin(tx: Connection, job: Job, name: str = "train") -> tuple[Task, Attempt]:
    """Admit the job where it waits, and launch one of its tasks."""
    advance.admit(tx, job, AT)
    advance.open_tasks(tx, JobStore(tx).tasks(job.id), AT)
    task = now(tx, job)[1][name]
    assert advance.launch(tx, task, launch_of(task), AT)
    fresh = now(tx, job)
    return fresh[1][name], [each for each in fresh[2] if each.task_id == task.id][-1]


def seen(tx: Connection, job: Job, said: Observation) -> tuple[Task, Attempt]:
    """Let the engine say something of the only task's newest attempt."""
    _, tasks, attempts = now(tx, job)
    advance.observe(tx, tasks["train"], attempts[-1], said, LATER)
    _, tasks, attempts = now(tx, job)
    return tasks["train"], attempts[-1]


def exited(code: int, reason: str = "") -> Exited:
    return replace(GOOD, exit_code=code, reason=reason)


def test_a_command_queues_one_job_and_jobs_count_up(tx: Connection) -> None:
    plan = plan_with({"prepare": (), "train": ("prepare",)}, retries=2)
    first = queue(tx, plan, "C1")
    assert queue(tx, plan, "C1").id == first.id
    second = queue(tx, plan, "C2")
    other = queue(tx, plan_with({"train": ()}, project="other"), "C1")
    assert (first.number, second.number, other.number) == (1, 2, 3)
    assert (first.state, first.desired, first.change, first.branch, first.actor) == (
        JobState.QUEUED, "run", 7, "topic", "ada",
    )  # fmt: skip
    tasks = JobStore(tx).tasks(first.id)
    assert [(task.name, task.needs, task.max_attempts, task.state) for task in tasks] == [
        ("prepare", (), 3, TaskState.PENDING),
        ("train", ("prepare",), 3, TaskState.PENDING),
    ]
    assert [JobStore(tx).queue_position(each) for each in (first, second, other)] == [1, 2, 3]


def test_tasks_open_as_their_needs_are_met_and_are_skipped_when_they_cannot_be(tx: Connection) -> None:
    job = job_of(tx, graph={"a": (), "b": (), "join": ("a", "b"), "last": ("join",)})
    advance.admit(tx, job, AT)
    assert advance.open_tasks(tx, JobStore(tx).tasks(job.id), AT) == 2
    assert advance.open_tasks(tx, JobStore(tx).tasks(job.id), AT) == 0
    tasks = now(tx, job)[1]
    assert advance.reuse(tx, tasks["a"], AT, key="k", run_id="", outputs=(), reason="trained before")
    assert advance.open_tasks(tx, JobStore(tx).tasks(job.id), AT) == 0
    assert advance.fail(tx, tasks["b"], "no environment", AT)
    assert advance.open_tasks(tx, JobStore(tx).tasks(job.id), AT) == 1
    assert advance.open_tasks(tx, JobStore(tx).tasks(job.id), AT) == 1
    fresh, tasks, _ = now(tx, job)
    assert (tasks["join"].state, tasks["join"].reason) == (TaskState.SKIPPED, "needs b, which did not succeed")
    assert (tasks["last"].state, tasks["last"].reason) == (TaskState.SKIPPED, "needs join, which did not succeed")
    assert advance.close(tx, fresh, tasks.values(), LATER)
    assert (now(tx, job)[0].state, now(tx, job)[0].reason) == (JobState.FAILED, "step b: no environment")


def test_a_good_attempt_is_collected_and_ends_the_job(tx: Connection) -> None:
    job = job_of(tx)
    task, attempt = begin(tx, job)
    assert (attempt.number, attempt.fence, attempt.state) == (1, 1, AttemptState.LAUNCHING)
    advance.started(tx, attempt, "handle")
    assert seen(tx, job, Starting()) == (task, replace(attempt, handle="handle"))
    task, attempt = seen(tx, job, Alive(isolation=Isolation.L2))
    assert (attempt.state, attempt.isolation, attempt.started_at) == (AttemptState.RUNNING, 2, LATER)
    assert seen(tx, job, Alive(isolation=Isolation.L2)) == (task, attempt)
    assert not advance.fail(tx, task, "it runs: only its attempt ends it", LATER)
    assert not advance.finish(tx, task, (), LATER)
    task, attempt = seen(tx, job, GOOD)
    assert (task.state, attempt.state, attempt.exit_code) == (TaskState.COLLECTING, AttemptState.SUCCEEDED, 0)
    fresh = now(tx, job)[0]
    assert not advance.close(tx, fresh, [task], LATER)
    outputs = (OutputFile(path="m", digest="d", size=3),)
    assert advance.finish(tx, task, outputs, LATER)
    assert not advance.finish(tx, task, (), LATER)
    task = now(tx, job)[1]["train"]
    assert (task.state, task.outputs, task.exit_code) == (TaskState.SUCCEEDED, outputs, 0)
    assert advance.close(tx, fresh, [task], LATER)
    assert not advance.close(tx, now(tx, job)[0], [task], LATER)
    done = now(tx, job)[0]
    assert (done.state, done.reason, done.finished_at) == (JobState.SUCCEEDED, "", LATER)
    assert JobStore(tx).unsettled() == [done]
    advance.settled(tx, done, LATER)
    assert JobStore(tx).unsettled() == []


@pytest.mark.parametrize(
    ("said", "state", "reason"),
    [
        (exited(3), AttemptState.FAILED, "exit code 3"),
        (exited(143, "timeout"), AttemptState.TIMED_OUT, "stopped at its time limit"),
        (exited(137, "memory"), AttemptState.FAILED, "stopped: it used more memory than its limit"),
        (exited(0, "disk"), AttemptState.FAILED, "stopped: it wrote more to disk than its limit"),
        (exited(1, "something new"), AttemptState.FAILED, "something new"),
    ],
)
def test_a_bad_end_fails_the_task_with_its_reason(
    tx: Connection, said: Observation, state: AttemptState, reason: str
) -> None:
    job = job_of(tx)
    begin(tx, job)
    task, attempt = seen(tx, job, said)
    assert (task.state, task.reason) == (TaskState.FAILED, reason)
    assert (attempt.state, attempt.reason, attempt.isolation) == (state, reason, 2)
    assert advance.close(tx, now(tx, job)[0], [task], LATER)
    assert now(tx, job)[0].reason == f"step train: {reason}"


def test_retries_wait_longer_each_time_and_end(tx: Connection) -> None:
    job = job_of(tx, retries=2)
    for number in (1, 2):
        task, _ = begin(tx, job)
        task, attempt = seen(tx, job, BAD)
        assert (task.state, attempt.number) == (TaskState.READY, number)
        assert task.reason == f"attempt {number} exit code 3; trying again"
        assert task.next_at == LATER + timedelta(seconds=2.0**number)
    begin(tx, job)
    task, attempt = seen(tx, job, BAD)
    assert (task.state, task.attempts, attempt.number) == (TaskState.FAILED, 3, 3)
    assert [advance.backoff(attempts).total_seconds() for attempts in (1, 3, 8, 9, 90)] == [2, 8, 256, 300, 300]


def test_a_lost_attempt_is_tried_once_more_without_waiting(tx: Connection) -> None:
    job = job_of(tx)
    begin(tx, job)
    task, first = seen(tx, job, Lost(why="killed"))
    assert (task.state, task.next_at, first.state, first.reason) == (
        TaskState.READY, LATER, AttemptState.LOST, "lost: killed",
    )  # fmt: skip
    begin(tx, job)
    task, second = seen(tx, job, Lost(why="killed"))
    assert (task.state, second.number, second.state) == (TaskState.FAILED, 2, AttemptState.LOST)


def test_what_an_engine_says_of_an_ended_attempt_changes_nothing(tx: Connection) -> None:
    job = job_of(tx, retries=1)
    begin(tx, job)
    task, first = seen(tx, job, exited(1))
    for said in (Lost(why="late"), GOOD, exited(1), Alive(isolation=Isolation.L2), Starting()):
        assert not advance.observe(tx, task, first, said, LATER)
    assert seen(tx, job, GOOD) == (task, first)
    second = begin(tx, job)[1]
    assert not advance.observe(tx, now(tx, job)[1]["train"], first, GOOD, LATER)  # the first speaks from its grave
    assert now(tx, job)[2] == [first, second]


def test_a_stale_record_moves_nothing(tx: Connection) -> None:
    job = job_of(tx, graph={"train": (), "other": ()})
    ready = {name: task for name, task in now(tx, job)[1].items() if task}
    begin(tx, job)
    assert not advance.admit(tx, job, AT)
    assert not advance.refuse(tx, job, "too late", AT)
    assert now(tx, job)[1]["other"].state is TaskState.READY  # its job was not refused, so it was not skipped
    assert not advance.launch(tx, ready["train"], launch_of(ready["train"]), AT)
    stale = now(tx, job)[1]["other"]
    assert advance.launch(tx, stale, launch_of(stale), AT)
    assert not advance.launch(tx, stale, launch_of(stale, attempt_id="x"), AT)
    task, attempt = now(tx, job)[1]["train"], now(tx, job)[2]
    mine = next(each for each in attempt if each.task_id == task.id)
    assert advance.observe(tx, task, mine, BAD, LATER)
    assert not advance.observe(tx, task, mine, GOOD, LATER)  # read before the end was written
    assert not advance.observe(tx, task, mine, Lost(why="gone"), LATER)
    assert not advance.cancel(tx, job, "stale", "ada", AT)


def test_a_refused_job_skips_everything(tx: Connection) -> None:
    job = job_of(tx)
    assert advance.refuse(tx, job, "engine kubernetes is not there yet", AT)
    fresh, tasks, _ = now(tx, job)
    assert (fresh.state, fresh.reason) == (JobState.REFUSED, "engine kubernetes is not there yet")
    assert (tasks["train"].state, tasks["train"].reason) == (TaskState.SKIPPED, "the job was refused")
    assert not advance.refuse(tx, fresh, "again", AT)


def test_a_cancelled_job_ends_its_waiting_tasks_and_waits_for_its_attempts(tx: Connection) -> None:
    job = job_of(tx, graph={"train": (), "after": ("train",)})
    begin(tx, job)
    running = now(tx, job)[0]
    assert advance.cancel(tx, running, "superseded", "ada", AT, superseded_by="c2")
    fresh, tasks, _ = now(tx, job)
    assert (fresh.desired, fresh.reason, fresh.superseded_by) == ("cancel", "superseded", "c2")
    assert not advance.cancel(tx, fresh, "again", "ada", AT)
    assert advance.cancel_waiting(tx, tasks.values(), AT) == 1
    assert not advance.close(tx, fresh, now(tx, job)[1].values(), AT)
    task, attempt = seen(tx, job, exited(143, "cancelled"))
    assert (task.state, attempt.state) == (TaskState.CANCELLED, AttemptState.CANCELLED)
    assert advance.close(tx, fresh, now(tx, job)[1].values(), LATER)
    done = now(tx, job)[0]
    assert (done.state, done.reason) == (JobState.CANCELLED, "superseded")
    assert not advance.cancel(tx, done, "too late", "ada", AT)
    told = tx.execute(select(schema.event.c.to_state).where(schema.event.c.entity_id == job.id)).scalars().all()
    assert told == ["queued", "running", "cancelling", "cancelled"]


def test_a_job_cancelled_while_it_waits_never_begins(tx: Connection) -> None:
    job = job_of(tx)
    assert advance.cancel(tx, job, "not wanted", "ada", AT)
    fresh = now(tx, job)[0]
    assert not advance.admit(tx, fresh, AT)
    advance.cancel_waiting(tx, JobStore(tx).tasks(job.id), AT)
    assert advance.close(tx, fresh, JobStore(tx).tasks(job.id), AT)
    assert (now(tx, job)[0].state, now(tx, job)[0].reason) == (JobState.CANCELLED, "not wanted")


def test_an_attempt_cancelled_from_outside_fails_its_job_with_the_reason(tx: Connection) -> None:
    job = job_of(tx)
    begin(tx, job)
    task, _ = seen(tx, job, exited(143, "cancelled"))
    advance.close(tx, now(tx, job)[0], [task], LATER)
    assert (now(tx, job)[0].state, now(tx, job)[0].reason) == (JobState.FAILED, "step train: cancelled")


def test_an_empty_job_is_a_failure(tx: Connection) -> None:
    job = job_of(tx, graph={})
    advance.admit(tx, job, AT)
    assert advance.close(tx, now(tx, job)[0], [], AT)
    assert (now(tx, job)[0].state, now(tx, job)[0].reason) == (JobState.FAILED, "no step could run")


def test_a_remark_moves_nothing(tx: Connection) -> None:
    job = job_of(tx)
    task = now(tx, job)[1]["train"]
    advance.note(tx, task, "building the environment")
    assert now(tx, job)[1]["train"] == replace(task, reason="building the environment")
