"""Which project a message of the wire is about, and whether the caller's role there is enough.

Looked at only for callers whose role is not the same everywhere: people with memberships, tokens of one project,
trainings. Every route has an entry; one without is closed to them. What they may not see answers as what is not there,
and lists of ids are cut down to what they may see before the route's own function reads them.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from headway.api.mlflow.access import needed_role
from headway.auth.belongs import Kind, project_of, projects_at
from headway.auth.model import NO_PROJECT, Principal, Role
from headway.auth.projects import PROJECT_TAG, ProjectStore
from headway.auth.visible import in_sight
from headway.db import schema
from headway.errors import NotFound, Refused
from headway.registry.folders import holds_key, key_of
from headway.registry.logged import unknown_measured
from headway.tracking.limits import experiment_number
from headway.tracking.ownership import project_of_experiment
from headway.tracking.store import unknown_run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from headway.api.mlflow.route import Access
    from headway.tracking.store import RunStore

_KEPT = 2.0  # seconds: so long an experiment that was moved may still count as its old project's
_MOST = 20_000
_NO_EXPERIMENT = str(2**31 - 1)

_PREFIX = re.compile(r"/(?:ajax-)?api/[23]\.0/(?:mlflow/)?")
_RUN_SOURCE = re.compile(r"runs:/+([^/]+)")
_MODEL_SOURCE = re.compile(r"models:/([^/@]+)(?=[/@])")
_LOGGED_SOURCE = re.compile(r"models:/(m-[^/@]+)\Z")


class KnownProjects:
    """What one process remembers of which run is in which experiment (for good) and project (for a moment)."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._exps: dict[str, int] = {}
        self._projects: dict[int, tuple[str, float]] = {}

    def of_run(self, store: RunStore, run_id: str) -> str | None:
        """Return the project of a run; None when there is no such run."""
        exp = self._exps.get(run_id)
        if exp is None:
            row = store.link.one("select exp from run where uuid = ?", (run_id,))
            if row is None:
                return None
            if len(self._exps) >= _MOST:
                self._exps.clear()
            exp = self._exps[run_id] = int(row[0])
        return self.of_experiment(store, exp)

    def of_experiment(self, store: RunStore, exp: int) -> str | None:
        """Return the project of an experiment; None when there is none of that id."""
        known, now = self._projects.get(exp), time.monotonic()
        if known is not None and now < known[1]:
            return known[0]
        project = project_of_experiment(store, str(exp))
        if project is not None:
            if len(self._projects) >= _MOST:
                self._projects.clear()
            self._projects[exp] = (project, now + _KEPT)
        return project


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request whose caller is not the same everywhere."""

    principal: Principal
    store: RunStore
    needs: Role
    path: dict[str, str]
    known: KnownProjects

    def check(self, project: str | None, missing: NotFound) -> str:
        """Return the project when the caller may do there what the route does; raise `missing` for what is hidden."""
        if project is None or self.principal.role_in(project) < Role.VIEWER:
            raise missing
        role = self.principal.role_in(project)
        if role < self.needs:
            raise Refused(
                f"this needs the role {self.needs.name.lower()} in {project or 'this server'}; "
                f"{self.principal.user} has {role.name.lower()}",
                hint="ask an administrator of this server for the role",
            )
        return project

    def sees(self, project: str | None) -> bool:
        """Whether something of a project exists for the caller."""
        return project is not None and self.principal.role_in(project) >= Role.VIEWER

    def run(self, run_id: str) -> str:
        """Check a run."""
        return self.check(self.known.of_run(self.store, run_id), unknown_run(run_id))

    def experiment(self, experiment_id: str) -> str:
        """Check an experiment."""
        exp = experiment_number(experiment_id)
        return self.check(self.known.of_experiment(self.store, exp), NotFound(f"No Experiment with id={exp} exists"))

    def model(self, name: str) -> str:
        """Check a registered model."""
        missing = NotFound(f"Registered Model with name={name} not found")
        return self.check(project_of(self.store.tx, Kind.MODEL, name), missing)

    def logged(self, model_id: str) -> str:
        """Check a logged model; one that was registered may be read by whoever may read the registered model."""
        tx, missing = self.store.tx, NotFound(f"Logged model with ID '{model_id[:100]}' not found.")
        exp = tx.execute(select(schema.logged_model.c.exp).where(schema.logged_model.c.id == model_id)).scalar()
        project = None if exp is None else self.known.of_experiment(self.store, int(exp))
        if self.needs is Role.VIEWER and not self.sees(project):
            project = _registered_project(tx, self.principal, schema.model_version.c.model_id == model_id)
        return self.check(project, missing)

    def writable_model(self, model_id: str) -> str:
        """Return the id of a logged model that the caller may write; "" where it may only be read.

        Then the point is kept with the run alone. One that is hidden is refused as one that nobody knows.
        """
        try:
            self.logged(model_id)
        except Refused:
            return ""
        except NotFound:
            tx, versions = self.store.tx, schema.model_version.c
            if self.sees(_registered_project(tx, self.principal, versions.model_id == model_id)):
                return ""
            raise unknown_measured(model_id) from None
        return model_id

    def visible_experiments(self, ids: Sequence[str]) -> list[str]:
        """Return those of these experiments that exist for the caller."""
        numbers = [(each, experiment_number(each)) for each in ids]
        return [each for each, exp in numbers if self.sees(self.known.of_experiment(self.store, exp))]

    def visible_run(self, run_id: str) -> str:
        """Return a run's id when it exists for the caller, else ""."""
        return run_id if self.sees(self.known.of_run(self.store, run_id)) else ""


def _registered_project(tx: Connection, principal: Principal, holds: Any) -> str | None:
    """Return the project of a registered model in sight that one of whose versions is meant; None where none is."""
    version, model = schema.model_version, schema.registered_model
    query = select(model.c.project).join(version, version.c.model == model.c.name)
    found = tx.execute(query.where(holds, *in_sight(principal, model.c.project)).limit(1)).first()
    return None if found is None else str(found[0])


def admitted(
    principal: Principal, store: RunStore, route: Any, message: Any, *, path: dict[str, str], known: KnownProjects
) -> Principal:
    """Return the caller with the role that counts for this message, whose lists may have been cut down.

    Raises:
        NotFound: what it names is not there, or not for this caller.
        Refused: the caller may look, but not do this.
    """
    _check_confined(principal, route.path)
    needs = needed_role(route.access)
    guard = GUARDS.get(_PREFIX.sub("", route.path))
    if guard is None:
        return _everywhere(principal, needs)
    project = guard(Asked(principal=principal, store=store, needs=needs, path=path, known=known), message)
    return principal if project is None else principal.within(project)


def _check_confined(principal: Principal, path: str) -> None:
    """Keep a fork's code from the registry: it neither reads the team's models nor makes one that others would load."""
    if principal.is_confined and _PREFIX.sub("", path).lstrip("/").startswith(("registered-models", "model-versions")):
        raise Refused(
            "code from a fork may not use registered models",
            cause="its token reads and writes its own run and nothing else of this server",
            hint="log the model to the run; it is registered once the change is merged",
        )


def _everywhere(principal: Principal, needs: Role) -> Principal:
    if principal.floor < needs:
        raise Refused(
            f"this needs the role {needs.name.lower()} in every project, which {principal.user} has not",
            hint="ask an administrator of this server for the role",
        )
    return principal


def check_move(tx: Connection, principal: Principal, wanted: str) -> str:
    """Return the project that an experiment or model of the caller's shall go to; "" opens it to all members.

    Raises:
        Refused: the caller is no maintainer where it is, or may not write where it shall go.
        NotFound: there is no such project for the caller.
    """
    if principal.role < Role.MAINTAINER:
        raise Refused(
            f"moving this to another project needs the role maintainer, which {principal.user} has not",
            hint="ask a maintainer of the project that it is in",
        )
    if wanted:
        return ProjectStore(tx).for_new(principal, wanted)
    if principal.role_in(NO_PROJECT) < Role.CONTRIBUTOR:
        raise Refused(
            f"{principal.user} may not open this to all members",
            cause="it needs the server-wide role contributor",
            hint="ask an administrator of this server",
        )
    return NO_PROJECT


# --- what each message names ------------------------------------------------------------------------


# For runs the role is looked at here and nowhere later: their routes are called too often to make a second caller.


def _by_run(asked: Asked, message: Any) -> None:
    asked.run(message.run_id or getattr(message, "run_uuid", ""))


def _create_run(asked: Asked, message: Any) -> None:
    asked.experiment(message.experiment_id or "0")


def _log_metric(asked: Asked, message: Any) -> None:
    _by_run(asked, message)
    if message.model_id:
        message.model_id = asked.writable_model(message.model_id)


def _log_batch(asked: Asked, message: Any) -> None:
    _by_run(asked, message)
    for point in message.metrics:
        if point.model_id:
            point.model_id = asked.writable_model(point.model_id)


def _history(asked: Asked, message: Any) -> None:
    # A run that is not there has no history, as MLflow sees it; a hidden one must look the same.
    message.run_id, message.run_uuid = asked.visible_run(message.run_id or message.run_uuid), ""


def _bulk(asked: Asked, message: Any) -> None:
    message.run_id = [asked.visible_run(each) for each in message.run_id]


def _interval(asked: Asked, message: Any) -> None:
    message.run_ids = [asked.visible_run(each) for each in message.run_ids]


def _by_experiment(asked: Asked, message: Any) -> str:
    return asked.experiment(message.experiment_id)


def _in_experiments(asked: Asked, message: Any) -> None:
    message.experiment_ids = asked.visible_experiments(message.experiment_ids)


def _in_some_experiment(asked: Asked, message: Any) -> None:
    # An empty list is refused by the route itself: one that is empty only for this caller must not be.
    message.experiment_ids = asked.visible_experiments(message.experiment_ids) or [_NO_EXPERIMENT]


def _nothing(_asked: Asked, _message: Any) -> None:
    return None


def _new_model(asked: Asked, message: Any) -> str:
    tags = {each.key: each.value for each in message.tags}
    return ProjectStore(asked.store.tx).for_new(asked.principal, tags.get(PROJECT_TAG, NO_PROJECT))


def _by_model(asked: Asked, message: Any) -> str:
    return asked.model(message.name)


def _create_version(asked: Asked, message: Any) -> str:
    project = asked.model(message.name)
    reading = Asked(principal=asked.principal, store=asked.store, needs=Role.VIEWER, path=asked.path, known=asked.known)
    if message.run_id:
        reading.run(message.run_id)
    if message.model_id:
        reading.logged(message.model_id)
    _check_source(reading, message.source)
    return project


def _check_source(asked: Asked, source: str) -> None:
    """Check what a source names: somebody's run, model or folder must not become readable by being registered."""
    if found := _RUN_SOURCE.match(source):
        asked.run(found[1])
    elif found := _LOGGED_SOURCE.match(source):
        asked.logged(found[1])
    elif found := _MODEL_SOURCE.match(source):
        asked.model(found[1])
    elif (key := key_of(source)) is not None:
        missing = NotFound(f"No such artifact: '{key}'")
        places: list[str | None] = [*projects_at(asked.store.tx, key)]
        for project in places or [None]:
            asked.check(project, missing)


def _create_logged(asked: Asked, message: Any) -> str:
    project = asked.experiment(message.experiment_id)
    if message.source_run_id:
        asked.run(message.source_run_id)
    return project


def _by_logged(asked: Asked, _message: Any) -> str:
    return asked.logged(asked.path["model_id"])


def _presigned(asked: Asked, message: Any) -> None:
    if message.run_id:
        asked.run(message.run_id)
    if getattr(message, "model_id", ""):
        asked.logged(message.model_id)


_RUN_WRITES = (
    "update", "delete", "restore", "log-parameter", "set-tag", "delete-tag", "log-inputs", "outputs", "log-model",
)  # fmt: skip

GUARDS: dict[str, Callable[[Asked, Any], str | None]] = {
    "runs/create": _create_run,
    "runs/get": _by_run,
    "runs/search": _in_experiments,
    "runs/log-metric": _log_metric,
    "runs/log-batch": _log_batch,
    **dict.fromkeys((f"runs/{each}" for each in _RUN_WRITES), _by_run),
    "metrics/get-history": _history,
    "metrics/get-history-bulk": _bulk,
    "metrics/get-history-bulk-interval": _interval,
    "experiments/create": _nothing,  # its function decides whose it becomes
    "experiments/get-by-name": _nothing,  # looks among what is in sight
    "experiments/search": _nothing,
    "experiments/search-datasets": _in_some_experiment,
    **dict.fromkeys(
        (
            f"experiments/{each}"
            for each in ("get", "update", "delete", "restore", "set-experiment-tag", "delete-experiment-tag")
        ),
        _by_experiment,
    ),
    "registered-models/create": _new_model,
    "registered-models/search": _nothing,
    "model-versions/search": _nothing,
    "model-versions/create": _create_version,
    **dict.fromkeys(
        (
            f"registered-models/{each}"
            for each in ("rename", "update", "delete", "get", "get-latest-versions", "set-tag", "delete-tag", "alias")
        ),
        _by_model,
    ),
    **dict.fromkeys(
        (
            f"model-versions/{each}"
            for each in ("get", "update", "transition-stage", "delete", "get-download-uri", "set-tag", "delete-tag")
        ),
        _by_model,
    ),
    "artifacts/presigned-upload-url": _presigned,
    "artifacts/presigned-download-url": _presigned,
    "logged-models": _create_logged,
    "logged-models/search": _in_some_experiment,
    "logged-models/{model_id}": _by_logged,
    "logged-models/{model_id}/params": _by_logged,
    "logged-models/{model_id}/tags": _by_logged,
    "logged-models/{model_id}/tags/{tag_key}": _by_logged,
}

# --- what streams: a field of the query, or the path, names it; a bare key is looked at where it is used ----

_BY_KEY = "key"
_BY_FIELD = "field"  # looked at where the body has been read: what it asks is admitted as the route that answers it
STREAMS: dict[str, str] = {
    "mlflow-artifacts/artifacts/{path:path}": _BY_KEY,
    "mlflow-artifacts/artifacts": _BY_KEY,
    "mlflow-artifacts/mpu/create/{path:path}": _BY_KEY,
    "mlflow-artifacts/mpu/complete/{path:path}": _BY_KEY,
    "mlflow-artifacts/mpu/abort/{path:path}": _BY_KEY,
    "mlflow-artifacts/presigned/{path:path}": _BY_KEY,  # never offered
    "/graphql": _BY_FIELD,
    "runs/create-promptlab-run": _BY_FIELD,
    "artifacts/list": "run",
    "/get-artifact": "run",
    "upload-artifact": "run",
    "/model-versions/get-artifact": "model",
    "logged-models/{model_id}": "logged",
    "logged-models/{model_id}/tags/{tag_key}": "logged",
    "logged-models/{model_id}/artifacts/directories": "logged",
    "logged-models/{model_id}/artifacts/files": "logged",
}


def admitted_stream(
    principal: Principal,
    store: RunStore,
    route: Any,
    query: dict[str, str],
    *,
    path: dict[str, str],
    known: KnownProjects,
) -> Principal:
    """Return the same as `admitted` for a route that streams."""
    _check_confined(principal, route.path)
    needs = needed_role(route.access)
    named_by = STREAMS.get(_PREFIX.sub("", route.path))
    if named_by is None:
        return _everywhere(principal, needs)
    asked = Asked(principal=principal, store=store, needs=needs, path=path, known=known)
    if named_by == "run":
        return principal.within(asked.run(query.get("run_id") or query.get("run_uuid") or ""))
    if named_by == "model":
        return principal.within(asked.model(query.get("name", "")))
    if named_by == "logged":
        return principal.within(asked.logged(path["model_id"]))
    return principal


def may_touch(tx: Connection, principal: Principal, key: str, *, access: Access, is_folder: bool = False) -> bool:
    """Whether a caller may read or change what lies at a key: the experiments whose folders it is in decide.

    A folder also holds what lies below it. What lies in nobody's folder is closed to callers who are not the same
    everywhere, but for a registered version that they may see.
    """
    if principal.reach is None:
        return True
    needs = needed_role(access)
    projects = projects_at(tx, key, with_below=is_folder)
    if projects and all(principal.role_in(each) >= needs for each in projects):
        return True
    if needs is not Role.VIEWER or not key:
        return False
    return _registered_project(tx, principal, holds_key(key)) is not None
