"""The door for what moves in from another tracker: packed batches, written as the tracking store writes everything.

Everything in a body is a foreign text: it was parsed into types, and the stores check each field before they write.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Connection
from starlette.routing import Route

from headway.api.answers import Call, route
from headway.app import App
from headway.auth.belongs import Kind, project_of
from headway.auth.model import Role
from headway.blobs.base import BlobStore
from headway.clock import SystemClock
from headway.db import events
from headway.errors import NotFound
from headway.registry.digest import walk
from headway.registry.folders import key_of, run_location
from headway.registry.logged import LoggedModelStore
from headway.registry.rows import count_versions
from headway.registry.store import RegistryStore
from headway.registry.take_over import take_logged_model, take_model
from headway.tracking.moved import (
    MOST_BATCH,
    Asked,
    Here,
    HereModel,
    MovedExperiment,
    MovedIn,
    MovedLoggedModel,
    MovedModel,
    MovedRuns,
)
from headway.tracking.store import RunStore
from headway.tracking.take_over import ReadyRun, count_runs, prepare_run, take_experiment, take_run
from headway.tracking.writer import Writer

_CAP = MOST_BATCH + (1 << 20)  # a batch, and what holds it together


def import_routes(app: App, writer: Writer | None = None) -> list[Route]:
    """Return the routes of the import; without a writer of its own a process writes by itself."""

    def written(call: Call, work: Callable[[RunStore], Any]) -> Any:
        def request(store: RunStore) -> Any:
            store.actor = call.principal.user
            return work(store)

        if writer is not None:
            return writer.call(request)
        with call.app.database.write() as tx:
            return request(RunStore(tx))

    def experiments(call: Call) -> Any:
        """Make an experiment, or find the one of its name. Packed (MessagePack), as all of these."""
        moved = call.packed(MovedExperiment)
        return written(call, lambda store: _experiment(store, moved))

    def runs(call: Call) -> Any:
        """Write runs with their histories, or what of them is not here yet."""
        moved = call.packed(MovedRuns)
        # Before the writer's turn: packing a long history takes seconds, in which no training could log.
        ready = [prepare_run(each) for each in moved.runs]
        return written(call, lambda store: _runs(store, moved, ready))

    def logged_models(call: Call) -> Any:
        """Write logged models under their own ids."""
        moved = call.packed(tuple[MovedLoggedModel, ...])
        return written(
            call, lambda store: [take_logged_model(store.tx, each, actor=call.principal.user) for each in moved]
        )

    def models(call: Call) -> Any:
        """Write a registered model with its versions under their own numbers."""
        moved = call.packed(MovedModel)
        return written(call, lambda store: list(take_model(store.tx, moved, actor=call.principal.user)))

    return [
        route(app, "POST", f"/import/{path}", Role.ADMIN, handler, cap=_CAP)
        for path, handler in (
            ("experiment", experiments),
            ("runs", runs),
            ("logged-models", logged_models),
            ("model", models),
            ("counts", counts),
        )
    ]


def _experiment(store: RunStore, moved: MovedExperiment) -> dict[str, Any]:
    if moved.project and project_of(store.tx, Kind.PROJECT, moved.project) is None:
        raise NotFound(
            f"there is no project {moved.project[:100]!r}", hint="GET /api/v1/projects lists them, POST makes one"
        )
    experiment_id, became = take_experiment(store, moved)
    location = store.experiments.get(experiment_id).artifact_location
    return {"experiment_id": experiment_id, "artifact_location": location, "became": became}


def _runs(store: RunStore, moved: MovedRuns, ready: Sequence[ReadyRun | MovedIn]) -> list[MovedIn]:
    experiment = store.experiments.get(moved.experiment_id)
    found = [take_run(store, experiment.id, each) for each in ready]
    new = sum(each.state == "new" for each in found)
    if new:
        events.record(
            store.tx,
            "experiment",
            experiment.id,
            to_state="imported",
            at=SystemClock().now(),
            actor=store.actor,
            reason=f"{new} runs from {moved.source[:500]}",
        )
    return found


def counts(call: Call) -> Here:
    """Count what is here of runs, logged models and registered models, in rows and files themselves."""
    asked = call.packed(Asked)
    with call.app.database.read() as tx:
        runs = count_runs(RunStore(tx).link, asked.runs)
        places = {each.run_id: run_location(tx, each.run_id) for each in runs} if asked.with_files else {}
        logged = {each: _logged_place(tx, each) for each in asked.logged_models}
        found = count_versions(tx, asked.models)
        versions = {name: found.get(name, 0) for name in asked.models if _is_model(tx, name)}
    if asked.with_files:
        sizes = {run_id: _size(call.app.artifacts, place or "") for run_id, place in places.items()}
        runs = [replace(each, files=sizes[each.run_id][0], bytes=sizes[each.run_id][1]) for each in runs]
    models = []
    for model_id, place in logged.items():
        if place is not None:
            files, size = _size(call.app.artifacts, place) if asked.with_files else (0, 0)
            models.append(HereModel(model_id=model_id, files=files, bytes=size))
    return Here(runs=tuple(runs), logged_models=tuple(models), versions=versions)


def _is_model(tx: Connection, name: str) -> bool:
    try:
        RegistryStore(tx).get_model(name)
    except NotFound:
        return False
    return True


def _logged_place(tx: Connection, model_id: str) -> str | None:
    found = LoggedModelStore(tx).find(model_id)
    return None if found is None else found.artifact_uri


def _size(blobs: BlobStore, place: str) -> tuple[int, int]:
    root = key_of(place) if place else None
    sizes = [each.size for each in walk(blobs, root)] if root else []
    return len(sizes), sum(sizes)
