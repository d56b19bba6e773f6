"""/deploy, /approve and /rollback: requests for a release, recorded; the release loop carries them out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection

from headway.app import App
from headway.commands.model import Command
from headway.commands.store import CommandStore
from headway.db import schema
from headway.environments.model import Tier
from headway.errors import Conflict, NotFound, Refused, UsageError
from headway.flow import environment_gate
from headway.flow.grants import grant
from headway.flow.model import JobResult
from headway.flow.named import named_job
from headway.flow.projects import chosen, default_tip, projects_at, resolve
from headway.flow.registering import register_model
from headway.flow.release import candidate_of, rules_for
from headway.flow.repos import forge_of, get_repo
from headway.flow.results import JobResults
from headway.flow.who_releases import check_release
from headway.forges.model import ChangeState
from headway.ids import new_id
from headway.jobs.model import Job, JobState
from headway.jobs.store import JobStore
from headway.planning.model import Plan
from headway.projects.model import DeploySpec
from headway.registry.digest import check_digest
from headway.registry.store import RegistryStore
from headway.serving.model import Release, ReleaseState
from headway.serving.release import STAGING, deployment_name, refuse, roll_back, stop_rollout, with_previous
from headway.serving.release import approve as add_approval
from headway.serving.store import DeploymentStore, ReleaseStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployable:
    """A job whose model may be released."""

    job: Job
    plan: Plan
    result: JobResult
    spec: DeploySpec  # as the default branch has it now
    rules_commit: str


def deploy(app: App, command: Command) -> str:
    """Register the model of a job and request its release."""
    _check_still_head(app, command)
    found = _deployable(app, command)
    environment = command.environment or found.spec.environment
    if environment not in ("staging", found.spec.environment):
        raise NotFound(
            f"project {found.job.project} has no environment {environment!r}",
            cause=f"headway.yaml on the base branch names {found.spec.environment}, and staging is always there",
        )
    check_release(app, command, found.spec, environment)
    spec = rules_for(found.spec, environment)
    needed = environment_gate.needs(environment_gate.check_asked(app, found.job, environment), spec) or "no approval"
    weights = " → ".join(f"{each.weight} %" for each in spec.steps)
    if command.dry_run:
        return (
            f"would release the model of job #{found.job.number} to {environment} by {weights}, "
            f"with {needed}, through target {spec.target}"
        )
    app.target(spec.target)
    _check_owner(app, found.job.project, environment, command.repo_id)
    version = register_model(app, found.job, found.plan, found.result, actor=command.actor)
    check_digest(app.artifacts, version.source, version.digest)
    release = Release(
        id=new_id(),
        project=found.job.project,
        repo_id=found.job.repo_id,
        environment=environment,
        model=version.model,
        version=version.number,
        previous=None,
        command_id=command.id,
        change=found.job.change if command.change is None else command.change,
        commit=found.job.commit,
        requested_by=command.actor,
        approved_by=(),
        state=ReleaseState.PENDING,
        reason="",
        step=0,
        stages=(),
        test_output="",
        version_no=1,
        created_at=app.clock.now(),
        job_id=found.job.id,
        spec=spec,
        rules_commit=found.rules_commit,
    )
    what = f"{version.model} v{version.number} (job #{found.job.number})"
    answer = f"releasing {what} to {environment}: {weights}; needs {needed}"
    with app.database.write() as tx:
        _end_older(tx, release, command.actor)
        # The forge's record of it is made of this first state, and can say later only how it went.
        ReleaseStore(tx).add(with_previous(tx, release), actor=command.actor)
        CommandStore(tx).answer(command.id, answer)
    return answer


def _check_still_head(app: App, command: Command) -> None:
    """Return when a command that names no run is for where its change stands now."""
    if command.change is None or command.arguments:
        return  # a run's number names its commit and its model, whatever was pushed since
    change = forge_of(app, command.repo_id).get_change(command.repo_id, command.change)
    if change.state is ChangeState.OPEN and change.head_sha != command.head_sha:
        raise Refused(
            f"the change has moved from {(command.head_sha or '')[:7]} to {change.head_sha[:7]} since this was asked",
            cause="a release is of the commit that its author saw",
            hint=f"/{command.verb} @{change.head_sha}, or name a run: /{command.verb} RUN",
            reason="HW-CHANGE-MOVED",
        )


def _end_older(tx: Connection, newer: Release, actor: str) -> None:
    """End what still waits for the same environment: an approval given late must not put an old version back."""
    for older in ReleaseStore(tx).unfinished():
        place = (newer.repo_id, newer.project, newer.environment)
        is_same = (older.repo_id, older.project, older.environment) == place
        is_waiting = older.state in (ReleaseState.PENDING, ReleaseState.STAGING, ReleaseState.WAITING)
        if is_same and is_waiting and older.command_id != newer.command_id:
            reason = f"superseded by the release of {newer.model} v{newer.version}"
            refuse(tx, older, actor=actor, reason=reason, now=newer.created_at)


def _check_owner(app: App, project: str, environment: str, repo_id: str) -> None:
    """Deployments go by their names: two projects must not move each other's, nor what waits to be one.

    Names meet in staging, too, which every environment of a project shares; and `a-b` in `c` is called as `a` in `b-c`.
    """
    names = _names(project, environment)
    with app.database.read() as tx:
        kept = [found for name in names if (found := DeploymentStore(tx).get(name)) is not None]
        waiting = [each for each in ReleaseStore(tx).unfinished() if names & _names(each.project, each.environment)]
    owners = {(each.repo_id, each.deployment.project) for each in kept}
    owners |= {(each.repo_id, each.project) for each in waiting}
    if owners - {(repo_id, project)}:
        whose = "another repository" if any(each != repo_id for each, _ in owners) else "another project"
        raise Conflict(
            f"{deployment_name(project, environment)} belongs to {whose}",
            cause="a deployment is called after its project and its environment, and two come to the same name",
            hint="give this project or its environment another name in headway.yaml",
        )


def _names(project: str, environment: str) -> set[str]:
    return {deployment_name(project, environment), deployment_name(project, STAGING)}


def _deployable(app: App, command: Command) -> Deployable:
    """Return the job that is named, the change's last good one, or the last good one of the default branch."""
    with app.database.read() as tx:
        store, results = JobStore(tx), JobResults(tx)
        jobs = [named_job(store, command)] if command.arguments else store.find(*_scope(command), limit=50)
        found = results.of_jobs(job.id for job in jobs)
        for job in jobs:
            result = found.get(job.id)
            if result is None or not (command.arguments or _is_good(job, result)):
                continue
            if command.arguments or command.change is not None or results.is_baseline(job.id):
                return _checked(app, job, store.plan(job.plan_id), result)
    where = "the default branch"
    if command.change is not None:
        where = f"change {command.change} at {(command.head_sha or '')[:7]}"
    raise NotFound(
        f"no good job of {where} to deploy", cause="none has succeeded with a verdict that allows it", hint="/train"
    )


def _scope(command: Command) -> list[ColumnElement[bool]]:
    where = [schema.job.c.repo_id == command.repo_id, schema.job.c.state == JobState.SUCCEEDED.value]
    if command.change is not None:
        where += [schema.job.c.change == command.change, schema.job.c.commit == command.head_sha]
    if command.project is not None:
        where.append(schema.job.c.project == command.project)
    return where


def _is_good(job: Job, result: JobResult) -> bool:
    return job.state is JobState.SUCCEEDED and result.verdict is not None and result.verdict.allows_merge


_COMMIT_VALUES = "commit these values, and /train that commit"


def _checked(app: App, job: Job, plan: Plan, result: JobResult) -> Deployable:
    if not _is_good(job, result):
        withheld = result.verdict.withheld if result.verdict else ""
        outcome = result.verdict.outcome.words if result.verdict else "none"
        raise Refused(
            f"job #{job.number} is not good enough to be released",
            cause=withheld or f"it {job.state.value}, verdict {outcome}",
            hint=_COMMIT_VALUES if withheld else "mend what failed, or accept it: /override CHECK REASON",
            reason="HW-NOT-GOOD-ENOUGH",
        )
    if Tier(job.tier) is Tier.FORK:
        raise Refused(
            f"job #{job.number} ran code from a fork: its model is never released",
            hint="merge the change, then /train on the default branch",
            reason="HW-FORK-MODEL",
        )
    if job.change is None and Tier(job.tier) is not Tier.MAIN:
        raise Refused(
            f"job #{job.number} ran work that is on no change and not on the default branch",
            cause=f"its commit {job.commit[:7]} ({job.branch}) was proposed to nobody",
            hint="commit it on a branch, then: headway change open BRANCH",
            reason="HW-UNPROPOSED",
        )
    repo = get_repo(app, job.repo_id)
    main = resolve(app, repo, repo.default_branch)
    project = next(
        (each for each in projects_at(app, repo.id, head=main, base=main) if each.spec.name == job.project), None
    )
    if project is None or project.spec.deploy is None:
        raise NotFound(
            f"project {job.project} says nothing about deployment on {repo.default_branch}",
            hint=f"add deploy: {{environment: production}} to headway.yaml on {repo.default_branch}",
        )
    return Deployable(job=job, plan=plan, result=result, spec=project.spec.deploy, rules_commit=main)


def approve(app: App, command: Command) -> str:
    """Add an approval to the release that waits, or let the commit of a fork run."""
    change = None
    if command.change is not None and not command.arguments:
        change = forge_of(app, command.repo_id).get_change(command.repo_id, command.change)
        if change.from_fork and change.state is ChangeState.OPEN:
            return grant(app, change, command)
        _check_still_head(app, command)
    with app.database.read() as tx:
        waiting = [
            release
            for release in ReleaseStore(tx).unfinished()
            if release.repo_id == command.repo_id and _fits(_job_number(tx, release), release, command)
        ]
    waiting = [each for each in waiting if each.state in (ReleaseState.WAITING, ReleaseState.STAGING)]
    if not waiting:
        raise NotFound("no release waits for approval", hint="/deploy requests one")
    release = waiting[-1]
    if change is not None and change.state is ChangeState.OPEN and release.commit != change.head_sha:
        raise Refused(
            f"the release that waits is of commit {release.commit[:7]}, and the change is at {change.head_sha[:7]}",
            cause="an approval must not reach a commit that its author does not see any more",
            hint=f"/deploy the new commit, or name the old one's job: /approve {waiting_job(app, release)}",
            reason="HW-CHANGE-MOVED",
        )
    rules = _spec_now(app, release)
    _check_rules(release, rules)
    check_release(app, command, rules, release.environment)
    environment_gate.check_approver(app, release, command.actor)
    candidate, version = candidate_of(app, release)
    # What is approved is a digest: its files must be those, also when it has waited for days.
    check_digest(app.artifacts, version.source, version.digest)
    reviewers = {name.lstrip("@").casefold() for name in candidate.spec.reviewers}
    if reviewers and command.actor.casefold() not in reviewers:
        raise Refused(
            f"@{command.actor} is no reviewer of {release.environment}",
            cause=f"headway.yaml on the base branch names {', '.join(sorted(reviewers))}",
            reason="HW-NOT-A-REVIEWER",
        )
    is_own = command.actor.casefold() == release.requested_by.casefold()
    is_local = get_repo(app, release.repo_id).forge == "local"
    if is_own and not is_local:
        raise Refused("nobody approves their own release", hint="ask another maintainer", reason="HW-OWN-RELEASE")
    own = " (their own release: this repository has one local user, which is allowed)" if is_own else ""
    answer = (
        f"{release.model} v{release.version} (commit {release.commit[:12]}, digest {candidate.route.digest[:12]}) "
        f"is approved for {release.environment} by @{command.actor}{own}"
    )
    with app.database.write() as tx:
        add_approval(tx, release, actor=command.actor, now=app.clock.now())
        CommandStore(tx).answer(command.id, answer)
    return answer


def _check_rules(release: Release, now: DeploySpec) -> None:
    """Return when a release still waits by the rules that the default branch has (rule 17 of the forge door)."""
    if release.spec is not None and rules_for(now, release.environment) != release.spec:
        raise Refused(
            f"the rules for {release.environment} have changed since this release was asked for",
            cause="an approval is given under the rules that its author can read on the default branch",
            hint=f"/deploy again, by the rules of now; it replaces {release.model} v{release.version}",
            reason="HW-RULES-CHANGED",
        )


def _spec_now(app: App, release: Release) -> DeploySpec:
    """Return what the default branch says now of the release's project; its strictest where it says nothing more."""
    repo = get_repo(app, release.repo_id)
    main = resolve(app, repo, repo.default_branch)
    specs = {each.spec.name: each.spec.deploy for each in projects_at(app, repo.id, head=main, base=main)}
    return specs.get(release.project) or DeploySpec()


def waiting_job(app: App, release: Release) -> int | None:
    """Return the number of the job whose model a release waits to serve."""
    with app.database.read() as tx:
        return _job_number(tx, release)


def _job_number(tx: Connection, release: Release) -> int | None:
    """Return the number of the job whose model a release serves."""
    return JobStore(tx).get(release.job_id).number if release.job_id else None


def _fits(job: int | None, release: Release, command: Command) -> bool:
    if command.arguments:
        return str(job) == command.arguments[0].lstrip("#")
    if command.project is not None and release.project != command.project:
        return False
    if command.environment is not None and release.environment != command.environment:
        return False
    return command.change is None or release.change == command.change


def rollback(app: App, command: Command) -> str:
    """Take back the rollout that is under way, or go back to the version that served before."""
    project, environment = _where(app, command)
    name = deployment_name(project, environment)
    now = app.clock.now()
    if command.dry_run:
        return f"would take {name} back to the version before"
    _check_owner(app, project, environment, command.repo_id)
    with app.database.read() as tx:
        earlier = ReleaseStore(tx).find(
            schema.release.c.repo_id == command.repo_id,
            schema.release.c.project == project,
            schema.release.c.environment == environment,
        )
    moving = next((each for each in earlier if each.state in (ReleaseState.LOADING, ReleaseState.CANARY)), None)
    reason = f"rolled back by {command.actor}"
    if moving is not None:
        candidate, _ = candidate_of(app, moving)
        with app.database.write() as tx:
            release = stop_rollout(tx, moving, candidate, actor=command.actor, reason=reason, now=now)
            answer = f"{release.model} v{release.version} is taken back from {environment}"
            CommandStore(tx).answer(command.id, answer)
        return answer
    _check_files(app, name, _wanted_version(command))
    fresh = _way_back(command, project, environment, reason=reason, earlier=earlier, now=now)
    with app.database.write() as tx:
        release = roll_back(tx, fresh, actor=command.actor, now=now, to_version=_wanted_version(command))
        answer = f"{name} goes back to v{release.previous}"
        CommandStore(tx).answer(command.id, answer)
    return answer


def _check_files(app: App, name: str, version: int | None) -> None:
    """Return when the files of the version that is gone back to are those that were registered (rule 30).

    Raises:
        Refused: somebody changed them: in haste, too, only what was judged is served.
    """
    with app.database.read() as tx:
        kept = DeploymentStore(tx).get(name)
        goal = kept.rollback_route(version) if kept is not None else None
        found = RegistryStore(tx, app.clock).get_version(goal.model, goal.version) if goal is not None else None
    if found is not None:
        check_digest(app.artifacts, found.source, found.digest)


def _wanted_version(command: Command) -> int | None:
    wanted = command.params.get("version", "")
    if wanted and not re.fullmatch(r"v?[0-9]{1,9}", wanted):
        raise UsageError(f"version={wanted!r} is not a version", hint="/rollback version=3")
    return int(wanted.lstrip("v")) if wanted else None


def _way_back(
    command: Command, project: str, environment: str, *, reason: str, earlier: list[Release], now: datetime
) -> Release:
    """A release that takes something away, by the rules of the last one that brought something."""
    last = next((each for each in earlier if each.spec is not None), None)
    return Release(
        id=new_id(),
        project=project,
        repo_id=command.repo_id,
        environment=environment,
        model="",
        version=0,
        previous=None,
        command_id=command.id,
        change=command.change,
        commit=command.head_sha or "",
        requested_by=command.actor,
        approved_by=(),
        state=ReleaseState.ROLLING_BACK,
        reason=reason,
        step=0,
        stages=(),
        test_output="",
        version_no=1,
        created_at=now,
        job_id=last.job_id if last else "",
        spec=last.spec if last else None,
        rules_commit=last.rules_commit if last else "",
    )


def _where(app: App, command: Command) -> tuple[str, str]:
    repo = get_repo(app, command.repo_id)
    main = default_tip(app, repo.id) or command.head_sha or ""
    projects = chosen(projects_at(app, repo.id, head=main, base=main), command.project)
    deployed = [project for project in projects if project.spec.deploy is not None]
    if len(deployed) != 1:
        names = ", ".join(project.spec.name for project in deployed) or "none"
        raise NotFound("which project?", cause=f"projects with a deployment: {names}", hint="/rollback --project NAME")
    spec = deployed[0].spec
    rules = spec.deploy or DeploySpec()
    environment = command.arguments[0] if command.arguments else rules.environment
    check_release(app, command, rules, environment)
    return spec.name, environment
