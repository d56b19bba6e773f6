"""A plan: everything that will happen, decided, content-addressed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from headway.environments.model import Tier
from headway.pipelines.model import TaskSpec
from headway.pipelines.params import as_text
from headway.projects.model import ParamValue, ProjectSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFile:
    """One file of a task's output."""

    path: str  # relative to the project
    digest: str
    size: int
    executable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """What a succeeded task produced: what reuse looks up by exact key."""

    key: str  # exact key
    tier: Tier
    project: str
    task: str
    job_id: str
    run_id: str
    outputs: tuple[OutputFile, ...]
    metrics: dict[str, float]
    seconds: float
    commit: str
    finished_at: datetime
    branch: str = ""


class Action(StrEnum):
    """What will happen to a task."""

    RUN = "run"
    REUSE = "reuse"
    DECIDE_LATER = "decide_later"  # depends on the outputs of a task that must run first


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTask:
    """A task, what will happen to it and why."""

    spec: TaskSpec
    static_key: str
    action: Action
    why: str  # one clause for a person: "code changed: train.py", "trained before in job ..."
    exact_key: str | None = None  # known when every input is
    reuse: TaskResult | None = None
    expected_seconds: float | None = None
    expected_cost: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One pipeline at one commit with one set of params, and the rules it will be judged by."""

    id: str  # digest of all below but the estimates
    repo_id: str
    project: ProjectSpec  # effective: gates, deploy, triggers, engine and report from the base
    commit: str
    base_commit: str
    tree: str  # tree of the commit, so that a squash or rebase is recognised
    tier: Tier
    params: dict[str, ParamValue] = field(default_factory=dict)
    tasks: tuple[PlannedTask, ...] = ()
    rerun: tuple[str, ...] = ()  # tasks that run although a result is there: to see how far numbers scatter
    notes: tuple[str, ...] = ()  # what the change tried to alter in its own rules; no part of the id
    replaced: dict[str, ParamValue] = field(default_factory=dict)  # param -> what headway.yaml has, where a command
    # gave another value: such a job judges no commit (ADR 0019)

    @property
    def other_values(self) -> str:
        """Why the job of this plan cannot judge its commit; "" when it ran with the commit's own values."""
        if not self.replaced:
            return ""
        given = ", ".join(f"{name}={as_text(self.params[name])}" for name in self.replaced)
        own = ", ".join(as_text(value) for value in self.replaced.values())
        return f"trained with {given}; headway.yaml of this commit says {own}"

    @property
    def is_all_reused(self) -> bool:
        """Whether nothing has to run: "already trained" is the answer."""
        return bool(self.tasks) and all(task.action is Action.REUSE for task in self.tasks)
