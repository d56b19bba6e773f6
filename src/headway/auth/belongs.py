"""Which project a thing belongs to, by the id that a request names it with."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, or_, select

from headway.auth.model import NO_PROJECT
from headway.blobs.keys import parents
from headway.db import schema
from headway.db.prefix import begins_with

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Table

_SCHEME = "mlflow-artifacts:/"
_SHORTEST = 6  # characters of a run's id that name it


class Kind(StrEnum):
    """The kinds of things that requests name."""

    REPO = "repository"
    COMMAND = "command"
    JOB = "job"
    RUN = "run"
    MODEL = "model"
    DEPLOYMENT = "deployment"
    RELEASE = "release"
    PROJECT = "project"


def project_of(tx: Connection, kind: Kind, name: str) -> str | None:
    """Return the project that a thing belongs to; None when there is no such thing."""
    return _FINDERS[kind](tx, name)


def _repo(tx: Connection, name: str) -> str | None:
    return _first(tx, schema.repo.c.project, schema.repo.c.id == name)


def _of_repo(table: Table, key: str) -> Callable[[Connection, Any], str | None]:
    """Return a finder for rows that carry the id of their repository."""

    def find(tx: Connection, name: Any) -> str | None:
        repo_id = _first(tx, table.c.repo_id, table.c[key] == name)
        return None if repo_id is None else _repo(tx, repo_id) or NO_PROJECT

    return find


def _job(tx: Connection, name: str) -> str | None:
    is_number = name.isascii() and name.isdigit() and len(name) < 10
    return _of_repo(schema.job, "number" if is_number else "id")(tx, int(name) if is_number else name)


def _run(tx: Connection, name: str) -> str | None:
    run, experiment = schema.run, schema.experiment
    query = select(experiment.c.project).join(run, run.c.exp == experiment.c.id)
    found = tx.execute(query.where(run.c.uuid == name)).scalars().all()
    if not found and len(name) >= _SHORTEST:
        found = tx.execute(query.where(begins_with(run.c.uuid, name)).limit(2)).scalars().all()
    return str(found[0]) if len(found) == 1 else None


def _model(tx: Connection, name: str) -> str | None:
    return _first(tx, schema.registered_model.c.project, schema.registered_model.c.name == name)


def _project(tx: Connection, name: str) -> str | None:
    return _first(tx, schema.project.c.name, schema.project.c.name == name)


def _first(tx: Connection, column: ColumnElement[Any], where: ColumnElement[bool]) -> str | None:
    found = tx.execute(select(column).where(where)).first()
    return None if found is None else str(found[0])


_FINDERS: dict[Kind, Callable[[Connection, str], str | None]] = {
    Kind.REPO: _repo,
    Kind.COMMAND: _of_repo(schema.command, "id"),
    Kind.JOB: _job,
    Kind.RUN: _run,
    Kind.MODEL: _model,
    Kind.DEPLOYMENT: _of_repo(schema.deployment, "name"),
    Kind.RELEASE: _of_repo(schema.release, "id"),
    Kind.PROJECT: _project,
}


def projects_at(tx: Connection, key: str, *, with_below: bool = False) -> list[str]:
    """Return the projects of the experiments and jobs in whose folders an artifact's key lies.

    `with_below` adds those whose folders lie in it: what a listing or a removal of that folder would reach.
    """
    experiment, places = schema.experiment, [f"{_SCHEME}{each}" for each in (key, *parents(key)) if each]
    where: list[ColumnElement[bool]] = [experiment.c.artifact_location.in_(places)]
    if with_below:
        start = f"{_SCHEME}{key}/" if key else _SCHEME
        where.append(func.substr(experiment.c.artifact_location, 1, len(start)) == start)
    found = {str(each) for each in tx.execute(select(experiment.c.project).where(or_(*where)).distinct()).scalars()}
    first, _, rest = key.partition("/")
    if first == "outputs":  # what a job's task made beside its run
        job = _job(tx, rest.partition("/")[0]) if rest else None
        found |= {job} if job is not None else set()
    return sorted(found)
