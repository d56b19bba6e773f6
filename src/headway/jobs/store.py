"""Reading jobs, tasks, attempts and plans; what changes their state lives in `advance.py`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, func, select

from headway.db import schema
from headway.errors import NotFound
from headway.jobs.model import Attempt, Job, JobState, Task
from headway.planning.model import Plan

_Record = TypeVar("_Record", Job, Task, Attempt)
_JOB = [schema.job.c[name] for name in Job.__dataclass_fields__]
_TASK = [schema.task.c[name] for name in Task.__dataclass_fields__]
_ATTEMPT = [schema.attempt.c[name] for name in Attempt.__dataclass_fields__]


class JobStore:
    """What is recorded of executions, inside one transaction."""

    def __init__(self, tx: Connection) -> None:
        """Read through this connection."""
        self._tx = tx

    def get(self, job_id: str) -> Job:
        """Return a job by id, or by number where `job_id` is one."""
        is_number = job_id.isascii() and job_id.isdigit() and len(job_id) < 10
        column = schema.job.c.number if is_number else schema.job.c.id
        found = self.find(column == (int(job_id) if is_number else job_id), limit=1)
        if not found:
            raise NotFound(f"there is no job {job_id[:40]}", hint="headway jobs lists them")
        return found[0]

    def find(self, *where: ColumnElement[bool], limit: int = 100, offset: int = 0) -> list[Job]:
        """Return matching jobs, newest first."""
        query = select(*_JOB).where(*where).order_by(schema.job.c.number.desc()).limit(limit).offset(offset)
        return [_convert(row, Job) for row in self._tx.execute(query).mappings()]

    def unfinished(self) -> list[Job]:
        """Return queued and running jobs, oldest first: the order of the queue."""
        states = (JobState.QUEUED.value, JobState.RUNNING.value)
        query = select(*_JOB).where(schema.job.c.state.in_(states)).order_by(schema.job.c.number)
        return [_convert(row, Job) for row in self._tx.execute(query).mappings()]

    def unsettled(self) -> list[Job]:
        """Return ended jobs whose result has not been gathered, oldest first."""
        states = (JobState.QUEUED.value, JobState.RUNNING.value)
        query = (
            select(*_JOB)
            .where(schema.job.c.settled_at.is_(None), schema.job.c.state.not_in(states))
            .order_by(schema.job.c.number)
        )
        return [_convert(row, Job) for row in self._tx.execute(query).mappings()]

    def queue_position(self, job: Job) -> int:
        """Return how many jobs stand before this queued one, plus one."""
        query = select(func.count()).where(
            schema.job.c.state == JobState.QUEUED.value, schema.job.c.number < job.number
        )
        return int(self._tx.execute(query).scalar_one()) + 1

    def tasks(self, job_id: str) -> list[Task]:
        """Return the tasks of a job in pipeline order."""
        query = select(*_TASK).where(schema.task.c.job_id == job_id).order_by(schema.task.c.position)
        return [_convert(row, Task) for row in self._tx.execute(query).mappings()]

    def task(self, task_id: str) -> Task:
        """Return one task."""
        row = self._tx.execute(select(*_TASK).where(schema.task.c.id == task_id)).mappings().first()
        if row is None:
            raise NotFound(f"there is no task {task_id}")
        return _convert(row, Task)

    def task_of_run(self, run_id: str) -> Task | None:
        """Return the task that a run belongs to, the one that ran it rather than one that reused it."""
        query = select(*_TASK).where(schema.task.c.run_id == run_id).order_by(schema.task.c.id).limit(1)
        row = self._tx.execute(query).mappings().first()
        return None if row is None else _convert(row, Task)

    def attempts(self, task_ids: Iterable[str]) -> list[Attempt]:
        """Return the attempts of these tasks, oldest first."""
        query = (
            select(*_ATTEMPT)
            .where(schema.attempt.c.task_id.in_(list(task_ids)))
            .order_by(schema.attempt.c.task_id, schema.attempt.c.number)
        )
        return [_convert(row, Attempt) for row in self._tx.execute(query).mappings()]

    def live_attempts(self) -> list[Attempt]:
        """Return every attempt that may still have a process."""
        query = select(*_ATTEMPT).where(schema.attempt.c.state.in_(("launching", "running")))
        return [_convert(row, Attempt) for row in self._tx.execute(query).mappings()]

    def save_plan(self, plan: Plan, at: Any) -> None:
        """Keep a plan; equal plans are one row."""
        known = self._tx.execute(select(schema.plan.c.id).where(schema.plan.c.id == plan.id)).first()
        body = msgspec.to_builtins(plan)
        if known is None:
            self._tx.execute(
                schema.plan.insert().values(
                    id=plan.id,
                    repo_id=plan.repo_id,
                    project=plan.project.name,
                    commit=plan.commit,
                    body=body,
                    made_at=at,
                ),
            )
        else:
            self._tx.execute(schema.plan.update().where(schema.plan.c.id == plan.id).values(body=body, made_at=at))

    def plan(self, plan_id: str) -> Plan:
        """Return a kept plan."""
        body = self._tx.execute(select(schema.plan.c.body).where(schema.plan.c.id == plan_id)).scalar()
        if body is None:
            raise NotFound(f"there is no plan {plan_id[:12]}")
        return msgspec.convert(body, Plan)


def _convert(row: Mapping[Any, Any], kind: type[_Record]) -> _Record:
    # By name, because a column called "commit" comes back under a key that is no plain str.
    return msgspec.convert({name: row[name] for name in kind.__dataclass_fields__}, kind)


def reasons(tx: Connection, task_ids: Iterable[str]) -> dict[str, str]:
    """Return what is said of these tasks at present, by task."""
    task = schema.task.c
    query = select(task.id, task.reason).where(task.id.in_(list(task_ids)))
    return {row.id: row.reason for row in tx.execute(query)}
