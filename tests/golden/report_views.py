"""One view for each state that a person may find the comment in, as close to a real job as can be."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

from headway.gates.model import Check, CheckState, Comparison, Interval, Outcome, Verdict
from headway.projects.model import Goal, MetricSpec, ReportSpec, Severity
from headway.reports.model import (
    CrashView,
    Curve,
    MetricRow,
    ReportState,
    ReportView,
    RunRow,
    TaskView,
    WhatChanged,
)
from headway.serving.model import Release, ReleaseState, StageRecord

HOST = "https://headway.example"

METRICS = (
    MetricSpec(name="val_auc", primary=True, compute="roc_auc"),
    MetricSpec(name="val_logloss", goal=Goal.MINIMIZE),
    MetricSpec(name="latency_p95_ms", goal=Goal.MINIMIZE),
)

ROWS = (
    MetricRow(name="val_logloss", candidate=0.401, baseline=0.412),
    MetricRow(name="val_auc", candidate=0.874, baseline=0.862, noise=0.002, reruns=3),
    MetricRow(name="latency_p95_ms", candidate=24.0, baseline=21.0),
    MetricRow(name="train_rows", candidate=248_301.0, baseline=248_301.0),
)


def check(name: str, metric: str, state: CheckState = CheckState.PASSED, **more: object) -> Check:
    values: dict[str, object] = {"severity": Severity.FAIL, "limit": "≥ 0.85"} | more
    candidate, baseline = values.get("candidate"), values.get("baseline")
    if isinstance(candidate, float) and isinstance(baseline, float):
        values.setdefault("change", candidate - baseline)
    return Check(id=name, metric=metric, state=state, **values)  # type: ignore[arg-type]  # fields of the record


GOOD = (
    check("val_auc>=0.85", "val_auc", candidate=0.874, baseline=0.862),
    check(
        "val_auc_regression",
        "val_auc",
        limit="no more than 0.002 worse",
        candidate=0.874,
        baseline=0.862,
        interval=Interval(effect=0.012, low=0.0081, high=0.0162, confidence=0.95, comparison=Comparison.BETTER),
    ),
    check("latency_p95_ms<=40", "latency_p95_ms", limit="≤ 40", candidate=24.0, baseline=21.0, severity=Severity.WARN),
    check(
        "val_auc/plan:plan=free",
        "val_auc",
        slice="plan=free",
        limit="no more than 0.01 worse",
        candidate=0.815,
        baseline=0.811,
        rows=4_120,
    ),
    check(
        "val_auc/plan:plan=team",
        "val_auc",
        slice="plan=team",
        limit="no more than 0.01 worse",
        candidate=0.891,
        baseline=0.880,
        rows=2_004,
    ),
    check(
        "val_auc/plan:plan=trial",
        "val_auc",
        CheckState.CANNOT_TELL,
        slice="plan=trial",
        limit="no more than 0.01 worse",
        rows=88,
        judged=False,
        message="88 rows are too few to judge (min_rows: 500)",
    ),
)

STEPS = tuple(float(step) for step in range(50, 501, 50))
CURVE = Curve(
    metric="val_auc",
    steps=STEPS,
    values=(0.742, 0.801, 0.822, 0.838, 0.849, 0.857, 0.863, 0.869, 0.872, 0.874),
    baseline_steps=STEPS,
    baseline_values=(0.731, 0.795, 0.812, 0.829, 0.839, 0.848, 0.853, 0.858, 0.861, 0.862),
)

CHANGED = WhatChanged(
    files=("train.py", "features.py"),
    params={"lr": ("0.05", "0.1")},
    packages={"scikit-learn": ("1.7.1", "1.7.2")},
)

TASKS = (
    TaskView(name="prepare", state="reused", why="nothing that it reads has changed", expected_seconds=41.0),
    TaskView(name="train", state="succeeded", needs=("prepare",), seconds=312.0, why="train.py has changed"),
    TaskView(name="evaluate", state="succeeded", needs=("train",), seconds=19.0, why="its input has changed"),
)

RUNS = (
    RunRow(
        number=412,
        url=f"{HOST}/jobs/412",
        commit="9f3c2ab1",
        state="passed",
        headline="✅ pass",
        metrics={"val_auc": 0.874, "val_logloss": 0.401},
        params={"lr": "0.1", "depth": "6"},
    ),
    RunRow(
        number=411,
        url=f"{HOST}/jobs/411",
        commit="9f3c2ab1",
        state="failed",
        headline="❌ val_auc>=0.85",
        metrics={"val_auc": 0.849, "val_logloss": 0.433},
        params={"lr": "0.4", "depth": "6"},
    ),
    RunRow(
        number=409,
        url=f"{HOST}/jobs/409",
        commit="77ac01ef",
        state="failed",
        headline="❌ regression",
        metrics={"val_auc": 0.858},
        is_this_commit=False,
    ),
    RunRow(
        number=405,
        url=f"{HOST}/jobs/405",
        commit="1b90fd23",
        state="crashed",
        headline="💥 crashed",
        is_this_commit=False,
    ),
)

BASE = ReportView(
    project="churn",
    state=ReportState.PASSED,
    number=412,
    url=f"{HOST}/jobs/412",
    commit="9f3c2ab1d5e0c7f2a4b68d3091e7c5f4a2b1d0e9",
    actor="maria",
    command="/train lr=0.1",
    seconds=372.0,
    cost=0.38,
    isolation="L2 (bubblewrap, seccomp)",
    metrics=METRICS,
    baseline_label="production (v7)",
    baseline_url=f"{HOST}/models/churn/7",
    rows=ROWS,
    verdict=Verdict(outcome=Outcome.PASS, checks=GOOD, notes=("too few rows to judge: plan=trial",)),
    tasks=TASKS,
    curves=(CURVE,),
    changed=CHANGED,
    runs=RUNS,
    params={"lr": "0.1", "max_depth": "6"},
    next_step="On merge: registers as churn; `/deploy` starts its release: canary 10 % → 100 %, 1 approval needed",
    updated_at=datetime(2026, 11, 21, 14, 2, tzinfo=UTC),
    spec=ReportSpec(columns=("val_logloss",)),
    compare_url=f"{HOST}/changes/128",
    seed=7,
)

_BAD_SLICE = check(
    "val_auc/country:country=BR",
    "val_auc",
    CheckState.FAILED,
    slice="country=BR",
    limit="no more than 0.01 worse",
    candidate=0.810,
    baseline=0.841,
    rows=1_204,
    message="worse by 0.031, accepted: 0.01",
)
_DRIFT = check(
    "data_drift",
    "data_drift",
    CheckState.MISSING,
    severity=Severity.WARN,
    limit="",
    message="the check data_drift is not there yet: set severity: warn or take the rule out",
)
_UNSURE = check(
    "val_auc/country:country=PT",
    "val_auc",
    CheckState.CANNOT_TELL,
    slice="country=PT",
    limit="not worse",
    candidate=0.822,
    baseline=0.829,
    rows=640,
    interval=Interval(effect=-0.007, low=-0.019, high=0.006, confidence=0.95, comparison=Comparison.CANNOT_TELL),
    message="worse by 0.007, not surely beyond the limit "
    "(95 % interval of the loss: -0.006 to 0.019, limit 0); more rows would tell",
)

_CRASH = CrashView(
    task="train",
    exit_code=1,
    reason="ModuleNotFoundError: No module named 'lightgbm'",
    attempt=1,
    attempts=1,
    seconds=3.2,
    tail=(
        "Traceback (most recent call last):",
        '  File "train.py", line 4, in <module>',
        "    import lightgbm as lgb",
        "\x1b[31mModuleNotFoundError\x1b[0m: No module named 'lightgbm'",
    ),
    hint="train.py imports lightgbm, but uv.lock in this change does not list it. "
    "Run uv add lightgbm, commit both files, push.",
)

_AT = datetime(2026, 11, 21, 15, 11, tzinfo=UTC)
RELEASE = Release(
    id="rel_1",
    project="churn",
    repo_id="repo_1",
    environment="production",
    model="churn",
    version=8,
    previous=7,
    command_id="cmd_1",
    change=128,
    commit=BASE.commit,
    requested_by="maria",
    approved_by=("dan",),
    state=ReleaseState.PROMOTED,
    reason="",
    step=2,
    stages=(
        StageRecord(
            stage="staging", weight=0, since=_AT.replace(minute=2), requests=12, error_rate=0.0, result="passed"
        ),
        StageRecord(
            stage="canary",
            weight=10,
            since=_AT,
            requests=1_204,
            error_rate=0.0002,
            latency_p95_ms=25.1,
            result="passed",
        ),
        StageRecord(
            stage="canary",
            weight=50,
            since=_AT.replace(minute=41),
            requests=7_733,
            error_rate=0.0003,
            latency_p95_ms=24.2,
            result="passed",
        ),
        StageRecord(
            stage="full",
            weight=100,
            since=_AT.replace(hour=16, minute=41),
            requests=15_120,
            error_rate=0.0002,
            latency_p95_ms=24.0,
            result="passed",
        ),
    ),
    test_output="request 1: expected 0, got 0 (confidence 0.91, 12 ms)\n"
    "request 2: expected 1, got 1 (confidence 0.77, 9 ms)",
    version_no=9,
    created_at=_AT.replace(hour=14),
    finished_at=_AT.replace(hour=16, minute=45),
)


def _view(**changes: object) -> ReportView:
    return dataclasses.replace(BASE, **changes)  # type: ignore[arg-type]  # fields of the record


def _release(**changes: object) -> Release:
    return dataclasses.replace(RELEASE, **changes)  # type: ignore[arg-type]  # fields of the record


_UNJUDGED: dict[str, object] = {"verdict": None, "rows": (), "curves": (), "changed": None, "runs": ()}

_RUNNING_TASKS = (
    TaskView(name="prepare", state="succeeded", seconds=41.0, why="its code has changed"),
    TaskView(name="train", state="running", needs=("prepare",), seconds=190.0, why="its input has changed"),
    TaskView(name="evaluate", state="pending", needs=("train",)),
)

_PLANNED_TASKS = (
    TaskView(name="prepare", state="reused", why="nothing that it reads has changed"),
    TaskView(
        name="train",
        state="pending",
        needs=("prepare",),
        why="parameter lr has changed",
        expected_seconds=310.0,
        expected_cost=0.36,
    ),
    TaskView(name="evaluate", state="pending", needs=("train",), why="its input changes", expected_seconds=20.0),
)

VIEWS: dict[str, ReportView] = {
    "planned": _view(state=ReportState.PLANNED, tasks=_PLANNED_TASKS, **_UNJUDGED),
    "queued": _view(state=ReportState.QUEUED, tasks=_PLANNED_TASKS, queue_position=3, **_UNJUDGED),
    "running": _view(
        state=ReportState.RUNNING,
        tasks=_RUNNING_TASKS,
        seconds=231.0,
        cost=None,
        seconds_left=240.0,
        **_UNJUDGED
        | {
            "rows": (MetricRow(name="val_auc", candidate=0.861, baseline=0.862),),
            "curves": (dataclasses.replace(CURVE, steps=STEPS[:6], values=CURVE.values[:6]),),
        },
    ),
    "passed": BASE,
    "passed_first": _view(
        baseline_label="",
        baseline_url="",
        rows=tuple(dataclasses.replace(row, baseline=None, noise=None) for row in ROWS),
        verdict=Verdict(
            outcome=Outcome.PASS,
            checks=(
                check("val_auc>=0.85", "val_auc", candidate=0.874),
                check(
                    "val_auc_regression",
                    "val_auc",
                    limit="no more than 0.002 worse",
                    candidate=0.874,
                    message="no baseline yet: this run becomes it",
                ),
            ),
        ),
        curves=(dataclasses.replace(CURVE, baseline_steps=(), baseline_values=()),),
        changed=None,
        runs=RUNS[:1],
    ),
    "passed_again": _view(
        already_trained=True, earlier_run="job #401 on main", earlier_url=f"{HOST}/jobs/401", runs=()
    ),
    "failed": _view(
        state=ReportState.FAILED,
        number=415,
        url=f"{HOST}/jobs/415",
        commit="c04d1e7aa5e0c7f2a4b68d3091e7c5f4a2b1d0e9",
        verdict=Verdict(outcome=Outcome.FAIL, checks=(*GOOD, _BAD_SLICE, _DRIFT)),
        notes=("the baseline is 3 commits behind the default branch",),
    ),
    "cannot_tell": _view(
        state=ReportState.FAILED,
        verdict=Verdict(outcome=Outcome.CANNOT_TELL, checks=(*GOOD, _UNSURE)),
        runs=(),
    ),
    "overridden": _view(
        verdict=Verdict(
            outcome=Outcome.WARN,
            checks=(
                *GOOD,
                dataclasses.replace(
                    _BAD_SLICE,
                    state=CheckState.OVERRIDDEN,
                    overridden_by="dan",
                    override_reason="the market closes in March, see the decision of 12 November",
                ),
            ),
        ),
        runs=(),
    ),
    "crashed": _view(
        state=ReportState.CRASHED,
        number=416,
        url=f"{HOST}/jobs/416",
        log_url=f"{HOST}/jobs/416/log",
        commit="e1f77b0bb5e0c7f2a4b68d3091e7c5f4a2b1d0e9",
        crash=_CRASH,
        tasks=(
            TASKS[0],
            dataclasses.replace(TASKS[1], state="failed", seconds=3.2),
            TaskView(name="evaluate", state="skipped"),
        ),
        **_UNJUDGED | {"runs": RUNS[2:]},
    ),
    "cancelled": _view(
        state=ReportState.CANCELLED,
        reason="/stop from maria",
        tasks=(TASKS[0], dataclasses.replace(TASKS[1], state="cancelled", seconds=80.0)),
        **_UNJUDGED,
    ),
    "superseded": _view(
        state=ReportState.SUPERSEDED, superseded_by="job #413 of commit 77ac01e", tasks=(), **_UNJUDGED
    ),
    "waiting": _view(
        state=ReportState.DEPLOYED,
        release=_release(state=ReleaseState.WAITING, stages=RELEASE.stages[:1], approved_by=(), finished_at=None),
        release_url=f"{HOST}/deployments",
    ),
    "deployed": _view(state=ReportState.DEPLOYED, release=RELEASE, release_url=f"{HOST}/deployments"),
    "release_failed": _view(
        state=ReportState.DEPLOYED,
        release=_release(
            state=ReleaseState.FAILED,
            reason="the model does not load: No module named 'lightgbm'",
            stages=(
                dataclasses.replace(RELEASE.stages[0], requests=0, error_rate=None, result="the model does not load"),
            ),
            test_output="",
        ),
        release_url=f"{HOST}/deployments",
    ),
    "rolled_back": _view(
        state=ReportState.ROLLED_BACK,
        release=_release(
            state=ReleaseState.ROLLED_BACK,
            reason="error rate 3.1 % at 10 % traffic (limit 1 %)",
            stages=(
                RELEASE.stages[0],
                dataclasses.replace(RELEASE.stages[1], error_rate=0.031, result="error rate 3.1 % is above 1 %"),
            ),
            finished_at=_AT.replace(minute=52),
        ),
        release_url=f"{HOST}/deployments",
    ),
    "templated": _view(
        state=ReportState.FAILED,
        verdict=Verdict(outcome=Outcome.FAIL, checks=(*GOOD, _BAD_SLICE)),
        template="Model card of **{{project}}** at {{ commit }}\n\n{{metrics_table}}\n\n"
        "See our [guide](https://wiki.example/gates).\n\n{{curve}}\n\n{{runs_table}}\n\n{{next_step}}\n",
    ),
}
