"""An attempt has ended: its run is completed, its token dies, its outputs are gathered."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headway.app import App
from headway.auth.tokens import TokenStore
from headway.blobs.content import store_tree
from headway.clock import to_millis
from headway.engines.base import AttemptSpec
from headway.engines.delivered import ORDERED, OUTPUTS, REFUSED, SOURCE, forget_order
from headway.errors import HeadwayError, NotFound, Refused, UsageError
from headway.flow.prepare import forget_secrets, read_spec, why_not
from headway.jobs import advance
from headway.jobs.model import Attempt, TaskState
from headway.jobs.results import ResultStore
from headway.jobs.store import JobStore
from headway.planning.model import OutputFile, Plan, TaskResult
from headway.tracking.limits import check_metric_name
from headway.tracking.model import Metric, RunStatus
from headway.tracking.store import RunStore

METRICS_FILE = "metrics.json"
METRICS_CAP = 1 << 20
PROBLEM_TAG = "headway.problem"  # what was wrong with what a run left; the report says it
_LONGEST_NAME = 250
_SHOWN = 5
_OWN_METRICS = "system/"


def close_attempt(app: App, attempt: Attempt, *, is_good: bool) -> None:
    """Complete the attempt's run and end its token; safe to repeat."""
    try:
        spec = read_spec(attempt.directory)
    except OSError:  # somebody removed the folder: what is recorded must end all the same
        spec = None
    if spec is not None:
        forget_secrets(spec)
        forget_order(Path(spec.directory))
    logged = Logged() if spec is None else _logged(spec)
    now = app.clock.now()
    with app.database.write() as tx:
        for token_id in TokenStore(tx).revoke_attempt(attempt.id, at=now):
            app.authenticator.forget(token_id)
        # Nobody may ask for it any more, and it is as large as the commit.
        (Path(attempt.directory) / SOURCE).unlink(missing_ok=True)
        run_id = JobStore(tx).task(attempt.task_id).run_id
        runs = RunStore(tx, actor="headway", clock=app.clock)
        known = runs.find(run_id) if run_id else None
        # The code may have thrown its own run away: nobody writes to it any more.
        if known is None or known.info.stage != "active":
            return
        stamp = to_millis(now)
        missing = [Metric(name, value, stamp) for name, value in logged.metrics.items() if name not in known.metrics]
        if missing:
            runs.log_metrics(known.info.run_id, missing)
        if logged.problem:
            runs.set_tags(known.info.run_id, {PROBLEM_TAG: logged.problem})
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
    try:
        outputs = _outputs(app, plan, task.name, read_spec(attempt.directory))
    except (HeadwayError, OSError) as error:  # a folder that is gone, a full disk: it must end, not be tried for ever
        with app.database.write() as tx:
            advance.fail(tx, JobStore(tx).task(task_id), why_not(error), app.clock.now())
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


def own_folder(spec: AttemptSpec) -> Path:
    """Return the folder in which the code stood; of an attempt that ran elsewhere, what was brought of it.

    Raises:
        Refused: the code has put a link in its place, by which we would read whatever the link names.
    """
    folder, top = Path(spec.cwd), Path(spec.directory)
    if (top / ORDERED).exists():
        return top / OUTPUTS
    for each in (folder, *folder.parents):
        if each == top:
            return folder
        if each.is_symlink():
            break
    raise Refused(
        "the project's folder was replaced by a link: nothing is taken from it",
        hint="write outputs into the folder in which the step starts",
    )


def _logged(spec: AttemptSpec) -> Logged:
    try:
        return read_metrics(own_folder(spec) / METRICS_FILE)
    except Refused as refusal:
        return Logged(problem=refusal.message)


def _outputs(app: App, plan: Plan, name: str, spec: AttemptSpec) -> tuple[OutputFile, ...]:
    wanted = next(planned.spec.outputs for planned in plan.tasks if planned.spec.name == name)
    folder = own_folder(spec)
    refused = Path(spec.directory) / REFUSED
    if refused.exists():
        raise UsageError(refused.read_text(encoding="utf-8", errors="replace"))
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """What code without MLflow left behind, and what is wrong with it."""

    metrics: dict[str, float] = field(default_factory=dict)
    problem: str = ""


def read_metrics(path: Path) -> Logged:
    """Read a flat JSON object of numbers, NaN included; absent is fine, and nothing raises."""
    try:
        if path.is_symlink() or not path.is_file():
            return Logged(problem=f"{path.name} is no plain file" if path.exists() or path.is_symlink() else "")
        if path.stat().st_size > METRICS_CAP:
            return Logged(problem=f"{path.name} is larger than {METRICS_CAP >> 20} MB and was not read")
        # The standard library's reader takes the NaN that its writer writes; msgspec refuses it.
        read: Any = json.loads(path.read_bytes())
    except OSError as error:
        return Logged(problem=f"{path.name} cannot be read: {error.strerror}")
    except (ValueError, RecursionError) as error:
        return Logged(problem=f"{path.name} is no JSON: {str(error)[:120] or type(error).__name__}")
    if not isinstance(read, dict):
        return Logged(problem=f'{path.name} is no JSON object; write {{"NAME": NUMBER}}')
    return _numbers(read, path.name)


def _numbers(read: dict[str, Any], name: str) -> Logged:
    found: dict[str, float] = {}
    refused: list[str] = []
    for key, value in read.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and _is_name(key):
            with contextlib.suppress(OverflowError):
                found[key] = float(value)
                continue
        # Whatever stands here is kept and shown: a half character would be refused by the database.
        refused.append("".join(each if each.isprintable() else "?" for each in key[:40]))
    more = f" and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
    problem = f"{name}: {', '.join(refused[:_SHOWN])}{more} no number" if refused else ""
    return Logged(metrics=found, problem=problem)


def _is_name(key: str) -> bool:
    """Whether a metric may be called so: a name that the tracking store refuses would keep its job open for ever."""
    if not 0 < len(key) <= _LONGEST_NAME:
        return False
    try:
        check_metric_name(key, METRICS_FILE)
    except UsageError:
        return False
    return True
