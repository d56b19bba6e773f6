"""Routes by which a run logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headway.api.mlflow.access import check_run_write
from headway.api.mlflow.experiments import PlainTag
from headway.api.mlflow.route import Access, Call, Message, Route
from headway.errors import NotFound, UsageError
from headway.registry.logged import LoggedModelStore, unknown_measured
from headway.registry.model import ModelMetric
from headway.tracking.limits import (
    MAX_BATCH_BYTES,
    bad_value,
    check_batch,
    check_metric_name,
    check_run_id,
    check_unique,
    checked_param,
    checked_tag,
    clamped,
)
from headway.tracking.model import Dataset, DatasetInput, ModelLink, Tag

if TYPE_CHECKING:
    from collections.abc import Sequence

_SEE_DOCS = " See the API docs for more information about request parameters."
_LONG = 2**63
_MOST_DATASETS = 10_000  # MLflow sets none; one request shall not hold the writer for long


class LogMetric(Message):
    """runs/log-metric."""

    run_id: str = ""
    run_uuid: str = ""
    key: str = ""
    value: float | None = None
    timestamp: int | None = None
    step: int = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class LogParam(Message):
    """runs/log-parameter."""

    run_id: str = ""
    run_uuid: str = ""
    key: str = ""
    value: str = ""


class SetTag(Message):
    """runs/set-tag and runs/delete-tag."""

    run_id: str = ""
    run_uuid: str = ""
    key: str = ""
    value: str = ""


class BatchMetric(msgspec.Struct, gc=False):
    """A point of runs/log-batch."""

    key: str = ""
    value: float | None = None
    timestamp: int | None = None
    step: int = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class LogBatch(Message):
    """runs/log-batch."""

    run_id: str = ""
    metrics: list[BatchMetric] = msgspec.field(default_factory=list)
    params: list[PlainTag] = msgspec.field(default_factory=list)
    tags: list[PlainTag] = msgspec.field(default_factory=list)


class PlainDataset(msgspec.Struct):
    """A dataset on the wire."""

    name: str = ""
    digest: str = ""
    source_type: str = ""
    source: str = ""
    schema: str | None = None
    profile: str | None = None


class PlainInput(msgspec.Struct):
    """A dataset that a run read, on the wire."""

    dataset: PlainDataset | None = None
    tags: list[PlainTag] = msgspec.field(default_factory=list)


class PlainModel(msgspec.Struct):
    """A logged model that a run read or made, on the wire."""

    model_id: str = ""
    step: int = 0


class LogInputs(Message):
    """runs/log-inputs."""

    run_id: str = ""
    datasets: list[PlainInput] = msgspec.field(default_factory=list)
    models: list[PlainModel] = msgspec.field(default_factory=list)


class LogOutputs(Message):
    """runs/outputs."""

    run_id: str = ""
    models: list[PlainModel] | None = None


class LogModel(Message):
    """runs/log-model."""

    run_id: str = ""
    model_json: str = ""


def _check_there(given: LogMetric | BatchMetric, path: str) -> None:
    if not given.key or given.value is None or given.timestamp is None:
        name = "key" if not given.key else "value" if given.value is None else "timestamp"
        raise UsageError(f"Missing value for required parameter '{path}{name}'.{_SEE_DOCS}")


def _check_dataset(given: LogMetric | BatchMetric) -> None:
    if bool(given.dataset_name) != bool(given.dataset_digest):
        raise UsageError("Both dataset_name and dataset_digest must be provided if one is provided")


def _check_point(given: LogMetric | BatchMetric, path: str = "") -> None:
    _check_there(given, path)
    value, stamp, step = given.value, given.timestamp or 0, given.step
    if not 0 <= stamp < _LONG:
        raise bad_value(
            f"{path}timestamp",
            stamp,
            f"metric '{given.key}' (value={value}). Timestamp must be a nonnegative long (64-bit integer) ",
        )
    if not -_LONG <= step < _LONG:
        raise bad_value(
            f"{path}step",
            step,
            f"metric '{given.key}' (value={value}). Step must be a valid long (64-bit integer).",
        )


def _log_metric(call: Call, asked: LogMetric) -> None:
    run_id = asked.run_id or asked.run_uuid
    check_run_write(call.store, call.principal, run_id)
    _check_dataset(asked)
    _check_point(asked)
    call.store.log_metrics(run_id, [asked])  # type: ignore[list-item]  # value and timestamp are there: just checked
    if asked.model_id:
        _log_model_metrics(call, run_id, [asked])


def _log_param(call: Call, asked: LogParam) -> None:
    run_id = asked.run_id or asked.run_uuid
    check_run_write(call.store, call.principal, run_id)
    call.store.log_param(run_id, asked.key, asked.value)


def _set_tag(call: Call, asked: SetTag) -> None:
    run_id = asked.run_id or asked.run_uuid
    check_run_write(call.store, call.principal, run_id)
    call.store.set_tags(run_id, {asked.key: asked.value})


def _delete_tag(call: Call, asked: SetTag) -> None:
    run_id = asked.run_id or asked.run_uuid
    check_run_write(call.store, call.principal, run_id)
    call.store.delete_tag(run_id, asked.key)


def _log_batch(call: Call, asked: LogBatch) -> None:
    try:
        _log_checked_batch(call, asked)
    except (UsageError, NotFound):
        _complain(asked)
        raise


def _log_checked_batch(call: Call, asked: LogBatch) -> None:
    check_run_id(asked.run_id)
    for index, point in enumerate(asked.metrics):
        # The path is spelled only for a point that may be wrong.
        if not point.key or point.value is None or not point.timestamp or not 0 < point.timestamp < _LONG:
            _check_point(point, f"metrics[{index}].")
        if not -_LONG <= point.step < _LONG:
            _check_point(point, f"metrics[{index}].")
        _check_dataset(point)
    _check_keys(asked)
    check_batch(asked.metrics, asked.params, asked.tags)
    check_unique(param.key for param in asked.params)
    check_run_write(call.store, call.principal, asked.run_id)
    call.store.log_batch(
        asked.run_id,
        metrics=asked.metrics,  # type: ignore[arg-type]  # values and timestamps are there: just checked
        params=[(each.key, each.value) for each in asked.params],
        tags=[(each.key, each.value) for each in asked.tags],
    )
    of_models = [point for point in asked.metrics if point.model_id]
    if of_models:
        _log_model_metrics(call, asked.run_id, of_models)


def _check_keys(asked: LogBatch) -> None:
    for what, items in (("params", asked.params), ("tags", asked.tags)):
        for index, each in enumerate(items):
            if not each.key:
                raise UsageError(f"Missing value for required parameter '{what}[{index}].key'.{_SEE_DOCS}")


def _complain(asked: LogBatch) -> None:
    """Of all that is wrong with a batch, say what MLflow says first."""
    for index, point in enumerate(asked.metrics):
        _check_there(point, f"metrics[{index}].")
    _check_keys(asked)
    for point in asked.metrics:
        _check_dataset(point)
    check_run_id(asked.run_id)
    for index, point in enumerate(asked.metrics):
        check_metric_name(point.key, f"metrics[{index}].name")
        _check_point(point, f"metrics[{index}].")
    for index, each in enumerate(asked.params):
        checked_param(each.key, each.value, f"params[{index}]")
    for index, each in enumerate(asked.tags):
        checked_tag(each.key, each.value, f"tags[{index}]")


def _log_model_metrics(call: Call, run_id: str, points: Sequence[LogMetric | BatchMetric]) -> None:
    """Keep the same points with the logged models that they were measured on."""
    models = LoggedModelStore(call.tx)
    measured: dict[str, list[ModelMetric]] = {point.model_id: [] for point in points}
    for model_id in measured:
        if models.find(model_id) is None:
            raise unknown_measured(model_id)
    for point in points:
        measured[point.model_id].append(
            ModelMetric(
                key=point.key,
                value=clamped(point.value or 0.0),
                timestamp=point.timestamp or 0,
                step=point.step,
                run_id=run_id,
                dataset_name=point.dataset_name,
                dataset_digest=point.dataset_digest,
            )
        )
    for model_id, own in measured.items():
        models.log_metrics(model_id, own)


def _log_inputs(call: Call, asked: LogInputs) -> None:
    check_run_id(asked.run_id)
    check_run_write(call.store, call.principal, asked.run_id)
    if len(asked.datasets) > _MOST_DATASETS:
        raise UsageError(
            f"A log-inputs request can contain at most {_MOST_DATASETS} datasets. Got {len(asked.datasets)} datasets."
        )
    call.store.log_inputs(
        asked.run_id,
        [_dataset(each, index) for index, each in enumerate(asked.datasets)],
        [ModelLink(model_id=each.model_id, step=each.step) for each in asked.models],
    )


def _dataset(given: PlainInput, index: int) -> DatasetInput:
    plain = given.dataset
    if plain is None:
        raise UsageError(f"Missing value for required parameter 'datasets[{index}].dataset'.{_SEE_DOCS}")
    if not plain.name:
        raise UsageError(f"Missing value for required parameter 'datasets[{index}].dataset.name'.{_SEE_DOCS}")
    return DatasetInput(
        dataset=Dataset(
            name=plain.name,
            digest=plain.digest,
            source_type=plain.source_type,
            source=plain.source,
            schema=plain.schema,
            profile=plain.profile,
        ),
        tags=tuple(Tag(key=tag.key, value=tag.value) for tag in given.tags),
    )


def _log_outputs(call: Call, asked: LogOutputs) -> None:
    check_run_write(call.store, call.principal, asked.run_id)
    call.store.log_outputs(
        asked.run_id, [ModelLink(model_id=each.model_id, step=each.step) for each in asked.models or ()]
    )


def _log_model(call: Call, asked: LogModel) -> None:
    check_run_write(call.store, call.principal, asked.run_id)
    try:
        model = msgspec.json.decode(asked.model_json)
    except msgspec.DecodeError:
        raise UsageError(f"Malformed model info. \n {asked.model_json[:300]} \n is not a valid JSON.") from None
    missing = {"artifact_path", "flavors", "utc_time_created", "run_id"} - set(model if isinstance(model, dict) else ())
    if missing:
        raise UsageError(f"Model json is missing mandatory fields: {missing}")
    told = {name: model.get(name) for name in ("run_id", "artifact_path", "utc_time_created", "model_uuid")}
    flavors = model["flavors"] if isinstance(model["flavors"], dict) else {}
    told["flavors"] = {name: _without_config(value) for name, value in flavors.items()}
    call.store.log_model(asked.run_id, told)


def _without_config(flavor: Any) -> Any:
    return {name: value for name, value in flavor.items() if name != "config"} if isinstance(flavor, dict) else flavor


def _route(path: str, message: type[Message], answer: Any, required: tuple[str, ...], **more: Any) -> Route:
    return Route(
        method="POST",
        path=f"runs/{path}",
        access=Access.WRITE,
        message=message,
        answer=answer,
        required=required,
        is_write=True,
        **more,
    )


ROUTES = (
    _route("log-metric", LogMetric, _log_metric, ("run_id", "key", "value", "timestamp")),
    _route("log-parameter", LogParam, _log_param, ("run_id", "key")),
    _route("set-tag", SetTag, _set_tag, ("run_id", "key")),
    _route("delete-tag", SetTag, _delete_tag, ("run_id", "key")),
    _route("log-batch", LogBatch, _log_batch, ("run_id",), max_bytes=MAX_BATCH_BYTES),
    _route("log-inputs", LogInputs, _log_inputs, ("run_id",), max_bytes=40_000_000),
    _route("outputs", LogOutputs, _log_outputs, ("run_id", "models")),
    _route("log-model", LogModel, _log_model, ("run_id", "model_json")),
)
