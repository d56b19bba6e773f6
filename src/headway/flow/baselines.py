"""Which result a job is compared with: production's, else the last good one of the default branch."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from headway.app import App
from headway.auth.belongs import Kind, project_of
from headway.auth.projects import ProjectStore, may_use
from headway.errors import NotFound
from headway.flow.model import JobResult
from headway.flow.results import JobResults
from headway.gates.baseline import BaselineCandidate, BaselineKind, choose_baseline
from headway.gates.model import Evidence
from headway.jobs.model import Job
from headway.jobs.store import JobStore
from headway.planning.model import Plan
from headway.registry.store import RegistryStore
from headway.serving.store import DeploymentStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The baseline with its result, or none yet, and what to say about the choice."""

    label: str
    result: JobResult | None
    notes: tuple[str, ...] = ()


def baseline_for(app: App, job: Job, plan: Plan, candidate: JobResult) -> Chosen:
    """Return the result that a job is compared with."""
    wanted = plan.project.gates.baseline
    with app.database.read() as tx:
        found = _candidates(app, tx, job, plan, wanted)
    found = [(each, result) for each, result in found if result.job_id != candidate.job_id]
    holdout = candidate.holdout.digest if candidate.holdout else None
    choice = choose_baseline(wanted, [each for each, _ in found], holdout_digest=holdout)
    result = next((result for each, result in found if each is choice.candidate), None)
    return Chosen(label=choice.label, result=result, notes=choice.notes)


def _candidates(
    app: App, tx: Connection, job: Job, plan: Plan, wanted: str
) -> list[tuple[BaselineCandidate, JobResult]]:
    results = JobResults(tx)
    found: list[tuple[BaselineCandidate, JobResult]] = []
    environment = plan.project.deploy.environment if plan.project.deploy else "production"
    kept = DeploymentStore(tx).get(f"{job.project}-{environment}")
    if kept is not None and kept.repo_id == job.repo_id and kept.deployment.routes:
        route = max(kept.deployment.routes, key=lambda each: each.weight)
        result = _result_of_version(app, tx, route.model, route.version)
        if result is not None:
            label = f"{environment} (v{route.version})"
            found.append((_candidate(BaselineKind.PRODUCTION, label, result), result))
    main = results.latest_baseline(job.repo_id, job.project)
    if main is not None:
        # A number that Headway has not seen being made says so wherever it stands.
        where = f", from {main.outside.host}" if main.outside and main.outside.taken else ""
        found.append((_candidate(BaselineKind.MAIN, f"{main.branch} (#{main.number}{where})", main), main))
    found += _named(app, tx, wanted, own=ProjectStore(tx).of_repo(job.repo_id))
    return found


def _named(app: App, tx: Connection, wanted: str, *, own: str) -> list[tuple[BaselineCandidate, JobResult]]:
    """Return what the file names; what belongs to another project is not there for this one."""
    kind, _, name = wanted.partition(":")
    found = None
    if kind == "run":
        found = _result_of_job(tx, name)
    elif kind == "model":
        model, _, alias = name.partition("@")
        whose = project_of(tx, Kind.MODEL, model)
        version = None if whose is None else RegistryStore(tx, app.clock).find_alias(model, alias)
        if version is not None and whose is not None and may_use(own, whose):
            found = _result_of_version(app, tx, model, version.number)
    if found is None or not may_use(own, ProjectStore(tx).of_repo(found.repo_id)):
        return []
    return [(_candidate(BaselineKind(kind), wanted, found, name=wanted), found)]


def _result_of_job(tx: Connection, name: str) -> JobResult | None:
    try:
        return JobResults(tx).get(JobStore(tx).get(name).id)
    except NotFound:
        return None


def _candidate(kind: BaselineKind, label: str, result: JobResult, *, name: str = "") -> BaselineCandidate:
    return BaselineCandidate(
        kind=kind,
        evidence=Evidence(label=label, metrics=result.metrics),
        name=name,
        run_id=result.job_id,
        commit=result.commit,
        holdout_digest=result.holdout.digest if result.holdout else None,
    )


def _result_of_version(app: App, tx: Connection, model: str, number: int) -> JobResult | None:
    try:
        version = RegistryStore(tx, app.clock).get_version(model, number)
    except NotFound:
        return None
    return JobResults(tx).get(version.lineage.job_id) if version.lineage.job_id else None
