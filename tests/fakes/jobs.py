"""Jobs made from a graph of names, for the tests of stores and of their states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from headway.engines.base import Exited, Isolation
from headway.environments.model import EnvKind, EnvSpec, Tier
from headway.jobs import advance
from headway.jobs.model import Job, Task
from headway.jobs.store import JobStore
from headway.pipelines.model import TaskSpec
from headway.planning.model import Plan
from headway.planning.plan import History, make_plan
from headway.projects.model import ProjectSpec

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
GOOD = Exited(exit_code=0, reason="", isolation=Isolation.L2, started_at=1.0, finished_at=2.0)
BAD = Exited(exit_code=3, reason="", isolation=Isolation.L2, started_at=1.0, finished_at=2.0)


def plan_with(graph: Mapping[str, Sequence[str]], *, retries: int = 0, project: str = "churn") -> Plan:
    """A plan with one task per name, each with what it needs."""
    env = EnvSpec(digest="e" * 64, kind=EnvKind.UV_LOCK, python="3.11")
    tasks = [
        TaskSpec(
            name=name,
            argv=("python", f"{name}.py"),
            commit="c1",
            root="",
            env=env,
            code_digest=name,
            needs=tuple(needs),
            retries=retries,
        )
        for name, needs in graph.items()
    ]
    return make_plan(
        ProjectSpec(name=project, root=""),
        tasks,
        repo_id="repo",
        commit="c1",
        base_commit="c0",
        tree="t",
        tier=Tier.CHANGE,
        params={},
        history=History(),
    )


def queue(tx: Connection, plan: Plan, command_id: str = "C1", *, at: datetime = AT) -> Job:
    """Save a plan, queue a job of it, and return the job."""
    store = JobStore(tx)
    store.save_plan(plan, at)
    job_id = advance.create(
        tx, advance.NewJob(plan=plan, command_id=command_id, change=7, branch="topic", actor="ada"), at
    )
    return store.get(job_id)


def launch_of(task: Task, **changes: Any) -> advance.Launch:
    """What is recorded of the next attempt of a task."""
    name = f"{task.id[-18:]}.{task.attempts + 1}"
    given = {
        "attempt_id": name,
        "nonce": f"nonce {name}",
        "engine": "local",
        "directory": f"/nowhere/{name}",
        "key": "k" * 64,
        "run_id": f"run of {task.name}",
        "spec": {},
    }
    return advance.Launch(**{**given, **changes})
