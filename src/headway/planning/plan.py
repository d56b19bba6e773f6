"""Make the plan: for each task run, reuse or decide later, and why, from plain data alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from headway.environments.model import Tier
from headway.ids import digest_of
from headway.pipelines.model import GitTree, TaskSpec
from headway.planning.changes import describe_changes
from headway.planning.estimate import expected_cost, expected_seconds
from headway.planning.keys import exact_key, input_digests, static_key, unhashed_data
from headway.planning.model import Action, Plan, PlannedTask, TaskResult
from headway.projects.model import ParamValue, ProjectSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """The last time that a task of this name succeeded in this project."""

    spec: TaskSpec
    job_number: int
    branch: str
    exact_key: str
    seconds: tuple[float, ...] = ()  # how long it took the last times, newest first


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is known of the past: plain data, looked up by the caller."""

    results: Mapping[str, TaskResult] = field(default_factory=dict)  # exact key -> visible result
    job_numbers: Mapping[str, int] = field(default_factory=dict)  # job id -> number
    earlier: Mapping[str, Earlier] = field(default_factory=dict)  # task -> last success
    trees: Mapping[str, GitTree] = field(default_factory=dict)  # commit -> tree, to name changed files
    packages: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # environment digest -> versions


def make_plan(
    project: ProjectSpec,
    tasks: Sequence[TaskSpec],
    *,
    repo_id: str,
    commit: str,
    base_commit: str,
    tree: str,
    tier: Tier,
    params: Mapping[str, ParamValue],
    history: History,
    rerun: Collection[str] = (),
    replaced: Mapping[str, ParamValue] | None = None,
) -> Plan:
    """Return the plan of a project at a commit; `tasks` stand in an order in which they can run.

    Tasks named in `rerun` run although a result is there: to see how far the numbers scatter.
    """
    results: dict[str, TaskResult] = {}
    planned: list[PlannedTask] = []
    for spec in tasks:
        task = _plan_task(spec, results, history, is_rerun=spec.name in rerun)
        task = _estimated(task, history, project.engine.price_per_hour)
        if task.reuse is not None:
            results[spec.name] = task.reuse
        planned.append(task)
    plan = Plan(
        id="",
        repo_id=repo_id,
        project=project,
        commit=commit,
        base_commit=base_commit,
        tree=tree,
        tier=tier,
        params=dict(params),
        tasks=tuple(planned),
        replaced=dict(replaced or {}),
    )
    return replace(plan, id=_plan_id(plan))


def _plan_task(spec: TaskSpec, results: Mapping[str, TaskResult], history: History, *, is_rerun: bool) -> PlannedTask:
    inputs = input_digests(spec, results)
    key = None if inputs is None else exact_key(spec, inputs)
    task = PlannedTask(spec=spec, static_key=static_key(spec), action=Action.RUN, why="", exact_key=key)
    forced = _forced(spec, is_rerun=is_rerun)
    if forced:
        return replace(task, why=forced)
    if key is None:
        return replace(task, action=Action.DECIDE_LATER, why=_later(spec, results, history))
    found = history.results.get(key)
    if found is not None:
        return replace(task, action=Action.REUSE, why=_trained_before(found, history), reuse=found)
    return replace(task, why=_why_run(spec, key, history))


def _forced(spec: TaskSpec, *, is_rerun: bool) -> str:
    if is_rerun:
        return "asked to run again"
    if not spec.cache:
        return "cache: false"
    unhashed = unhashed_data(spec)
    if unhashed:
        return f"data {', '.join(unhashed)} is not hashed, so a change of it cannot be ruled out"
    if spec.volumes:
        names = ", ".join(each.name for each in spec.volumes)
        return f"what is in the volume {names} is not hashed, so a change of it cannot be ruled out"
    return ""


def _trained_before(found: TaskResult, history: History) -> str:
    number = history.job_numbers.get(found.job_id)
    where = f" in job #{number}" if number is not None else ""
    return f"trained before{where}" + (f" on branch {found.branch}" if found.branch else "")


def _later(spec: TaskSpec, results: Mapping[str, TaskResult], history: History) -> str:
    waits = " and ".join(need for need in spec.needs if need not in results)
    changes = _changes(spec, history)
    return f"inputs of {spec.name} are not known before {waits} has run" + (
        f"; {'; '.join(changes)}" if changes else ""
    )


def _why_run(spec: TaskSpec, key: str, history: History) -> str:
    earlier = history.earlier.get(spec.name)
    if earlier is None:
        return "never run"
    changes = _changes(spec, history)
    if changes:
        return f"{'; '.join(changes)} since job #{earlier.job_number}"
    if key != earlier.exact_key:
        return f"inputs changed since job #{earlier.job_number}: {', '.join(spec.inputs) or 'none are left'}"
    return f"the result of job #{earlier.job_number} is of a lower trust tier, or was removed"


def _changes(spec: TaskSpec, history: History) -> tuple[str, ...]:
    earlier = history.earlier.get(spec.name)
    if earlier is None:
        return ()
    return describe_changes(earlier.spec, spec, trees=history.trees, packages=history.packages)


def _estimated(task: PlannedTask, history: History, price: float | None) -> PlannedTask:
    if task.action is Action.REUSE:
        return replace(task, expected_seconds=0.0, expected_cost=None if price is None else 0.0)
    earlier = history.earlier.get(task.spec.name)
    seconds = expected_seconds(earlier.seconds if earlier else ())
    return replace(task, expected_seconds=seconds, expected_cost=expected_cost(task.spec, seconds, price))


def _plan_id(plan: Plan) -> str:
    # Estimates move with every run; what will happen does not.
    tasks = tuple(replace(task, expected_seconds=None, expected_cost=None) for task in plan.tasks)
    return digest_of(replace(plan, tasks=tasks))
