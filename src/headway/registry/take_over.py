"""Writing the models that move in from another tracker: ids, numbers and times as they were, nothing here changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from headway.clock import from_millis, to_millis
from headway.db import schema
from headway.errors import HeadwayError, StorageFull, Unreachable, UsageError
from headway.registry.logged import LoggedModelStore
from headway.registry.model import PROMPT_TAG, ModelMetric, ModelStatus
from headway.registry.names import checked_number, checked_registry_tag, checked_stage
from headway.registry.source import resolve_source
from headway.registry.store import RegistryStore
from headway.tracking.experiments import ExperimentStore
from headway.tracking.limits import check_length, clamped
from headway.tracking.location import below
from headway.tracking.moved import MovedIn, MovedLoggedModel, MovedModel, MovedVersion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

_logged = schema.logged_model
_model = schema.registered_model
_version = schema.model_version


def take_logged_model(tx: Connection, moved: MovedLoggedModel, *, actor: str) -> MovedIn:
    """Write one logged model; one that came before is left as it is."""
    try:
        with tx.begin_nested():
            state = _take_logged(tx, moved, actor=actor)
    except (StorageFull, Unreachable):
        raise
    except HeadwayError as error:
        return _refused(moved.model_id, error)
    return MovedIn(id=moved.model_id, state=state)


def _take_logged(tx: Connection, moved: MovedLoggedModel, *, actor: str) -> str:
    store = LoggedModelStore(tx)
    found = store.find(moved.model_id)
    if found is not None:
        if found.creation_time != moved.creation_time:
            raise UsageError("another logged model has this id here")
        return "same"
    if not _is_model_id(moved.model_id):
        raise UsageError(f"{moved.model_id[:80]!r} cannot be a logged model's id")
    if moved.status not in list(ModelStatus) or moved.stage not in ("active", "deleted"):
        raise UsageError(f"status {moved.status[:40]!r} or stage {moved.stage[:40]!r} is not MLflow's")
    experiment = ExperimentStore(tx).get(moved.experiment_id)
    tx.execute(
        insert(_logged).values(
            id=moved.model_id,
            exp=int(experiment.id),
            name=check_length(moved.name, "name", 500),
            artifact_uri=below(experiment.artifact_location, f"models/{moved.model_id}/artifacts"),
            model_type=check_length(moved.model_type, "model_type", 500),
            source_run_id=check_length(moved.source_run_id, "source_run_id", 32),
            status=moved.status,
            status_message=check_length(moved.status_message, "status_message", 10_000),
            creation_time=moved.creation_time,
            last_update_time=moved.last_update_time,
        ),
    )
    store.log_params(moved.model_id, moved.params)
    store.set_tags(moved.model_id, moved.tags)
    points = [
        ModelMetric(
            key=each.key,
            value=clamped(each.value),
            timestamp=each.timestamp,
            step=each.step,
            run_id=each.run_id,
            dataset_name=each.dataset_name,
            dataset_digest=each.dataset_digest,
        )
        for each in moved.metrics
    ]
    store.log_metrics(moved.model_id, points)
    if moved.stage == "deleted":
        store.delete(moved.model_id, actor=actor)
    times = {"last_update_time": moved.last_update_time}
    tx.execute(update(_logged).where(_logged.c.id == moved.model_id).values(**times))
    return "new"


def _is_model_id(model_id: str) -> bool:
    return model_id[:2] == "m-" and len(model_id) == 34 and set(model_id[2:]) <= set("0123456789abcdef")


def take_model(tx: Connection, moved: MovedModel, *, actor: str) -> Iterator[MovedIn]:
    """Write a registered model and its versions; yield what became of each, the model first."""
    try:
        with tx.begin_nested():
            state, why = _take_model(tx, moved, actor=actor)
    except (StorageFull, Unreachable):
        raise
    except HeadwayError as error:
        yield _refused(moved.name, error)
        for each in moved.versions:
            yield MovedIn(id=f"{moved.name}/{each.number}", state="refused", why="its model was left alone")
        return
    yield MovedIn(id=moved.name, state=state, why=why)
    for version in moved.versions:
        try:
            with tx.begin_nested():
                state = _take_version(tx, moved.name, version)
        except (StorageFull, Unreachable):
            raise
        except HeadwayError as error:
            yield _refused(f"{moved.name}/{version.number}", error)
        else:
            yield MovedIn(id=f"{moved.name}/{version.number}", state=state)
    yield from _take_aliases(tx, moved, actor=actor)
    times = {"updated_at": from_millis(moved.updated_at)}
    mine = (_model.c.name == moved.name, _model.c.created_at == from_millis(moved.created_at))
    tx.execute(update(_model).where(*mine).values(**times))


def _take_model(tx: Connection, moved: MovedModel, *, actor: str) -> tuple[str, str]:
    store = RegistryStore(tx)
    found = tx.execute(select(_model.c.created_at).where(_model.c.name == moved.name)).first()
    if found is None:
        if moved.tags.get(PROMPT_TAG, "").lower() == "true":
            raise UsageError("prompts are not taken over")
        store.create_model(
            moved.name, description=moved.description, tags=moved.tags, actor=actor, project=moved.project
        )
        times = {"created_at": from_millis(moved.created_at)}
        tx.execute(update(_model).where(_model.c.name == moved.name).values(**times))
        return "new", ""
    if to_millis(found.created_at) != moved.created_at:
        raise UsageError(
            "another registered model has this name here",
            cause="it was made at another time; nothing of it was changed",
        )
    here = store.get_model(moved.name).tags
    for key, value in moved.tags.items():
        if key not in here:
            store.set_model_tag(moved.name, *checked_registry_tag(key, value)[:1], value=value)
    other = sorted(key for key, value in moved.tags.items() if here.get(key, value) != value)
    return "same", f"kept this server's own value of its tags {', '.join(other)}" if other else ""


def _take_version(tx: Connection, name: str, moved: MovedVersion) -> str:
    number = checked_number(str(moved.number))
    here = (_version.c.model == name, _version.c.number == number)
    found = tx.execute(select(_version.c.created_at, _version.c.run_id).where(*here)).first()
    if found is not None:
        if to_millis(found.created_at) != moved.created_at:
            raise UsageError("another version has this number here", cause="it was made at another time")
        return "same"
    source = resolve_source(tx, moved.source, run_id=moved.run_id, model_id=moved.model_id)
    counter = tx.execute(select(_model.c.next_version).where(_model.c.name == name)).scalar_one()
    # The store gives the next number: the wanted one, once, and never a used one afterwards.
    _set_counter(tx, name, number)
    RegistryStore(tx).create_version(
        name,
        source=source.key,
        source_uri=moved.source,
        run_id=source.run_id or moved.run_id,
        model_id=source.model_id,
        run_link=check_length(moved.run_link, "run_link", 10_000),
        description=moved.description,
        tags=moved.tags,
        created_by=check_length(moved.user_id, "user_id", 256),
    )
    _set_counter(tx, name, max(counter, number + 1))
    times = {"created_at": from_millis(moved.created_at), "updated_at": from_millis(moved.updated_at)}
    status = check_length(moved.status, "status", 32)
    tx.execute(update(_version).where(*here).values(stage=checked_stage(moved.stage), status=status, **times))
    return "new"


def _set_counter(tx: Connection, name: str, number: int) -> None:
    tx.execute(update(_model).where(_model.c.name == name).values(next_version=number))


def _take_aliases(tx: Connection, moved: MovedModel, *, actor: str) -> Iterator[MovedIn]:
    store = RegistryStore(tx)
    here = store.get_model(moved.name).aliases
    for alias, number in moved.aliases.items():
        if here.get(alias) == number:
            continue
        try:
            if alias in here:
                raise UsageError(f"the alias names version {here[alias]} here, and {number} there")
            with tx.begin_nested():
                store.set_alias(moved.name, alias, number=number, actor=actor, reason="import")
        except (StorageFull, Unreachable):
            raise
        except HeadwayError as error:
            yield _refused(f"{moved.name}@{alias}", error)


def _refused(what: str, error: HeadwayError) -> MovedIn:
    return MovedIn(id=what, state="refused", why=": ".join(filter(None, (error.message, error.cause))))
