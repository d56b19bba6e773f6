"""What a report is rendered from: one frozen view per state, all numbers already decided."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from headway.gates.model import Verdict
from headway.projects.model import MetricSpec, ReportSpec
from headway.serving.model import Release
from headway.tracking.outside import Outside


class ReportState(StrEnum):
    """The states that a person may find the comment in."""

    PLANNED = "planned"
    QUEUED = "queued"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    CRASHED = "crashed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    DEPLOYED = "deployed"  # a release is under way or done
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """One task for the report's graph."""

    name: str
    state: str  # jobs.TaskState value
    needs: tuple[str, ...] = ()
    seconds: float | None = None
    why: str = ""  # run or reuse, and why
    expected_seconds: float | None = None
    expected_cost: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashView:
    """Why a task ended badly."""

    task: str
    exit_code: int | None
    reason: str
    attempt: int
    attempts: int
    seconds: float
    tail: tuple[str, ...]  # last log lines, raw and hostile
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRow:
    """One metric of this run beside the baseline."""

    name: str
    candidate: float | None
    baseline: float | None
    noise: float | None = None  # spread seen in reruns of equal inputs
    reruns: int = 0  # how many of them; 0 = not said


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A learning curve: at most some hundred points."""

    metric: str
    steps: tuple[float, ...]
    values: tuple[float, ...]
    baseline_steps: tuple[float, ...] = ()
    baseline_values: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A line of the table of runs of this change."""

    number: int
    url: str
    commit: str
    state: str
    headline: str  # verdict in words
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    is_this_commit: bool = True
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatChanged:
    """Inputs that differ from the baseline's."""

    files: tuple[str, ...] = ()
    params: dict[str, tuple[str, str]] = field(default_factory=dict)  # name -> (before, now)
    data: dict[str, tuple[str, str]] = field(default_factory=dict)
    packages: dict[str, tuple[str, str]] = field(default_factory=dict)  # "" = absent


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportView:
    """Everything that one report says; `render` is a pure function of it."""

    project: str
    state: ReportState
    number: int  # job number
    url: str  # page of the job
    commit: str
    actor: str
    command: str  # "/train lr=0.1"
    seconds: float | None = None
    cost: float | None = None
    currency: str = "$"
    queue_position: int | None = None
    isolation: str = ""
    already_trained: bool = False
    metrics: tuple[MetricSpec, ...] = ()
    baseline_label: str = ""
    baseline_url: str = ""
    rows: tuple[MetricRow, ...] = ()
    verdict: Verdict | None = None
    tasks: tuple[TaskView, ...] = ()
    crash: CrashView | None = None
    curves: tuple[Curve, ...] = ()
    changed: WhatChanged | None = None
    runs: tuple[RunRow, ...] = ()
    params: dict[str, str] = field(default_factory=dict)
    release: Release | None = None
    release_url: str = ""
    release_needs: str = ""  # while it waits: who must approve, and what else holds it
    next_step: str = ""  # "On merge: registers as churn v8 ..."
    superseded_by: str = ""
    updated_at: datetime | None = None
    spec: ReportSpec = field(default_factory=ReportSpec)
    template: str | None = None  # text of the team's template, from the base branch
    compare_url: str = ""  # page of the change: full comparison
    log_url: str = ""  # full log; "" = the job's page
    seconds_left: float | None = None  # while it runs, from earlier runs
    earlier_run: str = ""  # already trained: "job #401 on main"
    earlier_url: str = ""
    reason: str = ""  # why it was cancelled, superseded or refused
    notes: tuple[str, ...] = ()  # staleness of the baseline, trust, anything that a reader must know
    seed: int | None = None
    outside: Outside | None = None  # what the project's own tracker says of the commit
    change: int | None = None  # number of a change that this server itself keeps: a terminal can comment on it
    is_change: bool = True  # False: a commit that nobody proposed, so there is nothing to merge
    is_deployable: bool = True  # False: no `deploy:` block, or work that nobody proposed
    decided_by: str = ""  # a run with other values: "job #5, pass", whose the required status is
    names_project: bool = False  # several projects in the repository: commands carry --project


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The rendered answer to a command."""

    marker: str
    headline: str
    body: str  # Markdown, marker first, within the length budget
    passed: bool
