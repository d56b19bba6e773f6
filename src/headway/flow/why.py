"""From a prediction, a deployment or a version back to run, data, commit, change and approver."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import Connection, select

from headway.app import App
from headway.auth.belongs import Kind, project_of
from headway.auth.model import Principal, Reach, Role
from headway.auth.projects import ProjectStore
from headway.commands.model import Command
from headway.db import schema
from headway.errors import NotFound
from headway.flow.deciding import deciding_job
from headway.flow.present import job_url
from headway.flow.results import JobResults
from headway.jobs.model import Job
from headway.jobs.store import JobStore
from headway.pipelines.params import as_text
from headway.planning.model import Plan
from headway.registry.model import ModelVersion
from headway.registry.store import RegistryStore
from headway.serving.prediction_log import find_prediction
from headway.serving.store import DeploymentStore, ReleaseStore

_VERSION = re.compile(r"(?P<model>[^/@:]+)[/@:]v?(?P<number>[0-9]{1,9})\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One step of the chain."""

    what: str
    value: str
    detail: str = ""


def trace(app: App, subject: str, principal: Principal | None = None) -> list[Link]:
    """Return the chain from the subject to its causes, nearest first, as far as the caller may see it.

    Raises:
        NotFound: nothing of that name is known, with what was tried.
    """
    if found := _prediction(app, subject, principal):
        return found
    matched = _VERSION.match(subject)
    with app.database.read() as tx:
        if _may_see(tx, principal, Kind.DEPLOYMENT, subject) and (found := _deployment(app, tx, subject)):
            return found
        if matched and _may_see(tx, principal, Kind.MODEL, matched["model"]):
            return _version(app, tx, matched["model"], int(matched["number"]))
    raise NotFound(
        f"nothing is known of {subject!r}",
        cause="it is no logged request, no deployment and no model version",
        hint="give the X-Request-Id of an answer, a deployment (flights-production) or a version (flights@3)",
    )


def _may_see(tx: Connection, principal: Principal | None, kind: Kind, name: str) -> bool:
    if principal is None or principal.reach is None:
        return True
    project = project_of(tx, kind, name)
    return project is not None and principal.role_in(project) >= Role.VIEWER


def _prediction(app: App, request_id: str, principal: Principal | None) -> list[Link]:
    for folder in sorted((app.data / "deployments").glob("*")):
        with app.database.read() as tx:
            if not _may_see(tx, principal, Kind.DEPLOYMENT, folder.name):
                continue
        found = find_prediction(folder, request_id)
        if found is not None:
            with app.database.read() as tx:
                return [
                    Link(what="request", value=request_id, detail=f"{found.status} in {found.latency_ms:.1f} ms"),
                    Link(what="answered at", value=found.at.isoformat()),
                    Link(what="deployment", value=folder.name),
                    *_version(app, tx, found.model, found.version),
                ]
    return []


def _deployment(app: App, tx: Connection, name: str) -> list[Link]:
    kept = DeploymentStore(tx).get(name)
    if kept is None:
        return []
    links = [Link(what="deployment", value=name, detail=f"revision {kept.deployment.revision}")]
    for route in sorted(kept.deployment.routes, key=lambda each: -each.weight):
        links.append(
            Link(what="route", value=f"{route.model} v{route.version}", detail=f"{route.weight} % of requests")
        )
        links += _version(app, tx, route.model, route.version)
    return links


def _version(app: App, tx: Connection, model: str, number: int) -> list[Link]:
    version = RegistryStore(tx, app.clock).get_version(model, number)
    lineage = version.lineage
    links = [
        Link(what="model version", value=f"{model} v{number}", detail=f"digest {version.digest[:16]}"),
        Link(what="environment", value=version.env_digest[:16] or "unknown"),
        Link(what="run", value=version.run_id or "unknown"),
    ]
    links += [Link(what="data", value=name, detail=digest) for name, digest in lineage.data.items()]
    if lineage.job_id:
        job = JobStore(tx).get(lineage.job_id)
        links.append(Link(what="job", value=f"#{job.number}", detail=job_url(app, job.number)))
        links += _params(JobStore(tx).plan(job.plan_id))
    links.append(Link(what="commit", value=lineage.commit or "unknown", detail=f"tree {lineage.tree[:16]}"))
    if lineage.change is not None:
        title = tx.execute(
            select(schema.local_change.c.title).where(
                schema.local_change.c.repo_id == lineage.repo_id, schema.local_change.c.number == lineage.change
            ),
        ).scalar()
        links.append(Link(what="change", value=f"#{lineage.change}", detail=title or ""))
    links.append(Link(what="trained by", value=lineage.actor or "unknown"))
    links.append(Link(what="approved by", value=_approvers(tx, version) or "nobody"))
    return links


def _params(plan: Plan) -> list[Link]:
    """Say which values a job ran with, and which of them are not those of its commit's file."""
    return [
        Link(
            what="param",
            value=f"{name}={as_text(value)}",
            detail=f"headway.yaml of this commit says {as_text(plan.replaced[name])}" if name in plan.replaced else "",
        )
        for name, value in plan.params.items()
    ]


def _approvers(tx: Connection, version: ModelVersion) -> str:
    releases = ReleaseStore(tx).find(schema.release.c.project == version.lineage.project)
    named = [
        name
        for release in releases
        if release.model == version.model and release.version == version.number
        for name in release.approved_by
    ]
    return ", ".join(dict.fromkeys(named)) or version.lineage.approved_by


def answer(app: App, command: Command) -> str:
    """Answer `/why`: the chain of what is named and of the same project, or of this change's own version."""
    links = trace(app, command.arguments[0], _reader(app, command)) if command.arguments else _own(app, command)
    return "\n".join(f"- **{link.what}**: `{link.value}` {link.detail}".rstrip() for link in links)


def _reader(app: App, command: Command) -> Principal:
    """Return what a comment may look at: whoever reads this repository need not be a member of any other project."""
    with app.database.read() as tx:
        project = ProjectStore(tx).of_repo(command.repo_id)
    reach = Reach(default=Role.NONE, projects={project: Role.VIEWER})
    return Principal(user=command.actor, role=Role.NONE, project=project, reach=reach)


def _own(app: App, command: Command) -> list[Link]:
    """Return the chain of a change's release, else of its version, else of the run that was judged for it."""
    with app.database.read() as tx:
        table = schema.release.c
        releases = ReleaseStore(tx).find(table.repo_id == command.repo_id, table.change == command.change)
        if releases:
            return _version(app, tx, releases[0].model, releases[0].version)
        job = _judged_job(tx, command)
        result = JobResults(tx).get(job.id) if job else None
        run_id = result.model.run_id if result and result.model else ""
        version = RegistryStore(tx, app.clock).version_of_run(run_id)
        if version is not None:
            return _version(app, tx, version.model, version.number)
        if job is not None:
            return _job(app, tx, job)
    raise NotFound("nothing of this change has been judged yet", hint="/train, or /why flights@3, or a request id")


def _judged_job(tx: Connection, command: Command) -> Job | None:
    """Return the job of a change that its branch now stands for, else the newest one that was judged."""
    where = [schema.job.c.repo_id == command.repo_id, schema.job.c.change == command.change]
    if command.project is not None:
        where.append(schema.job.c.project == command.project)
    jobs = JobStore(tx).find(*where, schema.job.c.settled_at.is_not(None))
    results = JobResults(tx)
    newest = next(iter(jobs), None)
    judged = newest and (deciding_job(tx, newest) or newest)
    return next((job for job in jobs if results.is_baseline(job.id)), judged)


def _job(app: App, tx: Connection, job: Job) -> list[Link]:
    result, plan = JobResults(tx).get(job.id), JobStore(tx).plan(job.plan_id)
    is_baseline = JobResults(tx).is_baseline(job.id)
    links = [Link(what="job", value=f"#{job.number}", detail=job_url(app, job.number))]
    if is_baseline and result is not None:
        links.append(Link(what="baseline of", value=result.branch, detail="what later changes are compared with"))
    if result is not None:
        links += [Link(what="run", value=run, detail=f"step {task}") for task, run in result.runs.items()]
        links += [Link(what="data", value=name, detail=digest) for name, digest in result.data.items()]
        links.append(Link(what="environment", value=result.env_digest[:16] or "unknown"))
    links += _params(plan)
    links.append(Link(what="commit", value=job.commit, detail=f"tree {plan.tree[:16]}"))
    if job.change is not None:
        links.append(Link(what="change", value=f"#{job.change}"))
    links.append(Link(what="trained by", value=job.actor))
    return links
