"""/plan, /train and /retry: a command becomes plans, and plans become jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from headway.app import App
from headway.commands.model import Command, Origin
from headway.commands.store import CommandStore
from headway.data.digest import Tracked, pin_data
from headway.data.hash_cache import HashCache
from headway.data.model import DataPin
from headway.db import schema
from headway.environments.find import find_environment
from headway.environments.model import Tier
from headway.environments.packages import locked_packages
from headway.errors import HeadwayError, NotFound, UsageError
from headway.flow.cluster_rules import check_cluster, pin_in_volumes
from headway.flow.grants import check_granted
from headway.flow.named import named_job
from headway.flow.plan_text import plan_text
from headway.flow.projects import ProjectAt, chosen, default_tip, project_files, projects_at, tip_of
from headway.flow.queue_content import check_content, is_queue, queue_tier, target_of
from headway.flow.repos import forge_of, get_repo, git_at
from headway.forges.model import Change
from headway.jobs import advance
from headway.jobs.model import Job, JobState
from headway.jobs.results import ResultStore
from headway.jobs.store import JobStore
from headway.pipelines.git_tree import read_tree
from headway.pipelines.model import GitTree, TaskSpec
from headway.pipelines.params import as_text, merge_params
from headway.pipelines.steps import Side, make_tasks
from headway.planning.model import Plan
from headway.planning.plan import History, make_plan
from headway.projects.model import ParamValue, ProjectSpec

DEFAULT_PYTHON = "3.11"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan and what to say beside it."""

    plan: Plan
    notes: tuple[str, ...]


def plan(app: App, command: Command) -> str:
    """Answer `/plan`: nothing is started."""
    return "\n\n".join(plan_text(each.plan, each.notes) for each in plans_for(app, command))


def train(app: App, command: Command) -> str:
    """Queue a job for every project that the command is for; the report speaks from then on."""
    if command.dry_run:
        return plan(app, command)
    return _queue_all(app, command, rerun=False)


def _queue_all(app: App, command: Command, *, rerun: bool) -> str:
    change = _change(app, command)
    _check_is_head(command, change)
    if change is not None and change.from_fork:
        check_granted(app, change)
    if is_queue(command.branch):
        check_content(app, command)
    lines = []
    for planned in plans_for(app, command, rerun=rerun):
        running = _same_unfinished(app, command, planned.plan)
        if running is not None:
            lines.append(f"job #{running.number} is doing exactly this ({running.state})")
            continue
        _queue(app, command, planned.plan, change)
    return "\n".join(lines)


def retry(app: App, command: Command) -> str:
    """Queue the plan of an earlier job again: what succeeded is reused, unless all of it did.

    A job that succeeded whole is run anew: its numbers beside the first ones show how far they scatter.
    """
    with app.database.read() as tx:
        store = JobStore(tx)
        if command.arguments:
            earlier = named_job(store, command)
        else:
            where = [
                schema.job.c.repo_id == command.repo_id,
                schema.job.c.change == command.change,
                # After a crash the job that this very command has queued may be there already.
                schema.job.c.command_id != command.id,
            ]
            if command.project:
                where.append(schema.job.c.project == command.project)
            found = store.find(*where, limit=1)
            if not found:
                raise NotFound("there is no job to try again", hint="/train starts one")
            earlier = found[0]
        before = store.plan(earlier.plan_id)
    if not earlier.state.is_final:
        raise UsageError(f"job #{earlier.number} is {earlier.state}", hint="/stop it first")
    given = _given(before)
    again = Command(
        id=command.id,
        verb=command.verb,
        # What another system gave by the branch's own triggers stays that when somebody repeats it.
        origin=Origin.DISPATCH if given and not before.replaced else command.origin,
        repo_id=command.repo_id,
        actor=command.actor,
        at=command.at,
        project=earlier.project,
        change=earlier.change,
        head_sha=earlier.commit,
        branch=earlier.branch,
        params=given,
    )
    return _queue_all(app, again, rerun=earlier.state is JobState.SUCCEEDED)


def _given(plan: Plan) -> dict[str, str]:
    """Return the values that a command gave for a job, also where that command only repeated another."""
    own = plan.project.params
    return {name: as_text(value) for name, value in plan.params.items() if value != own[name]}


def plans_for(app: App, command: Command, *, rerun: bool = False) -> list[Planned]:
    """Return the plans of a command: one for each project that it is for."""
    change = _change(app, command)
    head = command.head_sha or ""
    base = change.base_sha if change is not None else _rules_commit(app, command, tier_of(app, command, change))
    projects = projects_at(app, command.repo_id, head=head, base=base)
    roots = tuple(project.spec.root for project in projects)
    picked = chosen(projects, command.project)
    return [_plan_one(app, command, each, change=change, other_roots=roots, rerun=rerun) for each in picked]


def _rules_commit(app: App, command: Command, tier: Tier) -> str:
    """Return the commit whose rules hold without a change: what is not on the default branch yet obeys that branch."""
    head = command.head_sha or ""
    if tier is Tier.MAIN:
        return head
    if is_queue(command.branch):
        return tip_of(app, command.repo_id, target_of(command.branch)) or head
    return default_tip(app, command.repo_id) or head


def _plan_one(
    app: App, command: Command, at: ProjectAt, *, change: Change | None, other_roots: tuple[str, ...], rerun: bool
) -> Planned:
    git = git_at(app, command.repo_id, at.head_tree.commit)
    tier = tier_of(app, command, change)
    named_by_base = None if at.base is None else frozenset(each.uri for each in at.base.data)
    check_cluster(app, at.spec, tier)
    # A fork must not make us read whatever path of this machine it names.
    allowed = (named_by_base or frozenset()) if tier is Tier.FORK else None
    head = _side(app, git.directory, at.spec, at.head_tree, allowed=allowed)
    base = None if at.base is None else _side(app, git.directory, at.base, at.base_tree)
    scope = f"{command.repo_id}/{at.spec.name}"
    params = merge_params(at.spec.params, command.params, known=at.spec.params)
    # Saying what the file says is no other value: a step that is taken from the base keeps the base's then.
    others = {name: value for name, value in params.items() if value != at.spec.params[name]}
    tasks = make_tasks(head, base=base, overrides=others, scope=scope, other_roots=other_roots)
    names = tuple(task.name for task in tasks) if rerun else ()
    made = make_plan(
        at.spec,
        tasks,
        repo_id=command.repo_id,
        commit=at.head_tree.commit,
        base_commit=at.base_tree.commit,
        tree=at.head_tree.tree,
        tier=tier,
        params=params,
        history=_history(app, command, at, tasks, tier),
        rerun=names,
        replaced=_replaced(command, at.spec.params, others),
    )
    # What a change may alter in its own rules is a question of changes: a script or an unproposed branch has none.
    notes = at.notes if at.base is not None or change is not None else ()
    return Planned(plan=replace(made, rerun=names, notes=notes), notes=notes)


def _replaced(command: Command, own: Mapping[str, ParamValue], others: Iterable[str]) -> dict[str, ParamValue]:
    """Return what the file has where the command gave another value; nothing where the branch lets others give it.

    A dispatch is named under the default branch's own `triggers:` and trains that branch: there is no merge to judge.
    """
    is_let = command.origin is Origin.DISPATCH and command.change is None
    return {} if is_let else {name: own[name] for name in others}


def _history(app: App, command: Command, at: ProjectAt, tasks: tuple[TaskSpec, ...], tier: Tier) -> History:
    names = [task.name for task in tasks]
    with app.database.read() as tx:
        store = ResultStore(tx)
        results = store.find_for(tasks, tier)
        earlier = store.earlier(command.repo_id, at.spec.name, names, branch=command.branch)
        numbers = store.job_numbers({result.job_id for result in results.values()})
    git_dir = git_at(app, command.repo_id, at.head_tree.commit).directory
    trees = {at.head_tree.commit: at.head_tree, at.base_tree.commit: at.base_tree}
    packages: dict[str, Mapping[str, str]] = {}
    for spec in (*tasks, *(each.spec for each in earlier.values())):
        try:
            if spec.commit not in trees:
                trees[spec.commit] = read_tree(git_dir, spec.commit)
            if spec.env.digest not in packages:
                files = project_files(git_dir, trees[spec.commit], spec.root)
                packages[spec.env.digest] = locked_packages(spec.env, files)
        except HeadwayError:
            # A rebased-away commit: the plan still says what differs, without naming files.
            continue
    return History(results=results, job_numbers=numbers, earlier=earlier, trees=trees, packages=packages)


def _side(app: App, git_dir: Path, spec: ProjectSpec, tree: GitTree, *, allowed: frozenset[str] | None = None) -> Side:
    files = project_files(git_dir, tree, spec.root)
    env = find_environment(files, spec.env, default_python=DEFAULT_PYTHON)
    return Side(project=spec, tree=tree, env=env, data=_pins(app, spec, tree, allowed))


def _pins(app: App, spec: ProjectSpec, tree: GitTree, allowed: frozenset[str] | None) -> Mapping[str, DataPin]:
    prefix = f"{spec.root}/" if spec.root else ""
    tracked = {
        path.removeprefix(prefix): Tracked(blob=entry.blob, size=entry.size)
        for path, entry in tree.entries.items()
        if path.startswith(prefix)
    }
    cache = HashCache(app.data / "hashes")
    is_elsewhere = app.is_elsewhere(spec.engine.type)
    return {
        each.name: (pin_in_volumes(spec, each) if is_elsewhere else None)
        or pin_data(each, tracked, cache=cache, allowed=allowed)
        for each in spec.data
    }


def tier_of(app: App, command: Command, change: Change | None) -> Tier:
    """Return the trust in the code of a command: main's own, a member's change, or a fork's."""
    if change is not None:
        return Tier.FORK if change.from_fork else Tier.CHANGE
    if is_queue(command.branch):
        return queue_tier(app, command)
    git = git_at(app, command.repo_id, command.head_sha or "")
    main = default_tip(app, command.repo_id)
    is_main = main is not None and git.is_ancestor(command.head_sha or "", main)
    return Tier.MAIN if is_main else Tier.CHANGE


def _change(app: App, command: Command) -> Change | None:
    if command.change is None:
        return None
    return forge_of(app, command.repo_id).get_change(command.repo_id, command.change)


def _check_is_head(command: Command, change: Change | None) -> None:
    if change is not None and command.head_sha != change.head_sha:
        raise UsageError(
            f"the change has moved from {(command.head_sha or '')[:7]} to {change.head_sha[:7]} since this was asked",
            cause="a command is for the commit that its author saw",
            hint=f"/{command.verb} @{change.head_sha[:16]}",
        )


def _same_unfinished(app: App, command: Command, wanted: Plan) -> Job | None:
    where = [
        schema.job.c.repo_id == command.repo_id,
        schema.job.c.project == wanted.project.name,
        schema.job.c.plan_id == wanted.id,
        schema.job.c.state.in_((JobState.QUEUED.value, JobState.RUNNING.value)),
        schema.job.c.desired == "run",
        schema.job.c.command_id != command.id,
    ]
    if command.change is not None:
        where.append(schema.job.c.change == command.change)
    with app.database.read() as tx:
        return next(iter(JobStore(tx).find(*where, limit=1)), None)


def _queue(app: App, command: Command, wanted: Plan, change: Change | None) -> str:
    now = app.clock.now()
    branch = change.head_ref if change is not None else command.branch or _branch(app, command)
    new = advance.NewJob(
        plan=wanted,
        command_id=command.id,
        change=command.change,
        branch=branch,
        actor=command.actor,
    )
    with app.database.write() as tx:
        JobStore(tx).save_plan(wanted, now)
        job_id = advance.create(tx, new, now)
        CommandStore(tx).attach_job(command.id, job_id)
    return job_id


def _branch(app: App, command: Command) -> str:
    return get_repo(app, command.repo_id).default_branch if command.origin is not Origin.CLI else "detached"
