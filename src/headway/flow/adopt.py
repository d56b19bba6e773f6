"""A run of another tracker, tagged with a commit that nothing was run for here, becomes that commit's job."""

from __future__ import annotations

from collections.abc import Sequence

from headway.app import App
from headway.commands.model import Command, CommandState, Origin, Verb
from headway.commands.store import CommandStore
from headway.db import schema
from headway.environments.model import Tier
from headway.flow.projects import default_tip, projects_at
from headway.flow.repos import forge_of, git_at
from headway.flow.results import JobResults
from headway.forges.model import ChangeState
from headway.ids import new_id
from headway.jobs import advance
from headway.jobs.store import JobStore
from headway.logs import logger
from headway.planning.model import Plan
from headway.planning.plan import History, make_plan
from headway.tracking.outside import OutsideRun, host_of
from headway.tracking.outside_store import Look

_HERE = ("queued", "running", "succeeded")


def adopt(app: App, look: Look, runs: Sequence[OutsideRun]) -> None:
    """Make a job of the run that counts, unless this commit has one or may have none; safe to repeat."""
    run = next((each for each in runs if each.counts), None)
    if run is None or not look.live or not look.tracking.gates or _has_job(app, look) or not _is_wanted(app, look):
        return
    plan = _plan(app, look)
    if plan is None:
        return
    host, now = host_of(look.tracking.uri), app.clock.now()
    command = Command(
        id=new_id(),
        verb=Verb.TRAIN,
        origin=Origin.TRACKER,
        repo_id=look.repo_id,
        actor=host[:128],
        at=now,
        project=look.project,
        change=look.change,
        head_sha=look.commit,
        branch=look.branch,
        comment_id=f"tracker:{run.run_id}:{look.commit}"[:128],
        state=CommandState.EXECUTED,
    )
    with app.database.write() as tx:
        commands, jobs = CommandStore(tx), JobStore(tx)
        if commands.add(command).id != command.id:
            return  # this run has had its job already
        jobs.save_plan(plan, now)
        new = advance.NewJob(
            plan=plan, command_id=command.id, change=look.change, branch=look.branch, actor=command.actor
        )
        job_id = advance.create(tx, new, now)
        commands.attach_job(command.id, job_id)
        reason = f"trained elsewhere: run {run.name or run.run_id} in {host} is tagged with the commit"
        advance.trained_elsewhere(tx, jobs.get(job_id), reason[:500], now)
    logger().info("a run of another tracker is taken", project=look.project, commit=look.commit, run=run.run_id)


def _has_job(app: App, look: Look) -> bool:
    table = schema.job.c
    with app.database.read() as tx:
        where = (table.repo_id == look.repo_id, table.project == look.project, table.commit == look.commit)
        return bool(JobStore(tx).find(*where, table.state.in_(_HERE), limit=1))


def _is_wanted(app: App, look: Look) -> bool:
    """Whether the commit is still what is worked on: the head of an open change, or news of the default branch."""
    if look.change is not None:
        change = forge_of(app, look.repo_id).get_change(look.repo_id, look.change)
        return change.state is ChangeState.OPEN and change.head_sha == look.commit and not change.from_fork
    git = git_at(app, look.repo_id, look.commit)
    main = default_tip(app, look.repo_id)
    if main is None or not git.is_ancestor(look.commit, main):
        return False
    with app.database.read() as tx:
        baseline = JobResults(tx).latest_baseline(look.repo_id, look.project)
    # An older commit's run that arrives late must not take the baseline's place.
    return baseline is None or look.commit == main or git.is_ancestor(baseline.commit, look.commit)


def _plan(app: App, look: Look) -> Plan | None:
    """Return a plan without steps, under the rules that hold for the commit."""
    base = look.base_sha or look.commit
    found = projects_at(app, look.repo_id, head=look.commit, base=base)
    at = next((each for each in found if each.spec.name == look.project), None)
    if at is None or at.spec.tracking is None:
        return None
    return make_plan(
        at.spec,
        (),
        repo_id=look.repo_id,
        commit=look.commit,
        base_commit=at.base_tree.commit,
        tree=at.head_tree.tree,
        tier=Tier.MAIN if look.change is None else Tier.CHANGE,
        params=at.spec.params,
        history=History(),
    )
