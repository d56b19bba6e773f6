"""What a finished job produced, gathered once: the Result of the story."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from headway.gates.model import Verdict
from headway.planning.model import OutputFile
from headway.projects.model import ParamValue
from headway.reports.model import CrashView, Curve, WhatChanged
from headway.tracking.outside import Outside


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """The model that a job made, before it is registered."""

    key: str  # folder in the artifact store
    run_id: str
    model_id: str = ""  # MLflow's logged model


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """A snapshot of everything that was judged; nothing later changes it."""

    job_id: str
    number: int
    repo_id: str
    project: str
    branch: str
    commit: str
    tree: str
    tier: int
    at: datetime
    params: dict[str, ParamValue] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    metrics_digest: str = ""
    runs: dict[str, str] = field(default_factory=dict)  # task -> run id
    predictions: OutputFile | None = None
    holdout: OutputFile | None = None
    packages: dict[str, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)  # named data sets -> digest
    inputs: dict[str, str] = field(default_factory=dict)  # what earlier steps gave to later ones -> digest
    env_digest: str = ""
    env_path: str = ""
    model: ModelSource | None = None
    verdict: Verdict | None = None  # None: the job did not succeed
    baseline_label: str = ""
    baseline_job: str | None = None
    baseline_metrics: dict[str, float] = field(default_factory=dict)
    noise: dict[str, float] = field(default_factory=dict)
    curves: tuple[Curve, ...] = ()
    changed: WhatChanged | None = None
    crash: CrashView | None = None
    seconds: float = 0.0
    cost: float | None = None
    already_trained: bool = False
    isolation: str = ""
    notes: tuple[str, ...] = ()
    outside: Outside | None = None  # what the project's own tracker said of the commit
