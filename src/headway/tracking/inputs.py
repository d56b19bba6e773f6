"""Datasets that runs read, and logged models that they read or made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headway.tracking.limits import (
    MAX_DATASET_DIGEST,
    MAX_DATASET_NAME,
    MAX_DATASET_PROFILE,
    MAX_DATASET_SCHEMA,
    MAX_DATASET_SOURCE,
    MAX_INPUT_TAG_KEY,
    MAX_INPUT_TAG_VALUE,
    check_length,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.tracking.link import Link
    from headway.tracking.log import RunRow
    from headway.tracking.model import Dataset, DatasetInput, ModelLink


def write_datasets(link: Link, run: RunRow, inputs: Sequence[DatasetInput]) -> None:
    """Note the datasets that a run read; one of equal name and digest is kept once per experiment."""
    done: set[tuple[str, str]] = set()
    for each in inputs:
        _check(each)
        name, digest = each.dataset.name, each.dataset.digest
        if (name, digest) in done:
            continue
        done.add((name, digest))
        dataset = _dataset_id(link, run.exp, each.dataset)
        tags = msgspec.json.encode({tag.key: tag.value for tag in each.tags}).decode()
        link.run(
            "insert into run_input (run, dataset, tags) values (?, ?, ?) on conflict do nothing",
            (run.id, dataset, tags),
        )


def _dataset_id(link: Link, exp: int, dataset: Dataset) -> int:
    link.run(
        "insert into dataset (exp, name, digest, source_type, source, schema, profile) values (?, ?, ?, ?, ?, ?, ?) "
        "on conflict do nothing",
        (exp, dataset.name, dataset.digest, dataset.source_type, dataset.source, dataset.schema, dataset.profile),
    )
    row = link.one(
        "select id from dataset where exp = ? and name = ? and digest = ?", (exp, dataset.name, dataset.digest)
    )
    return 0 if row is None else int(row[0])


def write_models(link: Link, run: RunRow, models: Sequence[ModelLink], *, direction: str) -> None:
    """Note the logged models that a run read (`input`) or made (`output`)."""
    link.many(
        "insert into run_model (run, model_id, direction, step) values (?, ?, ?, ?) "
        "on conflict (run, model_id, direction) do update set step = excluded.step",
        [(run.id, check_length(each.model_id, "model_id", 64), direction, each.step) for each in models],
    )


def _check(each: DatasetInput) -> None:
    limits = (
        (each.dataset.name, "name", MAX_DATASET_NAME),
        (each.dataset.digest, "digest", MAX_DATASET_DIGEST),
        (each.dataset.source_type, "source_type", MAX_DATASET_DIGEST),
        (each.dataset.source, "source", MAX_DATASET_SOURCE),
        (each.dataset.schema or "", "schema", MAX_DATASET_SCHEMA),
        (each.dataset.profile or "", "profile", MAX_DATASET_PROFILE),
    )
    for value, name, limit in limits:
        check_length(value, name, limit)
    for tag in each.tags:
        check_length(tag.key, "key", MAX_INPUT_TAG_KEY)
        check_length(tag.value, "value", MAX_INPUT_TAG_VALUE)
