"""Logged models: what runs make with `log_model`, before anybody registers it."""

from __future__ import annotations

import json
import math
import secrets
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import delete, insert, select, update

from headway.clock import Clock, SystemClock, to_millis
from headway.db import events, schema
from headway.errors import NotFound, UsageError
from headway.registry.model import LoggedModel, ModelMetric, ModelStatus
from headway.tracking.experiments import ExperimentStore
from headway.tracking.limits import check_length, check_name
from headway.tracking.link import Link
from headway.tracking.location import below
from headway.tracking.model import KeyKind
from headway.tracking.names import random_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Connection, Row, Select

MAX_VALUE = 100_000
MAX_TAG = 100_000
VERSIONS_TAG = "mlflow.modelVersions"
_BAD = ("/", ":", ".", "%", '"', "'")

_model = schema.logged_model
_metric = schema.logged_metric
_text = schema.logged_text
_version = schema.model_version

type_of_texts = dict[tuple[str, int], dict[str, str]]


# One statement of the driver's own for all points of a request: with two of SQLAlchemy's each, a thousand took seconds.
_KEEP_POINT = (
    "insert into logged_metric (model_id, key, run_id, dataset_name, dataset_digest, ts, step, value, nan) "
    "values (?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "on conflict (model_id, key, run_id, dataset_name, dataset_digest, ts, step) "
    "do update set value = excluded.value, nan = excluded.nan"
)


class UnknownModel(UsageError):
    """A point names a logged model that nobody made; its run may be told without it."""


class LoggedModelStore:
    """Logged models, within the caller's transaction."""

    def __init__(self, tx: Connection, clock: Clock | None = None) -> None:
        """Speak through one connection."""
        self.tx = tx
        self.clock = clock or SystemClock()

    def create(
        self,
        experiment_id: str,
        *,
        name: str = "",
        model_type: str = "",
        source_run_id: str = "",
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        actor: str = "",
    ) -> LoggedModel:
        """Make a pending model of an active experiment; its folder lies beside the experiment's runs."""
        experiment = ExperimentStore(self.tx).get(experiment_id)
        if experiment.stage != "active":
            raise UsageError(
                f"The experiment {experiment.id} must be in the 'active' state. Current state is {experiment.stage}.",
            )
        _check_name(name)
        model_id = f"m-{secrets.token_hex(16)}"
        now = self.clock.now()
        self.tx.execute(
            insert(_model).values(
                id=model_id,
                exp=int(experiment.id),
                name=name or random_name(),
                artifact_uri=below(experiment.artifact_location, f"models/{model_id}/artifacts"),
                model_type=check_length(model_type, "model_type", 500),
                source_run_id=check_length(source_run_id, "source_run_id", 32),
                status=str(ModelStatus.PENDING),
                creation_time=to_millis(now),
                last_update_time=to_millis(now),
            ),
        )
        self._put(model_id, KeyKind.PARAM, _checked(params or {}, MAX_VALUE))
        self._put(model_id, KeyKind.TAG, _checked(tags or {}, MAX_TAG))
        events.record(
            self.tx, "logged_model", model_id, to_state=str(ModelStatus.PENDING), at=now, actor=actor or "unknown"
        )
        return self.get(model_id)

    def get(self, model_id: str, *, allow_deleted: bool = False, with_points: bool = False) -> LoggedModel:
        """Return a model; a deleted one, and the points that were measured on it, only when asked for."""
        found = self.find(model_id, with_points=with_points)
        if found is None or (found.stage == "deleted" and not allow_deleted):
            raise _unknown(model_id)
        return found

    def find(self, model_id: str, *, with_points: bool = False) -> LoggedModel | None:
        """Return a model, deleted or not, or None."""
        query = select(_model).where(_model.c.id == model_id, _model.c.stage != "purging")
        found = self.read(query, with_points=with_points)
        return found[0] if found else None

    def of_run(self, run_id: str) -> tuple[LoggedModel, ...]:
        """Return the models that a run made and uploaded whole, newest first; deleted ones do not count."""
        is_whole = (_model.c.stage == "active", _model.c.status == str(ModelStatus.READY))
        mine = select(_model).where(_model.c.source_run_id == run_id, *is_whole)
        return self.read(mine.order_by(_model.c.creation_time.desc(), _model.c.id)) if run_id else ()

    def finish(self, model_id: str, status: ModelStatus, *, actor: str = "") -> LoggedModel:
        """Say whether the upload came to its end."""
        before = self.get(model_id, allow_deleted=True)
        self._change(model_id, status=str(status))
        events.record(
            self.tx,
            "logged_model",
            model_id,
            from_state=str(before.status),
            to_state=str(status),
            at=self.clock.now(),
            actor=actor or "unknown",
        )
        return self.get(model_id, allow_deleted=True, with_points=True)

    def delete(self, model_id: str, *, actor: str = "") -> None:
        """Put a model into the trash; safe to repeat."""
        if self.get(model_id, allow_deleted=True).stage == "deleted":
            return
        now = self.clock.now()
        self._change(model_id, stage="deleted", deleted_time=to_millis(now), deleted_by=actor[:128])
        events.record(self.tx, "logged_model", model_id, to_state="deleted", at=now, actor=actor or "unknown")

    def log_params(self, model_id: str, params: Mapping[str, str]) -> None:
        """Add parameters."""
        self.get(model_id, allow_deleted=True)
        self._put(model_id, KeyKind.PARAM, _checked(params, MAX_VALUE))
        self._change(model_id)

    def set_tags(self, model_id: str, tags: Mapping[str, str]) -> None:
        """Write tags; the last writer wins."""
        self.get(model_id, allow_deleted=True)
        self._put(model_id, KeyKind.TAG, _checked(tags, MAX_TAG))
        self._change(model_id)

    def note_version(self, model_id: str, name: str, number: int) -> None:
        """Add a registered version to the tag in which MLflow's client looks for them."""
        before = self.get(model_id).tags.get(VERSIONS_TAG, "[]")
        try:
            listed = msgspec.json.decode(before, type=list[dict[str, str | int]])
        except msgspec.DecodeError:  # a client wrote something else there
            listed = []
        told = json.dumps([*listed, {"name": name, "version": number}])
        if len(told) <= MAX_TAG:
            self.set_tags(model_id, {VERSIONS_TAG: told})

    def delete_tag(self, model_id: str, key: str) -> None:
        """Remove a tag; absent is `NotFound`."""
        self.get(model_id, allow_deleted=True)
        here = (_text.c.model_id == model_id, _text.c.kind == int(KeyKind.TAG), _text.c.key == key)
        if not self.tx.execute(delete(_text).where(*here)).rowcount:
            raise NotFound(f"No tag with key {key!r} found for model with ID {model_id!r}.")
        self._change(model_id)

    def log_metrics(self, model_id: str, points: Sequence[ModelMetric]) -> None:
        """Keep points that were measured on a model; the same again are fine, an unknown model is `NotFound`."""
        if self.tx.execute(select(_model.c.stage).where(_model.c.id == model_id)).scalar() != "active":
            raise _unknown(model_id)
        Link(self.tx).many(_KEEP_POINT, [_point_row(model_id, each) for each in points])

    def read(self, query: Select[Any], *, with_points: bool = False) -> tuple[LoggedModel, ...]:
        """Return the models that a `select(logged_model)` finds, in its order; thousands of points may be on one."""
        rows = self.tx.execute(query).all()
        ids = [row.id for row in rows]
        metrics, versions, texts = self._metrics(ids if with_points else ()), self._registrations(ids), self._texts(ids)
        return tuple(_record(row, texts, metrics=metrics[row.id], versions=versions[row.id]) for row in rows)

    def _put(self, model_id: str, kind: KeyKind, pairs: Mapping[str, str]) -> None:
        here = (_text.c.model_id == model_id, _text.c.kind == int(kind))
        self.tx.execute(delete(_text).where(*here, _text.c.key.in_(list(pairs))))
        rows = [{"model_id": model_id, "kind": int(kind), "key": key, "value": pairs[key]} for key in pairs]
        if rows:
            self.tx.execute(insert(_text), rows)

    def _texts(self, ids: Sequence[str]) -> type_of_texts:
        found: type_of_texts = defaultdict(dict)
        for start in range(0, len(ids), 500):
            some = select(_text).where(_text.c.model_id.in_(ids[start : start + 500]))
            for row in self.tx.execute(some.order_by(_text.c.key)):
                found[row.model_id, row.kind][row.key] = row.value
        return found

    def _metrics(self, ids: Sequence[str]) -> dict[str, list[ModelMetric]]:
        found: dict[str, list[ModelMetric]] = defaultdict(list)
        for start in range(0, len(ids), 500):
            some = select(_metric).where(_metric.c.model_id.in_(ids[start : start + 500]))
            for row in self.tx.execute(some.order_by(_metric.c.key, _metric.c.ts, _metric.c.step)):
                found[row.model_id].append(
                    ModelMetric(
                        key=row.key,
                        value=math.nan if row.nan else row.value,
                        timestamp=row.ts,
                        step=row.step,
                        run_id=row.run_id,
                        dataset_name=row.dataset_name,
                        dataset_digest=row.dataset_digest,
                    ),
                )
        return found

    def _registrations(self, ids: Sequence[str]) -> dict[str, list[tuple[str, int]]]:
        found: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for start in range(0, len(ids), 500):
            wanted = select(_version.c.model_id, _version.c.model, _version.c.number)
            some = wanted.where(_version.c.model_id.in_(ids[start : start + 500]))
            for row in self.tx.execute(some.order_by(_version.c.model, _version.c.number)):
                found[row.model_id].append((row.model, row.number))
        return found

    def _change(self, model_id: str, **values: Any) -> None:
        now = to_millis(self.clock.now())
        self.tx.execute(update(_model).where(_model.c.id == model_id).values(last_update_time=now, **values))


def _point_row(model_id: str, point: ModelMetric) -> tuple[Any, ...]:
    is_nan = math.isnan(point.value)
    whose = (model_id, point.key, point.run_id, point.dataset_name, point.dataset_digest)
    return (*whose, point.timestamp, point.step, 0.0 if is_nan else point.value, is_nan)


def _record(
    row: Row[Any], texts: type_of_texts, *, metrics: Iterable[ModelMetric], versions: Iterable[tuple[str, int]]
) -> LoggedModel:
    return LoggedModel(
        id=row.id,
        experiment_id=str(row.exp),
        name=row.name,
        artifact_uri=row.artifact_uri,
        model_type=row.model_type,
        source_run_id=row.source_run_id,
        status=ModelStatus(row.status),
        status_message=row.status_message,
        stage=row.stage,
        creation_time=row.creation_time,
        last_update_time=row.last_update_time,
        params=texts[row.id, int(KeyKind.PARAM)],
        tags=texts[row.id, int(KeyKind.TAG)],
        metrics=tuple(metrics),
        registrations=tuple(versions),
    )


def _unknown(model_id: str) -> NotFound:
    return NotFound(f"Logged model with ID '{model_id[:100]}' not found.")


def unknown_measured(model_id: str) -> UsageError:
    """Say that a point was measured on a logged model that is not there, or not for this caller."""
    return UnknownModel(f"No logged model with ID '{model_id[:100]}' to log the metric to.")


def _check_name(name: str) -> None:
    if any(each in name for each in _BAD):
        raise UsageError(
            f"Invalid model name ({name[:300]!r}) provided. Model name must be a non-empty string "
            f"and cannot contain the following characters: {_BAD}",
        )
    check_length(name, "name", 500)


def _checked(pairs: Mapping[str, str], limit: int) -> dict[str, str]:
    for key, value in pairs.items():
        check_name(key, "key")
        check_length(key, "key", 250)
        check_length(value, "value", limit)
    return dict(pairs)
