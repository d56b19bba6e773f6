"""Rows to records: models and versions with their tags and aliases, in a few queries whatever their number."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from sqlalchemy import and_, func, or_, select

from headway.db import schema
from headway.registry.model import STAGES, Lineage, ModelVersion, RegisteredModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection, Row, Select

T = TypeVar("T", str, tuple[str, int])
_AT_ONCE = 500  # names in one IN list

version = schema.model_version
model = schema.registered_model
tag = schema.registry_tag
alias = schema.model_alias


def read_versions(tx: Connection, query: Select[Any]) -> tuple[ModelVersion, ...]:
    """Return the versions that a `select(model_version)` finds, in its order."""
    rows = tx.execute(query).all()
    tags = _tags(tx, [(row.model, row.number) for row in rows])
    aliases = _aliases(tx, {row.model for row in rows})
    return tuple(_version(row, tags[row.model, row.number], aliases[row.model]) for row in rows)


def read_models(tx: Connection, query: Select[Any]) -> tuple[RegisteredModel, ...]:
    """Return the models that a `select(registered_model)` finds, in its order."""
    rows = tx.execute(query).all()
    names = {row.name for row in rows}
    tags, aliases = _tags(tx, [(name, 0) for name in names]), _aliases(tx, names)
    newest = newest_by_stage(tx, names)
    return tuple(
        RegisteredModel(
            name=row.name,
            description=row.description,
            tags=tags[row.name, 0],
            aliases=aliases[row.name],
            created_at=row.created_at,
            updated_at=row.updated_at,
            latest=tuple(newest[row.name]),
        )
        for row in rows
    )


def newest_by_stage(tx: Connection, names: Iterable[str]) -> dict[str, list[ModelVersion]]:
    """Return, for each model, the newest version of each stage that has one."""
    found: dict[str, list[ModelVersion]] = defaultdict(list)
    rank = func.row_number().over(partition_by=(version.c.model, version.c.stage), order_by=version.c.number.desc())
    for some in _batches(names):
        ranked = (
            select(version.c.model, version.c.number, rank.label("rank")).where(version.c.model.in_(some)).subquery()
        )
        newest = (
            select(version)
            .join(ranked, (ranked.c.model == version.c.model) & (ranked.c.number == version.c.number))
            .where(ranked.c.rank == 1)
        )
        for each in read_versions(tx, newest):
            found[each.model].append(each)
    for versions in found.values():
        versions.sort(key=lambda each: STAGES.index(each.stage))
    return found


def _version(row: Row[Any], tags: dict[str, str], aliases: dict[str, int]) -> ModelVersion:
    return ModelVersion(
        model=row.model,
        number=row.number,
        run_id=row.run_id,
        source=row.source,
        digest=row.digest,
        env_digest=row.env_digest,
        env_path=row.env_path,
        state=row.state,
        aliases=tuple(sorted(name for name, number in aliases.items() if number == row.number)),
        created_by=row.created_by,
        created_at=row.created_at,
        lineage=msgspec.convert(row.lineage, Lineage),
        source_uri=row.source_uri,
        description=row.description,
        stage=row.stage,
        status=row.status,
        run_link=row.run_link,
        model_id=row.model_id,
        tags=tags,
        updated_at=row.updated_at,
    )


def count_versions(tx: Connection, names: Iterable[str]) -> dict[str, int]:
    """Return how many versions each of these models has; none for one without any."""
    found: dict[str, int] = {}
    for some in _batches(names):
        query = select(version.c.model, func.count()).where(version.c.model.in_(some)).group_by(version.c.model)
        found.update((row[0], row[1]) for row in tx.execute(query))
    return found


def _tags(tx: Connection, whose: Iterable[tuple[str, int]]) -> dict[tuple[str, int], dict[str, str]]:
    """Return the tags of exactly these versions (of models: number 0); a model may have thousands of others."""
    found: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    for some in _batches(whose):
        numbers: dict[str, list[int]] = defaultdict(list)
        for name, number in some:
            numbers[name].append(number)
        # Each by the index; SQLite walks the whole table for pairs in a list.
        mine = or_(*(and_(tag.c.model == name, tag.c.number.in_(own)) for name, own in numbers.items()))
        for row in tx.execute(select(tag).where(mine).order_by(tag.c.key)):
            found[row.model, row.number][row.key] = row.value
    return found


def _aliases(tx: Connection, names: Iterable[str]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for some in _batches(names):
        for row in tx.execute(select(alias).where(alias.c.model.in_(some)).order_by(alias.c.alias)):
            found[row.model][row.alias] = row.number
    return found


def _batches(names: Iterable[T]) -> Iterator[Sequence[T]]:
    listed = sorted(names)
    for start in range(0, len(listed), _AT_ONCE):
        yield listed[start : start + _AT_ONCE]
