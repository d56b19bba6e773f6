"""Results of tasks by exact key: what reuse looks up, within the trust tiers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from headway.db import events
from headway.db.schema import job as job_table
from headway.db.schema import plan as plan_table
from headway.db.schema import task as task_table
from headway.db.schema import task_result
from headway.environments.model import Tier
from headway.errors import Refused
from headway.pipelines.model import TaskSpec
from headway.planning.keys import exact_keys
from headway.planning.model import TaskResult
from headway.planning.noise import Noise, noise_of
from headway.planning.plan import Earlier

_TIMES = 10  # how many earlier durations an estimate looks at
_REPEATS = 50  # how many repeats of one key are remembered


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """A later run of equal key: its numbers tell how far they scatter."""

    job_id: str
    run_id: str
    metrics: dict[str, float]
    seconds: float
    finished_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    result: TaskResult
    repeats: tuple[Repeat, ...] = ()


class ResultStore:
    """The table of task results in one transaction."""

    def __init__(self, tx: Connection) -> None:
        """Work inside the transaction `tx`."""
        self._tx = tx

    def save(self, result: TaskResult) -> None:
        """Keep a succeeded task's result; a second one of equal key and tier is kept as a repeat.

        The first stays what reuse finds, so that equal questions get equal answers. Safe to repeat.
        """
        stored = self._stored(result.key, result.tier)
        if stored is None:
            self._insert(_Stored(result=result))
            return
        known = {stored.result.job_id, *(each.job_id for each in stored.repeats)}
        if result.job_id in known:
            return
        repeat = Repeat(
            job_id=result.job_id,
            run_id=result.run_id,
            metrics=result.metrics,
            seconds=result.seconds,
            finished_at=result.finished_at,
        )
        body = _Stored(result=stored.result, repeats=(*stored.repeats, repeat)[-_REPEATS:])
        self._tx.execute(
            task_result.update()
            .where(task_result.c.key == result.key, task_result.c.tier == int(result.tier))
            .values(body=body),
        )

    def find(self, key: str, tier: Tier) -> TaskResult | None:
        """Return the result of an exact key that code of this tier may use: of its own tier or a higher one."""
        query = (
            select(task_result.c.body)
            .where(task_result.c.key == key, task_result.c.tier >= int(tier))
            .order_by(task_result.c.tier.desc())
            .limit(1)
        )
        body = self._tx.execute(query).scalar_one_or_none()
        return None if body is None else _decode(body).result

    def find_for(self, tasks: Sequence[TaskSpec], tier: Tier) -> dict[str, TaskResult]:
        """Return every usable result of a pipeline by exact key, following reused outputs to the next inputs."""
        known: dict[str, TaskResult] = {}
        asked: set[str] = set()
        while True:
            keys = set(exact_keys(tasks, known).values()) - asked
            if not keys:
                return known
            for key in keys:
                found = self.find(key, tier)
                if found is not None:
                    known[key] = found
            asked |= keys

    def recent(self, repo_id: str, project: str, task: str, *, limit: int = _TIMES) -> list[TaskResult]:
        """Return the newest results of a task of one project, newest first, each job once."""
        query = (
            select(task_result.c.body)
            .join(job_table, job_table.c.id == task_result.c.job_id)
            .where(task_result.c.project == project, task_result.c.task == task, job_table.c.repo_id == repo_id)
            .order_by(task_result.c.finished_at.desc(), task_result.c.tier.desc())
            .limit(limit * len(Tier))
        )
        found: dict[str, TaskResult] = {}
        for body in self._tx.execute(query).scalars():
            result = _decode(body).result
            found.setdefault(result.job_id, result)
        return list(found.values())[:limit]

    def earlier(self, repo_id: str, project: str, tasks: Iterable[str], *, branch: str = "") -> dict[str, Earlier]:
        """Return, for each task that ever succeeded, its newest success: on `branch` where there is one."""
        found: dict[str, Earlier] = {}
        for name in tasks:
            results = self.recent(repo_id, project, name)
            on_branch = [each for each in results if branch and each.branch == branch]
            chosen = next(iter((*on_branch, *results)), None)
            spec = None if chosen is None else self._spec(chosen)
            if chosen is not None and spec is not None:
                found[name] = Earlier(
                    spec=spec,
                    job_number=self.job_numbers([chosen.job_id]).get(chosen.job_id, 0),
                    branch=chosen.branch,
                    exact_key=chosen.key,
                    seconds=tuple(each.seconds for each in results),
                )
        return found

    def job_numbers(self, job_ids: Iterable[str]) -> dict[str, int]:
        """Return the number that people say for each job."""
        query = select(job_table.c.id, job_table.c.number).where(job_table.c.id.in_(list(job_ids)))
        return {row.id: row.number for row in self._tx.execute(query)}

    def noise(self, key: str, tier: Tier) -> tuple[Noise, ...]:
        """Return how far the numbers of equal runs lie apart; empty when there was one, or all agree."""
        query = select(task_result.c.body).where(task_result.c.key == key, task_result.c.tier >= int(tier))
        runs: dict[str, dict[str, float]] = {}
        for body in self._tx.execute(query).scalars():
            stored = _decode(body)
            runs[stored.result.job_id] = stored.result.metrics
            runs |= {each.job_id: each.metrics for each in stored.repeats}
        return noise_of(list(runs.values()))

    def promote(self, job_id: str, to: Tier, *, actor: str, at: datetime) -> int:
        """Make the results that a job made or reused usable at a higher tier; return how many were new there.

        Safe to repeat.

        Raises:
            Refused: a result comes from a fork; those are never promoted.
        """
        promoted = 0
        for stored in self._of_job(job_id):
            result = stored.result
            if result.tier >= to or self._stored(result.key, to) is not None:
                continue
            if result.tier is Tier.FORK:
                raise Refused(
                    f"the result of {result.task!r} was made by code from a fork and is never promoted",
                    hint="run `/train` again on the merged commit",
                )
            self._insert(_Stored(result=replace(result, tier=to), repeats=stored.repeats))
            promoted += 1
        if promoted:
            events.record(
                self._tx,
                "job",
                job_id,
                to_state=f"results promoted to {to.name.lower()}",
                at=at,
                actor=actor,
                detail={"results": promoted},
            )
        return promoted

    def forget(self, keys: Iterable[str]) -> int:
        """Remove results whose outputs are gone; return how many rows went."""
        gone = self._tx.execute(task_result.delete().where(task_result.c.key.in_(list(keys))))
        return gone.rowcount

    def _of_job(self, job_id: str) -> list[_Stored]:
        reused = select(task_table.c.exact_key).where(
            task_table.c.job_id == job_id,
            task_table.c.exact_key.is_not(None),
            task_table.c.state.in_(("succeeded", "reused")),
        )
        query = (
            select(task_result.c.body)
            .where((task_result.c.job_id == job_id) | task_result.c.key.in_(reused))
            .order_by(task_result.c.tier.desc(), task_result.c.key)
        )
        return [_decode(body) for body in self._tx.execute(query).scalars()]

    def _spec(self, result: TaskResult) -> TaskSpec | None:
        query = (
            select(plan_table.c.body)
            .join(job_table, job_table.c.plan_id == plan_table.c.id)
            .where(job_table.c.id == result.job_id)
        )
        body = self._tx.execute(query).scalar_one_or_none()
        tasks = body.get("tasks", ()) if isinstance(body, dict) else ()
        plain = next((each["spec"] for each in tasks if each["spec"]["name"] == result.task), None)
        return None if plain is None else msgspec.convert(plain, type=TaskSpec)

    def _stored(self, key: str, tier: Tier) -> _Stored | None:
        query = select(task_result.c.body).where(task_result.c.key == key, task_result.c.tier == int(tier))
        body = self._tx.execute(query).scalar_one_or_none()
        return None if body is None else _decode(body)

    def _insert(self, stored: _Stored) -> None:
        result = stored.result
        self._tx.execute(
            task_result.insert().values(
                key=result.key,
                tier=int(result.tier),
                project=result.project,
                task=result.task,
                job_id=result.job_id,
                run_id=result.run_id,
                body=stored,
                finished_at=result.finished_at,
            ),
        )


def _decode(body: Any) -> _Stored:
    return msgspec.convert(body, type=_Stored)
