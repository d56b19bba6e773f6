"""From the tasks of an ended job to one frozen `JobResult`: metrics, curves, packages, model, evidence files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from headway.app import App
from headway.environments.model import EnvKind, Tier
from headway.environments.packages import locked_packages
from headway.errors import HeadwayError
from headway.flow.collect import PROBLEM_TAG
from headway.flow.model import JobResult, ModelSource
from headway.flow.prepare import build_environment
from headway.flow.repos import git_at
from headway.ids import digest_of
from headway.jobs.model import Attempt, Job, Task, TaskState
from headway.jobs.results import ResultStore
from headway.jobs.store import JobStore
from headway.pipelines.model import TaskSpec
from headway.planning.model import OutputFile, Plan
from headway.registry.folders import key_of
from headway.registry.logged import LoggedModelStore
from headway.reports.model import Curve
from headway.tracking.model import Metric, Run
from headway.tracking.store import RunStore

MAX_POINTS = 60
MAX_CURVES = 6
_SYSTEM = "system/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What the runs of a job say together."""

    metrics: dict[str, float]
    curves: tuple[Curve, ...]
    runs: dict[str, str]
    notes: tuple[str, ...] = ()  # what is wrong with what the runs left behind


def gather(app: App, job: Job, plan: Plan) -> JobResult:
    """Return the result of an ended job, not judged yet; reads only."""
    with app.database.read() as tx:
        store = JobStore(tx)
        tasks = store.tasks(job.id)
        attempts = store.attempts(task.id for task in tasks)
        gathered = _read_runs(tx, tasks, [metric.name for metric in plan.project.metrics])
        model = _model(app, tx, plan, tasks)
        noise = _noise(tx, tasks, Tier(job.tier))
    outputs = {output.path: output for task in tasks for output in task.outputs}
    last = plan.tasks[-1].spec if plan.tasks else None
    env_path, trouble = ("", ()) if last is None else _serving_environment(app, plan, last, needed=model is not None)
    predictions = plan.project.predictions
    return JobResult(
        job_id=job.id,
        number=job.number,
        repo_id=job.repo_id,
        project=job.project,
        branch=job.branch,
        commit=job.commit,
        tree=plan.tree,
        tier=job.tier,
        at=job.finished_at or app.clock.now(),
        params=plan.params,
        metrics=gathered.metrics,
        metrics_digest=digest_of(gathered.metrics),
        runs=gathered.runs,
        predictions=outputs.get(predictions.path) if predictions else None,
        holdout=outputs.get(predictions.holdout_path) if predictions else None,
        packages=_packages(app, job, plan),
        data={name: pin.rpartition("@")[2] for each in plan.tasks for name, pin in each.spec.data.items()},
        inputs=_inputs(plan, outputs),
        env_digest=last.env.digest if last else "",
        env_path=env_path,
        model=model,
        noise=noise,
        curves=gathered.curves,
        seconds=_seconds(job),
        cost=None,
        already_trained=bool(tasks) and all(task.state is TaskState.REUSED for task in tasks),
        isolation=_isolation(attempts),
        notes=(*plan.notes, *gathered.notes, *trouble),
    )


def _serving_environment(app: App, plan: Plan, last: TaskSpec, *, needed: bool) -> tuple[str, tuple[str, ...]]:
    """Return where the model's environment stands on the machines that serve it, and what went wrong with that.

    Where those are not the machines that trained it, it has to be made for them first.
    """
    deploy, engine = plan.project.deploy, plan.project.engine.type
    served = app.builder_for(engine if deploy is None else deploy.target)
    found = served.find(last.env.digest, plan.tier)
    if found is not None:
        return found.path, ()
    if not needed or deploy is None or served is app.builder_for(engine) or last.env.kind is EnvKind.IMAGE:
        return "", ()
    try:
        return build_environment(app, served, plan, last).path, ()
    except HeadwayError as error:
        return "", (f"the environment that serves the model was not made: {error.message}",)


def _inputs(plan: Plan, outputs: Mapping[str, OutputFile]) -> dict[str, str]:
    found: dict[str, str] = {}
    wanted = [path for each in plan.tasks for path in each.spec.inputs]
    for path in dict.fromkeys(wanted):
        below = {name: out.digest for name, out in outputs.items() if name == path or name.startswith(f"{path}/")}
        if below:
            found[path] = below[path] if path in below else digest_of(below)
    return found


def _seconds(job: Job) -> float:
    if job.started_at is None or job.finished_at is None:
        return 0.0
    return (job.finished_at - job.started_at).total_seconds()


def _read_runs(tx: Connection, tasks: list[Task], wanted: list[str]) -> Gathered:
    runs = RunStore(tx)
    metrics: dict[str, float] = {}
    curves: dict[str, Curve] = {}
    ids: dict[str, str] = {}
    notes: list[str] = []
    for task in tasks:
        found = runs.find(task.run_id) if task.run_id else None
        if found is None or task.run_id is None:
            continue
        if found.info.stage != "active":
            notes.append(f"the run of step {task.name} was deleted: nothing that it logged counts")
            continue
        if problem := found.tags.get(PROBLEM_TAG):
            notes.append(f"step {task.name}: {problem}")
        ids[task.name] = task.run_id
        own = {name: point.value for name, point in found.metrics.items() if not name.startswith(_SYSTEM)}
        metrics |= own
        for name in [*(name for name in wanted if name in own), *(name for name in own if name not in wanted)]:
            if len(curves) < MAX_CURVES and (curve := _curve(name, runs.history(task.run_id, name))):
                curves[name] = curve
    return Gathered(metrics=metrics, curves=tuple(curves.values()), runs=ids, notes=tuple(notes))


def _curve(name: str, points: list[Metric]) -> Curve | None:
    finite = [point for point in points if math.isfinite(point.value)]
    if len(finite) < 3:
        return None
    stride = max(1, math.ceil(len(finite) / MAX_POINTS))
    # The last point is what the table shows: it must be on the curve.
    kept = [*finite[:-1:stride], finite[-1]]
    return Curve(
        metric=name,
        steps=tuple(float(point.step) for point in kept),
        values=tuple(point.value for point in kept),
    )


def _model(app: App, tx: Connection, plan: Plan, tasks: list[Task]) -> ModelSource | None:
    if plan.project.model is None:
        return None
    logged = LoggedModelStore(tx, app.clock)
    for task in reversed(tasks):
        if not task.run_id:
            continue
        models = logged.of_run(task.run_id)
        if models:
            newest = max(models, key=lambda each: each.creation_time)
            return ModelSource(key=key_of(newest.artifact_uri) or "", run_id=task.run_id, model_id=newest.id)
        run = RunStore(tx).find(task.run_id)
        key = _logged_folder(app, run) if run else None
        if key is not None:
            return ModelSource(key=key, run_id=task.run_id)
    return None


def _logged_folder(app: App, run: Run) -> str | None:
    """Return the artifact folder that holds an MLmodel, as older clients log it."""
    root = f"{run.info.experiment_id}/{run.info.run_id}/artifacts"
    for child in app.artifacts.list(root):
        if child.is_dir and app.artifacts.stat(f"{child.key}/MLmodel") is not None:
            return child.key
    return None


def _noise(tx: Connection, tasks: list[Task], tier: Tier) -> dict[str, float]:
    found: dict[str, float] = {}
    for task in tasks:
        if task.exact_key:
            found |= {each.metric: each.spread for each in ResultStore(tx).noise(task.exact_key, tier)}
    return found


def _packages(app: App, job: Job, plan: Plan) -> dict[str, str]:
    if not plan.tasks:
        return {}
    spec = plan.tasks[-1].spec
    git = git_at(app, job.repo_id, spec.commit)
    prefix = f"{spec.root}/" if spec.root else ""
    files: Mapping[str, bytes] = {
        path: content for path in spec.env.files if (content := git.read_file(spec.commit, prefix + path)) is not None
    }
    return dict(locked_packages(spec.env, files))


def _isolation(attempts: list[Attempt]) -> str:
    levels = [attempt.isolation for attempt in attempts if attempt.isolation is not None]
    return f"L{min(levels)}" if levels else ""


def model_outputs(plan: Plan, tasks: list[Task]) -> tuple[OutputFile, ...]:
    """Return the files of the model folder that headway.yaml names among the outputs, if it names one."""
    path = plan.project.model.path if plan.project.model else None
    if path is None:
        return ()
    return tuple(output for task in tasks for output in task.outputs if output.path.startswith(f"{path.rstrip('/')}/"))
