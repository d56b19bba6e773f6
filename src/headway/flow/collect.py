"""An attempt has ended: its run is completed, its token dies, its outputs are gathered."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import Any

import msgspec

from headway.app import App
from headway.auth.tokens import TokenStore
from headway.blobs.content import store_tree
from headway.clock import to_millis
from headway.engines.base import AttemptSpec
from headway.errors import HeadwayError, NotFound
from headway.flow.prepare import read_spec
from headway.jobs import advance
from headway.jobs.model import Attempt, TaskState
from headway.jobs.results import ResultStore
from headway.jobs.store import JobStore
from headway.logs import logger
from headway.planning.model import OutputFile, Plan, TaskResult
from headway.tracking.model import Metric, RunStatus
from headway.tracking.store import RunStore

METRICS_FILE = "metrics.json"
METRICS_CAP = 1 << 20
_OWN_METRICS = "system/"


def close_attempt(app: App, attempt: Attempt, *, is_good: bool) -> None:
    """Complete the attempt's run and end its token; safe to repeat."""
    try:
        spec = read_spec(attempt.directory)
    except OSError:  # somebody removed the folder: what is recorded must end all the same
        spec = None
    logged = {} if spec is None else _read_metrics(Path(spec.cwd) / METRICS_FILE)
    now = app.clock.now()
    with app.database.write() as tx:
        for token_id in TokenStore(tx).revoke_attempt(attempt.id, at=now):
            app.authenticator.forget(token_id)
        run_id = JobStore(tx).task(attempt.task_id).run_id
        runs = RunStore(tx, actor="headway", clock=app.clock)
        known = runs.find(run_id) if run_id else None
        # The code may have thrown its own run away: nobody writes to it any more.
        if known is None or known.info.stage != "active":
            return
        stamp = to_millis(now)
        missing = [Metric(name, value, stamp) for name, value in logged.items() if name not in known.metrics]
        if missing:
            runs.log_metrics(known.info.run_id, missing)
        if not known.info.status.is_final:
            # The code did not end it: it logged without `with`, or not at all, or its process died.
            runs.finish(known.info.run_id, RunStatus.FINISHED if is_good else RunStatus.FAILED)


def collect(app: App, task_id: str) -> None:
    """Gather the outputs of a task whose code ended well, keep its result, and finish it."""
    with app.database.read() as tx:
        store = JobStore(tx)
        task = store.task(task_id)
        if task.state is not TaskState.COLLECTING:
            return
        job = store.get(task.job_id)
        plan = store.plan(job.plan_id)
        attempt = store.attempts([task_id])[-1]
        known = RunStore(tx).get(task.run_id) if task.run_id else None
    spec = read_spec(attempt.directory)
    try:
        outputs = _outputs(app, plan, task.name, spec)
    except HeadwayError as error:
        with app.database.write() as tx:
            reason = "; ".join(part for part in (error.message, error.cause, error.hint) if part)
            advance.fail(tx, JobStore(tx).task(task_id), reason, app.clock.now())
        return
    now = app.clock.now()
    began = attempt.started_at or task.started_at or now
    found = {} if known is None else known.metrics
    metrics = {name: point.value for name, point in found.items() if not name.startswith(_OWN_METRICS)}
    result = TaskResult(
        key=task.exact_key or "",
        tier=plan.tier,
        project=job.project,
        task=task.name,
        job_id=job.id,
        run_id=task.run_id or "",
        outputs=outputs,
        metrics={name: value for name, value in metrics.items() if math.isfinite(value)},
        seconds=(now - began).total_seconds(),
        commit=job.commit,
        finished_at=now,
        branch=job.branch,
    )
    with app.database.write() as tx:
        if advance.finish(tx, JobStore(tx).task(task_id), outputs, now):
            ResultStore(tx).save(result)


def _outputs(app: App, plan: Plan, name: str, spec: AttemptSpec) -> tuple[OutputFile, ...]:
    wanted = next(planned.spec.outputs for planned in plan.tasks if planned.spec.name == name)
    folder = Path(spec.cwd)
    for path in wanted:
        found = folder / path
        if not found.exists() or found.is_symlink():
            raise NotFound(
                f"step {name} ended well but did not write its output {path}",
                cause=f"headway.yaml lists it under outputs of {name}",
                hint=f"write it, or take {path} out of the outputs",
            )
    stored = store_tree(app.contents, folder, wanted)
    return tuple(
        OutputFile(path=each.path, digest=each.digest, size=each.size, executable=each.executable) for each in stored
    )


def _read_metrics(path: Path) -> dict[str, float]:
    """Read the metrics that code without MLflow left: a flat JSON object of numbers, or {} with a log line."""
    try:
        if path.is_symlink() or path.stat().st_size > METRICS_CAP:
            return {}
        read: Any = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        logger().warning("metrics.json cannot be read", error=str(error))
        return {}
    found: dict[str, float] = {}
    if isinstance(read, dict):
        for name, value in read.items():
            with contextlib.suppress(TypeError, ValueError):
                if not isinstance(value, bool) and len(name) <= 250:
                    found[name] = float(value)
    return found
