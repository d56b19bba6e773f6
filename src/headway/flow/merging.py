"""What follows from the life of a change: opening, pushing, merging; and pushes to the default branch."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from headway.app import App
from headway.commands.model import Origin, Verb, happening
from headway.db import schema
from headway.environments.model import Tier
from headway.errors import UsageError
from headway.flow.caused import Aim, Cause, give
from headway.flow.model import JobResult
from headway.flow.outbox import want
from headway.flow.projects import projects_at, readable_projects, resolve, tip_of
from headway.flow.registering import has_model, register_model
from headway.flow.repos import get_repo, git_at
from headway.flow.results import JobResults
from headway.flow.watching import watch_branch, watch_change
from headway.forges.model import BranchPushed, Change, ChangeMoved, Repo, StatusState, WantedStatus
from headway.jobs import advance
from headway.jobs.model import Job, JobState
from headway.jobs.results import ResultStore
from headway.jobs.store import JobStore
from headway.planning.model import Plan
from headway.projects.model import ProjectSpec
from headway.serving.release import void_approvals
from headway.serving.store import ReleaseStore

SYSTEM = "headway"
# What stands for a job in the `external_id` of a check that none stands behind yet.
OF_PROJECT = "project:"


def context(project: str) -> str:
    """Return the name of a project's required status."""
    return f"headway/{project}"


def after_opening(app: App, event: ChangeMoved) -> bool:
    """Say at the new head what is required, and end the work on an older one."""
    change = event.change
    now = app.clock.now()
    try:
        projects = projects_at(app, change.repo_id, head=change.head_sha, base=change.base_sha)
    except UsageError as error:
        return _tell_unreadable(app, event, error)
    with app.database.write() as tx:
        store = JobStore(tx)
        older = store.find(
            schema.job.c.repo_id == change.repo_id,
            schema.job.c.change == change.number,
            schema.job.c.commit != change.head_sha,
            schema.job.c.state.in_(("queued", "running")),
        )
        cancelling = {project.spec.name for project in projects if project.spec.engine.cancel_in_progress}
        for job in older:
            if job.project in cancelling:
                reason = f"superseded by {change.head_sha[:7]}"
                advance.cancel(tx, job, reason, SYSTEM, now, superseded_by=change.head_sha)
        for project in projects:
            judged = JobResults(tx).at_commit(change.repo_id, project.spec.name, change.head_sha)
            if judged is None and project.is_touched:
                want(tx, _not_run(change.repo_id, change.head_sha, project.spec), now)
            elif judged is None and project.base is not None and project.base.triggers.paths:
                want(tx, _nothing_to_do(change.repo_id, change.head_sha, project.spec), now)
        watch_change(tx, change, projects)
        _void_approvals(tx, change, now)
    return True


def _void_approvals(tx: Connection, change: Change, now: datetime) -> None:
    """Take back what was approved of an older commit: an approval is for the commit that was looked at (rule 17)."""
    for release in ReleaseStore(tx).unfinished():
        if (release.repo_id, release.change) == (change.repo_id, change.number) and release.commit != change.head_sha:
            void_approvals(tx, release, actor=SYSTEM, now=now)


def _tell_unreadable(app: App, event: ChangeMoved, error: UsageError) -> bool:
    """A head whose headway.yaml cannot be read is told of at once, for every project of the base."""
    change = event.change
    projects = readable_projects(app, change.repo_id, change.base_sha)
    with app.database.write() as tx:
        for project in projects:
            wanted = replace(
                _not_run(change.repo_id, change.head_sha, project.spec),
                state=StatusState.ERROR,
                title=error.message.splitlines()[0][:140],
                summary=error.message,
            )
            want(tx, wanted, app.clock.now())
    return bool(projects)


def _not_run(repo_id: str, sha: str, project: ProjectSpec) -> WantedStatus:
    return WantedStatus(
        repo_id=repo_id,
        sha=sha,
        context=context(project.name),
        state=StatusState.PENDING,
        title=f"not run at this commit: comment {project.triggers.comment}",
        external_id=f"{OF_PROJECT}{project.name}",
    )


def _nothing_to_do(repo_id: str, sha: str, project: ProjectSpec) -> WantedStatus:
    """Let a change pass that the base branch's own `paths` say nothing is to be judged of; without them it waits.

    A forge takes neutral for passed (rule 27): only what is written down as a policy may say so.
    """
    return replace(
        _not_run(repo_id, sha, project),
        state=StatusState.SUCCESS,
        is_neutral=True,
        title="nothing to judge: no file of triggers.pull_request.paths has changed",
        summary=f"headway.yaml on the base branch says which files {project.name} depends on; none is in this change.",
    )


def after_merge(app: App, event: ChangeMoved) -> bool:
    """Promote what the change has shown: its results become the baseline, its model a version."""
    change = event.change
    if change.from_fork:
        # What a fork's code made is never promoted (design.md, 7): the merged commit is trained as main's own.
        return False
    branch = get_repo(app, change.repo_id).default_branch
    if change.base_ref != branch:
        return False  # another branch is nobody's baseline
    with app.database.read() as tx:
        good = _good_jobs(tx, change)
    for found in good.values():
        _promote(app, event, found, branch=branch)
    return bool(good)


def _good_jobs(tx: Connection, change: Change) -> dict[str, list[tuple[Job, JobResult]]]:
    """Return what has passed for a merged change, by project: at its head first, then at its merge queue's commit."""
    table = schema.job.c
    good = (table.repo_id == change.repo_id, table.state == JobState.SUCCEEDED.value, table.tier > Tier.FORK.value)
    store = JobStore(tx)
    jobs = store.find(*good, table.change == change.number, table.commit == change.head_sha)
    if change.merged_sha is not None:
        jobs += store.find(*good, table.change.is_(None), table.commit == change.merged_sha)
    results = JobResults(tx).of_jobs(job.id for job in jobs)
    found: dict[str, list[tuple[Job, JobResult]]] = {}
    for job in jobs:
        result = results.get(job.id)
        if result is not None and result.verdict is not None and result.verdict.allows_merge:
            found.setdefault(job.project, []).append((job, result))
    return found


def _promote(app: App, event: ChangeMoved, found: list[tuple[Job, JobResult]], *, branch: str) -> None:
    """Make the first result that speaks for the branch as it is now its baseline; train where none does."""
    change, now = event.change, app.clock.now()
    # Also of what does not hold any more: its steps may be just what the merged files need.
    with app.database.write() as tx:
        ResultStore(tx).promote(found[0][0].id, Tier.MAIN, actor=event.actor, at=now)
    held = _held(app, event, found)
    if held is None:
        # Another change was merged in between: what is there now is neither's, and has an answer of its own.
        _train_merged(app, event, found[0][0])
        return
    job, result = held
    is_passed_over = _is_passed_over(app, job, result, branch=branch)
    with app.database.write() as tx:
        ResultStore(tx).promote(job.id, Tier.MAIN, actor=event.actor, at=now)
        plan = JobStore(tx).plan(job.plan_id)
        results = JobResults(tx)
        # Told of again, late, it must not push a newer baseline aside.
        if not results.is_baseline(job.id) and not is_passed_over:
            results.make_baseline(result, branch=branch, actor=event.actor, at=now)
    if plan.project.model is not None and has_model(app, job, plan, result):
        register_model(app, replace(job, change=change.number), plan, result, actor=event.actor)
        if plan.project.deploy is not None and plan.project.deploy.on_register:
            _release_by_itself(app, job, event)


def _is_passed_over(app: App, job: Job, result: JobResult, *, branch: str) -> bool:
    """Whether the branch's present files have a baseline already, and these are not they: told in another order."""
    tip = tip_of(app, job.repo_id, branch)
    tree = None if tip is None else git_at(app, job.repo_id, tip).tree_of(tip)
    with app.database.read() as tx:
        newest = JobResults(tx).latest_baseline(job.repo_id, job.project)
    return newest is not None and newest.tree == tree and result.tree != tree


def _held(app: App, event: ChangeMoved, found: list[tuple[Job, JobResult]]) -> tuple[Job, JobResult] | None:
    """Return the result of exactly the merged files (squash and rebase included), else one that still holds."""
    merged = event.change.merged_sha
    tree = None if merged is None else git_at(app, event.change.repo_id, merged).tree_of(merged)
    exact = next((each for each in found if tree in (None, each[1].tree)), None)
    return exact or next((each for each in found if _still_holds(app, each[0])), None)


def _still_holds(app: App, job: Job) -> bool:
    """Whether no other result has become the baseline since this job's was judged, though the branch has moved."""
    with app.database.read() as tx:
        results = JobResults(tx)
        if results.is_baseline(job.id):
            return True
        newest = results.baseline_since(job.repo_id, job.project)
    return newest is None or job.settled_at is None or newest <= job.settled_at


def _train_merged(app: App, event: ChangeMoved, job: Job) -> None:
    """Train what a merge made of two lines of work; where nothing that a step reads differs, that is an answer."""
    change = event.change
    once = happening("push", change.merged_sha, job.project)
    aim = Aim(repo_id=change.repo_id, project=job.project, head_sha=change.merged_sha, branch=change.base_ref)
    give(app, Cause(origin=Origin.PUSH, actor=event.actor, once=once), aim)


def _release_by_itself(app: App, job: Job, event: ChangeMoved) -> None:
    """Registering a version starts its release, where the base branch says so: a command like any other."""
    aim = Aim(
        repo_id=job.repo_id,
        project=job.project,
        head_sha=job.commit,
        change=job.change,
        arguments=(str(job.number),),
    )
    give(app, Cause(origin=Origin.VERSION, actor=event.actor, once=happening("version", job.id)), aim, Verb.DEPLOY)


def after_push(app: App, event: BranchPushed) -> bool:
    """Train by itself where the base branch's triggers say so."""
    repo = get_repo(app, event.repo_id)
    started = False
    if event.branch != repo.default_branch and not _may_trigger(app, repo, event.branch):
        return False
    projects = readable_projects(app, event.repo_id, event.after_sha)
    if event.branch == repo.default_branch:
        watch_branch(app, event, projects)
    for project in projects:
        if event.branch not in project.spec.triggers.push_branches:
            continue
        once = happening("push", event.after_sha, project.spec.name)
        aim = Aim(repo_id=repo.id, project=project.spec.name, head_sha=event.after_sha, branch=event.branch)
        give(app, Cause(origin=Origin.PUSH, actor=event.actor, once=once), aim)
        started = True
    return started


def _may_trigger(app: App, repo: Repo, branch: str) -> bool:
    """Whether the default branch's own file, and not the pushed one, asks for work on this branch."""
    main = resolve(app, repo, repo.default_branch)
    return any(branch in project.spec.triggers.push_branches for project in readable_projects(app, repo.id, main))


def becomes_baseline(tx: Connection, job: Job, plan: Plan, result: JobResult) -> bool:
    """Whether a settled job of the default branch is what later changes are compared with."""
    repo_branch = tx.execute(
        schema.repo.select().with_only_columns(schema.repo.c.default_branch).where(schema.repo.c.id == job.repo_id),
    ).scalar()
    is_main = job.change is None and job.branch == repo_branch and plan.tier is Tier.MAIN
    # On the default branch the commit stands already: a run that failed its gates is no baseline, a first one is.
    return is_main and result.verdict is not None and result.verdict.allows_merge
