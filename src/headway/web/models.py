"""Models: every version with where it came from, who let it pass, and where it serves."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select
from starlette.responses import Response

from headway.auth.visible import in_sight, repos_in_sight
from headway.db import schema
from headway.jobs.model import Job
from headway.jobs.store import JobStore
from headway.registry.model import ModelVersion
from headway.registry.rows import count_versions, read_models
from headway.registry.store import RegistryStore
from headway.serving.model import Release
from headway.serving.store import DeploymentStore, KeptDeployment, ReleaseStore
from headway.web.visit import Visit

MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Serves:
    """A place where a version answers, and its share of the requests there."""

    deployment: str
    environment: str
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version with everything that leads to it and from it."""

    version: ModelVersion
    job: Job | None
    serves: tuple[Serves, ...]
    approved_by: str
    releases: tuple[Release, ...]


def list_models(visit: Visit) -> Response:
    """Show every model with its newest version and what serves."""
    with visit.app.database.read() as tx:
        table = schema.registered_model
        seen = in_sight(visit.principal, table.c.project)
        found = read_models(tx, select(table).where(*seen).order_by(table.c.name).limit(MOST + 1))
        counts = count_versions(tx, [each.name for each in found])
        deployments = _deployments(visit, tx)
    rows = [
        (model, model.newest, counts.get(model.name, 0), _places(deployments, model.name)) for model in found[:MOST]
    ]
    return visit.page("models.html", rows=rows, is_cut=len(found) > MOST)


def _places(deployments: list[KeptDeployment], model: str) -> list[tuple[int, Serves]]:
    return [
        (
            route.version,
            Serves(deployment=kept.deployment.name, environment=kept.deployment.environment, weight=route.weight),
        )
        for kept in deployments
        for route in kept.deployment.routes
        if route.model == model and route.weight > 0
    ]


def show(visit: Visit) -> Response:
    """Show one model: its versions, newest first."""
    before = visit.number("before", 0, most=10**9)
    with visit.app.database.read() as tx:
        model = RegistryStore(tx, visit.app.clock).get_model(visit.path["name"])
        versions = sorted(RegistryStore(tx, visit.app.clock).versions(model.name), key=lambda each: -each.number)
        rest = [each for each in versions if not before or each.number < before]
        rows = _versions(visit, tx, rest[:50])
    older = rest[49].number if len(rest) > 50 else 0
    return visit.page("model.html", model=model, rows=rows, older=older)


def _deployments(visit: Visit, tx: Connection) -> list[KeptDeployment]:
    return DeploymentStore(tx).find(*repos_in_sight(visit.principal, schema.deployment.c.repo_id))


def _versions(visit: Visit, tx: Connection, versions: list[ModelVersion]) -> list[Version]:
    deployments = _deployments(visit, tx)
    by_project: dict[str, list[Release]] = {}
    found = []
    for version in versions:
        lineage = version.lineage
        if lineage.project not in by_project:
            where = schema.release.c.project == lineage.project
            by_project[lineage.project] = ReleaseStore(tx).find(where, limit=500) if lineage.project else []
        own = tuple(
            each
            for each in by_project[lineage.project]
            if each.model == version.model and each.version == version.number
        )
        people = [name for release in own for name in release.approved_by]
        places = _places(deployments, version.model)
        found.append(
            Version(
                version=version,
                job=next(iter(JobStore(tx).find(schema.job.c.id == lineage.job_id, limit=1)), None),
                serves=tuple(where for number, where in places if number == version.number),
                approved_by=", ".join(dict.fromkeys(people)) or lineage.approved_by,
                releases=own,
            ),
        )
    return found
