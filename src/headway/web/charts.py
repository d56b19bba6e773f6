"""Curves for pages: as many points as pixels can show, with the lowest and the highest of each stretch kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection
from starlette.responses import Response

from headway.api.answers import json_response
from headway.db import schema
from headway.errors import NotFound
from headway.flow.model import JobResult
from headway.flow.results import JobResults
from headway.jobs.model import Job
from headway.jobs.store import JobStore
from headway.tracking.model import Metric, Run
from headway.tracking.store import RunStore
from headway.web.visit import Visit

BUCKETS = 600
MOST_CHARTS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line of a chart; a bucket keeps its mean, its lowest and its highest value, so that no spike is lost."""

    label: str
    x: tuple[float, ...]
    y: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    total: int  # points that were logged


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One metric of one or more runs."""

    metric: str
    axis: str  # step | seconds
    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Charts:
    """All charts of a page, and whether more may come."""

    charts: tuple[Chart, ...]
    left_out: int
    is_live: bool


def bucketed(points: Sequence[tuple[float, float]], most: int = BUCKETS) -> list[tuple[float, float, float, float]]:
    """Return (x, mean, low, high) of at most `most` equal stretches; NaN and infinity are left out."""
    kept = [(x, y) for x, y in points if math.isfinite(y) and math.isfinite(x)]
    if len(kept) <= most:
        return [(x, y, y, y) for x, y in kept]
    found = []
    for index in range(most):
        part = kept[index * len(kept) // most : (index + 1) * len(kept) // most]
        values = [y for _, y in part]
        found.append((part[-1][0], sum(values) / len(values), min(values), max(values)))
    return found


def _series(label: str, history: list[Metric], axis: str) -> Series:
    start = history[0].timestamp
    points = [(float(p.step) if axis == "step" else (p.timestamp - start) / 1000, p.value) for p in history]
    points.sort(key=lambda point: point[0])
    rows = bucketed(points)
    return Series(
        label=label,
        x=tuple(row[0] for row in rows),
        y=tuple(row[1] for row in rows),
        low=tuple(row[2] for row in rows),
        high=tuple(row[3] for row in rows),
        total=len(history),
    )


def chart(store: RunStore, metric: str, runs: Sequence[tuple[str, str]]) -> Chart | None:
    """Return one metric over (label, run id); None when no run has more than one point of it."""
    histories = [(label, store.history(run_id, metric)) for label, run_id in runs]
    histories = [(label, points) for label, points in histories if points]
    if not any(len(points) > 1 for _, points in histories):
        return None
    axis = "step" if any(len({point.step for point in points}) > 1 for _, points in histories) else "seconds"
    return Chart(metric=metric, axis=axis, series=tuple(_series(label, points, axis) for label, points in histories))


def of_job(visit: Visit) -> Response:
    """Return the curves of a job's tasks beside those of its baseline, or of the job named by `with`."""
    app = visit.app
    with app.database.read() as tx:
        store = JobStore(tx)
        job = store.get(str(visit.path["number"]))
        named = visit.number("with", 0, most=10**9)
        other = store.get(str(named)) if named else baseline_of(tx, JobResults(tx).get(job.id))
        found, left_out = _of_tasks(tx, job, other, is_system="system" in visit.query)
    answer = Charts(charts=tuple(found), left_out=left_out, is_live=job.settled_at is None)
    return json_response(answer)


def _of_tasks(tx: Connection, job: Job, other: Job | None, *, is_system: bool) -> tuple[list[Chart], int]:
    store = RunStore(tx)
    others = {task.name: task.run_id for task in JobStore(tx).tasks(other.id)} if other else {}
    found: list[Chart] = []
    left_out = 0
    for task in JobStore(tx).tasks(job.id):
        run = store.find(task.run_id) if task.run_id else None
        if run is None:
            continue
        pairs = [(f"#{job.number}", run.info.run_id)]
        compared = others.get(task.name)
        if other is not None and compared and compared != run.info.run_id and store.find(compared):
            pairs.append((f"#{other.number}", compared))
        for name in sorted(run.metrics):
            if name.startswith("system/") != is_system:
                continue
            if len(found) >= MOST_CHARTS:
                left_out += 1
                continue
            made = chart(store, name, pairs)
            if made is not None:
                found.append(made)
    return found, left_out


def baseline_of(tx: Connection, result: JobResult | None) -> Job | None:
    """Return the job that a result was compared with; None where there was none."""
    if result is None or not result.baseline_job:
        return None
    found = JobStore(tx).find(schema.job.c.id == result.baseline_job, limit=1)
    return found[0] if found else None


def of_run(visit: Visit) -> Response:
    """Return the curves of one run, beside another's where `with` names one."""
    with visit.app.database.read() as tx:
        store = RunStore(tx)
        run = _run(store, visit.path["run"])
        pairs = [(run.info.name or run.info.run_id[:8], run.info.run_id)]
        if visit.query.get("with"):
            other = _run(store, visit.query["with"])
            pairs.append((other.info.name or other.info.run_id[:8], other.info.run_id))
        names = sorted(run.metrics, key=lambda name: (name.startswith("system/"), name))
        found = [made for name in names[:MOST_CHARTS] if (made := chart(store, name, pairs))]
    answer = Charts(
        charts=tuple(found), left_out=max(0, len(names) - MOST_CHARTS), is_live=not run.info.status.is_final
    )
    return json_response(answer)


def _run(store: RunStore, run_id: str) -> Run:
    found = store.find(run_id)
    if found is None:
        raise NotFound(f"there is no run {run_id}", hint="/runs lists them")
    return found
