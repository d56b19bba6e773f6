"""The routes of logged models: what MLflow 3's `log_model` and autologging call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headway.api.mlflow.access import check_experiment, check_run_write, is_attempt, refuse_attempt
from headway.api.mlflow.registry import Pair, listed, pairs
from headway.api.mlflow.route import BOTH, Access, Call, Message, Route, StreamCall, StreamRoute, by_method
from headway.api.mlflow.streams import send_json
from headway.errors import Refused, UsageError
from headway.registry.logged import LoggedModelStore
from headway.registry.model import LoggedModel, ModelStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.tracking.store import RunStore

_STATUSES = (None, ModelStatus.PENDING, ModelStatus.READY, ModelStatus.FAILED)  # as proto numbers them


class CreateLogged(Message):
    """A new logged model."""

    experiment_id: str = ""
    name: str | None = None
    model_type: str = ""
    source_run_id: str = ""
    params: list[Pair] = msgspec.field(default_factory=list)
    tags: list[Pair] = msgspec.field(default_factory=list)


class GetLogged(Message):
    """One logged model; the path has its id."""

    allow_deleted: bool = False


class Finish(Message):
    """The end of an upload, by name or number."""

    status: str | int = ""


class LogParams(Message):
    """Parameters to add."""

    params: list[Pair] = msgspec.field(default_factory=list)


class SetTags(Message):
    """Tags to write."""

    tags: list[Pair] = msgspec.field(default_factory=list)


def logged_json(model: LoggedModel) -> dict[str, Any]:
    """Return a logged model as the wire shows it."""
    info: dict[str, Any] = {
        "model_id": model.id,
        "experiment_id": model.experiment_id,
        "name": model.name,
        "creation_timestamp_ms": model.creation_time,
        "last_updated_timestamp_ms": model.last_update_time,
        "artifact_uri": model.artifact_uri,
        "status": str(model.status),
        "model_type": model.model_type,
        "source_run_id": model.source_run_id,
    }
    given = (
        ("tags", listed(model.tags)),
        ("registrations", [{"name": name, "version": str(number)} for name, number in model.registrations]),
        ("status_message", model.status_message),
    )
    info |= {name: value for name, value in given if value}
    data = {"params": listed(model.params), "metrics": _metrics(model)}
    return {"info": info, "data": {name: value for name, value in data.items() if value}}


def _metrics(model: LoggedModel) -> list[dict[str, Any]]:
    found = []
    for each in model.metrics:
        shown: dict[str, Any] = {
            "key": each.key,
            "value": each.value if each.value == each.value else "NaN",  # NaN alone differs from itself
            "timestamp": each.timestamp,
            "step": each.step,
            "model_id": model.id,
            "run_id": each.run_id,
        }
        if each.dataset_name:
            shown |= {"dataset_name": each.dataset_name, "dataset_digest": each.dataset_digest}
        found.append(shown)
    return found


def _create(call: Call, message: CreateLogged) -> Any:
    check_experiment(call.principal, message.experiment_id)
    _check_run(call, message.source_run_id)
    made = LoggedModelStore(call.tx).create(
        message.experiment_id,
        name=message.name or "",
        model_type=message.model_type,
        source_run_id=message.source_run_id,
        params=pairs(message.params),
        tags=pairs(message.tags),
        actor=call.principal.user,
    )
    return {"model": logged_json(made)}


def _get(call: Call, message: GetLogged) -> Any:
    store = LoggedModelStore(call.tx)
    found = store.get(call.path["model_id"], allow_deleted=message.allow_deleted, with_points=True)
    if not found.registrations or call.principal.is_confined:
        check_experiment(call.principal, found.experiment_id)
    return {"model": logged_json(found)}


def _finish(call: Call, message: Finish) -> Any:
    store = _writable(call)
    return {
        "model": logged_json(store.finish(call.path["model_id"], _status(message.status), actor=call.principal.user))
    }


def _delete(call: Call) -> None:
    refuse_attempt(call.principal, "delete models")
    LoggedModelStore(call.tx).delete(call.path["model_id"], actor=call.principal.user)


def _log_params(call: Call, message: LogParams) -> Any:
    _writable(call).log_params(call.path["model_id"], pairs(message.params))


def _set_tags(call: Call, message: SetTags) -> Any:
    _writable(call).set_tags(call.path["model_id"], pairs(message.tags))


def _delete_tag(call: Call) -> None:
    _writable(call).delete_tag(call.path["model_id"], call.path["tag_key"])


def _status(given: str | int) -> ModelStatus:
    number = given if isinstance(given, int) else int(given) if given.isdigit() and len(given) < 3 else None
    if number is not None:
        found = _STATUSES[number] if 0 <= number < len(_STATUSES) else None
    else:
        found = next((each for each in ModelStatus if each == given), None)
    if found is None:
        known = ", ".join(ModelStatus)
        raise UsageError(f"Invalid value \"{str(given)[:100]}\" for parameter 'status' supplied: it is one of {known}.")
    return found


def _writable(call: Call) -> LoggedModelStore:
    """Return the store when the caller may write the model of the path."""
    store = LoggedModelStore(call.tx)
    _check_run(call, store.get(call.path["model_id"], allow_deleted=True).source_run_id)
    return store


def _check_run(call: Call, run_id: str) -> None:
    if not is_attempt(call.principal):
        return
    if not run_id:
        raise Refused(
            "a training may write the models of its own run only",
            hint="log models inside the run that the task was given",
        )
    check_run_write(call.store, call.principal, run_id)


def _bare_delete(path: str, act: Callable[[Call], None]) -> list[StreamRoute]:
    """Return routes for a DELETE that has no body and so, from MLflow's client, no Content-Type either."""

    async def serve(call: StreamCall) -> None:
        def write(store: RunStore) -> None:
            store.actor = call.principal.user
            act(Call(principal=call.principal, store=store, path=call.path))

        await call.writer.run(write)
        await send_json(call, {})

    return [StreamRoute(method="DELETE", path=prefix + path, access=Access.WRITE, serve=serve) for prefix in BOTH]


ROUTES: tuple[Route | StreamRoute, ...] = (
    by_method("POST", "logged-models", CreateLogged, _create, "experiment_id"),
    by_method("GET", "logged-models/{model_id}", GetLogged, _get),
    by_method("PATCH", "logged-models/{model_id}", Finish, _finish, "status"),
    by_method("POST", "logged-models/{model_id}/params", LogParams, _log_params),
    by_method("PATCH", "logged-models/{model_id}/tags", SetTags, _set_tags),
    *_bare_delete("logged-models/{model_id}", _delete),
    *_bare_delete("logged-models/{model_id}/tags/{tag_key}", _delete_tag),
)
