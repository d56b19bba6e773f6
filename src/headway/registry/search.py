"""Searching models, versions and logged models: tracking's search language, made into SQL with bound values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select

from headway.db import schema
from headway.errors import UsageError
from headway.registry.logged import LoggedModelStore
from headway.registry.model import PROMPT_TAG, LoggedModel, ModelVersion, RegisteredModel
from headway.registry.rows import read_models, read_versions
from headway.tracking.model import KeyKind
from headway.tracking.search import ATTRIBUTE, METRIC, PARAM, TAG, Clause, Grammar, Order

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, FromClause, Select

_TAGS = {"tag": TAG, "tags": TAG}
_ATTRIBUTES = {"attribute": ATTRIBUTE, "attributes": ATTRIBUTE, "attr": ATTRIBUTE}

MODELS = Grammar(
    entities={**_ATTRIBUTES, **_TAGS},
    attributes=frozenset({"name"}),
    numeric=frozenset(),
    lists=frozenset({"name"}),
    order_attributes=frozenset({"name", "last_updated_timestamp"}),
    aliases={"timestamp": "last_updated_timestamp"},
)
VERSIONS = Grammar(
    entities={**_ATTRIBUTES, **_TAGS},
    attributes=frozenset({"name", "version_number", "run_id", "source_path"}),
    numeric=frozenset({"version_number"}),
    lists=frozenset({"name", "run_id"}),
    order_attributes=frozenset({"name", "version_number", "creation_timestamp", "last_updated_timestamp"}),
)
_LOGGED_COLUMNS = {
    "name": schema.logged_model.c.name,
    "model_id": schema.logged_model.c.id,
    "model_type": schema.logged_model.c.model_type,
    "status": schema.logged_model.c.status,
    "source_run_id": schema.logged_model.c.source_run_id,
    "creation_timestamp": schema.logged_model.c.creation_time,
    "last_updated_timestamp": schema.logged_model.c.last_update_time,
}
LOGGED = Grammar(
    entities={
        **_ATTRIBUTES,
        **_TAGS,
        **dict.fromkeys(("metric", "metrics"), METRIC),
        **dict.fromkeys(("param", "params"), PARAM),
    },
    attributes=frozenset(_LOGGED_COLUMNS),
    numeric=frozenset({"creation_timestamp", "last_updated_timestamp"}),
    lists=frozenset(_LOGGED_COLUMNS) - {"creation_timestamp", "last_updated_timestamp"},
    order_attributes=frozenset(_LOGGED_COLUMNS),
    aliases={
        "creation_time": "creation_timestamp",
        "creation_timestamp_ms": "creation_timestamp",
        "last_updated_timestamp_ms": "last_updated_timestamp",
    },
)

_model = schema.registered_model
_version = schema.model_version
_tag = schema.registry_tag
_logged = schema.logged_model
_metric = schema.logged_metric
_text = schema.logged_text


def _unused(pattern: str) -> str:
    """Return an escape character that escapes nothing: PostgreSQL has the backslash unless it is told of another."""
    return next(letter for letter in map(chr, range(1, 10_000)) if letter not in pattern)


_OPERATORS: dict[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "=": lambda column, value: column == value,
    "!=": lambda column, value: column != value,
    ">": lambda column, value: column > value,
    ">=": lambda column, value: column >= value,
    "<": lambda column, value: column < value,
    "<=": lambda column, value: column <= value,
    "LIKE": lambda column, value: column.like(value, escape=_unused(value)),
    "ILIKE": lambda column, value: column.ilike(value, escape=_unused(value)),
    "IN": lambda column, value: column.in_(value),
    "NOT IN": lambda column, value: column.not_in(value),
}


def search_models(
    tx: Connection,
    clauses: Sequence[Clause],
    orders: Sequence[Order],
    *,
    limit: int,
    offset: int = 0,
    seen: Sequence[ColumnElement[bool]] = (),
) -> tuple[RegisteredModel, ...]:
    """Return registered models; prompts only when the filter asks for them. `seen` are conditions on the models."""
    columns = {"name": _model.c.name, "last_updated_timestamp": _model.c.updated_at}
    wanted, rest = _wants_prompts(clauses)
    query = select(_model).where(_is_prompt(_model.c.name, 0, wanted=wanted), *seen)
    for clause in rest:
        query = query.where(_registry_condition(clause, columns, _model.c.name, number=0))
    ordered = _ordered(query, orders, columns, ties=[_model.c.name.asc()])
    return read_models(tx, ordered.limit(limit).offset(offset))


def search_versions(
    tx: Connection,
    clauses: Sequence[Clause],
    orders: Sequence[Order],
    *,
    limit: int,
    offset: int = 0,
    seen: Sequence[ColumnElement[bool]] = (),
) -> tuple[ModelVersion, ...]:
    """Return versions; those of prompts only when the filter asks for them. Newest change first by default."""
    columns: dict[str, Any] = {
        "name": _version.c.model,
        "version_number": _version.c.number,
        "run_id": _version.c.run_id,
        "source_path": _version.c.source_uri,
        "creation_timestamp": _version.c.created_at,
        "last_updated_timestamp": _version.c.updated_at,
    }
    wanted, rest = _wants_prompts(clauses)
    query = select(_version).where(_is_prompt(_version.c.model, 0, _version.c.number, wanted=wanted))
    if seen:
        query = query.where(_version.c.model.in_(select(_model.c.name).where(*seen)))
    for clause in rest:
        query = query.where(_registry_condition(clause, columns, _version.c.model, number=_version.c.number))
    default = [_version.c.updated_at.desc(), _version.c.model.asc(), _version.c.number.desc()]
    ties = [_version.c.model.asc(), _version.c.number.desc()] if orders else default
    return read_versions(tx, _ordered(query, orders, columns, ties=ties).limit(limit).offset(offset))


def search_logged(
    tx: Connection,
    experiment_ids: Sequence[int],
    clauses: Sequence[Clause],
    orders: Sequence[tuple[Order, str, str]],
    *,
    datasets: Sequence[tuple[str, str]] = (),
    limit: int,
    offset: int = 0,
) -> tuple[LoggedModel, ...]:
    """Return active logged models of some experiments, newest first by default.

    `datasets` (name, digest or "") narrows which metrics a filter looks at; an order by a metric may name one, too.
    """
    query = select(_logged).where(_logged.c.exp.in_(experiment_ids), _logged.c.stage == "active")
    measured = [_of_dataset(name, digest) for name, digest in datasets]
    for clause in clauses:
        query = query.where(_logged_condition(clause, measured))
    if measured and not any(clause.entity == METRIC for clause in clauses):
        query = query.where(exists().where(_metric.c.model_id == _logged.c.id, or_(*measured)))
    for order, dataset, digest in orders:
        query = _by_metric(query, order, dataset, digest) if order.entity == METRIC else _by_attribute(query, order)
    query = query.order_by(_logged.c.creation_time.desc(), _logged.c.id.asc())
    return LoggedModelStore(tx).read(query.limit(limit).offset(offset), with_points=True)


def _wants_prompts(clauses: Sequence[Clause]) -> tuple[bool, list[Clause]]:
    """Return whether prompts are asked for, and the other clauses."""
    about = [each for each in clauses if each.entity == TAG and each.key == PROMPT_TAG]
    rest = [each for each in clauses if each not in about]
    wanted = any((each.op, str(each.value).lower()) in {("=", "true"), ("!=", "false")} for each in about)
    return wanted, rest


def _is_prompt(name: ColumnElement[Any], *numbers: Any, wanted: bool) -> ColumnElement[bool]:
    # By number, which the index has: else each version asks for the tags of all others.
    here = (_tag.c.model == name, _tag.c.number.in_(numbers), _tag.c.key == PROMPT_TAG)
    marked = exists().where(*here, _tag.c.value == "true")
    return marked if wanted else ~marked


def _registry_condition(
    clause: Clause, columns: dict[str, Any], model: ColumnElement[Any], *, number: Any
) -> ColumnElement[bool]:
    if clause.entity == ATTRIBUTE:
        return _OPERATORS[clause.op](columns[clause.key], clause.value)
    here = (_tag.c.model == model, _tag.c.number == number, _tag.c.key == clause.key)
    return _text_condition(clause, _tag.c.value, here)


def _text_condition(
    clause: Clause, value: ColumnElement[Any], here: tuple[ColumnElement[bool], ...]
) -> ColumnElement[bool]:
    if clause.op == "IS NULL":
        return ~exists().where(*here)
    if clause.op == "IS NOT NULL":
        return exists().where(*here)
    return exists().where(*here, _OPERATORS[clause.op](value, clause.value))


def _logged_condition(clause: Clause, measured: Sequence[ColumnElement[bool]]) -> ColumnElement[bool]:
    if clause.entity == ATTRIBUTE:
        return _OPERATORS[clause.op](_LOGGED_COLUMNS[clause.key], clause.value)
    if clause.entity == METRIC:
        value = _OPERATORS[clause.op](_metric.c.value, clause.value)
        here = and_(_metric.c.model_id == _logged.c.id, _metric.c.key == clause.key, ~_metric.c.nan, value)
        return exists().where(here, or_(*measured)) if measured else exists().where(here)
    kind = KeyKind.PARAM if clause.entity == PARAM else KeyKind.TAG
    texts = (_text.c.model_id == _logged.c.id, _text.c.kind == int(kind), _text.c.key == clause.key)
    return _text_condition(clause, _text.c.value, texts)


def _of_dataset(name: str, digest: str) -> ColumnElement[bool]:
    named = _metric.c.dataset_name == name
    return and_(named, _metric.c.dataset_digest == digest) if digest else named


def _by_attribute(query: Select[Any], order: Order) -> Select[Any]:
    column = _LOGGED_COLUMNS[order.key]
    return query.order_by(column.asc() if order.is_ascending else column.desc())


def _by_metric(query: Select[Any], order: Order, dataset: str, digest: str) -> Select[Any]:
    """Order by the latest value of a metric: numbers, then NaN, then models without it, in both directions."""
    newest = func.row_number().over(
        partition_by=_metric.c.model_id, order_by=(_metric.c.ts.desc(), _metric.c.step.desc(), _metric.c.run_id)
    )
    ranked = select(_metric.c.model_id, _metric.c.value, _metric.c.nan, newest.label("rank")).where(
        _metric.c.key == order.key
    )
    if dataset:
        ranked = ranked.where(_of_dataset(dataset, digest))
    elif digest:
        ranked = ranked.where(_metric.c.dataset_digest == digest)
    latest: FromClause = ranked.subquery()
    query = query.outerjoin(latest, and_(latest.c.model_id == _logged.c.id, latest.c.rank == 1))
    absent = case((latest.c.value.is_(None), 2), (latest.c.nan, 1), else_=0)
    return query.order_by(absent, latest.c.value.asc() if order.is_ascending else latest.c.value.desc())


def _ordered(
    query: Select[Any], orders: Sequence[Order], columns: dict[str, Any], *, ties: Sequence[ColumnElement[Any]]
) -> Select[Any]:
    for order in orders:
        if order.entity != ATTRIBUTE:
            raise UsageError(f"Invalid order by key '{order.key}' specified. Valid keys are {sorted(columns)}")
        column = columns[order.key]
        query = query.order_by(column.asc() if order.is_ascending else column.desc())
    return query.order_by(*ties)
