"""A run put together: as a record for Python, as ready JSON for the wire, and the cache of that JSON.

A document counts only while its version equals the run's, and only ended runs have one: whatever writes to an ended run
raises its version (tracking-store.md), so that a reader that stores an old document later does no harm.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from headway.tracking.location import artifact_uri
from headway.tracking.model import (
    Dataset,
    DatasetInput,
    KeyKind,
    Metric,
    ModelLink,
    Run,
    RunInfo,
    RunStatus,
    Tag,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.tracking.link import Link

_INFO = (
    "select r.id, r.version, r.uuid, r.exp, r.name, r.user_id, r.status, r.start_time, r.end_time, r.stage, r.job_id, "
    "e.artifact_location from run r join experiment e on e.id = r.exp where "
)


class InfoRow(NamedTuple):
    """Everything of a run but what it logged."""

    id: int
    version: int
    uuid: str
    exp: int
    name: str
    user_id: str
    status: str
    start_time: int
    end_time: int | None
    stage: str
    job_id: str | None
    location: str


@dataclass(slots=True)
class _Parts:
    metrics: list[tuple[str, float, bool, int, int]] = field(default_factory=list)
    params: list[tuple[str, str]] = field(default_factory=list)
    tags: list[tuple[str, str]] = field(default_factory=list)
    datasets: list[DatasetInput] = field(default_factory=list)
    models: list[tuple[str, str, int]] = field(default_factory=list)


class Document(NamedTuple):
    """Ready JSON of one run, and whether it may be kept."""

    run: int
    version: int
    doc: bytes
    is_fresh: bool  # just made, of an ended run: worth keeping


def find_info(link: Link, uuid: str) -> InfoRow | None:
    """Return what a run is, or None."""
    row = link.one(f"{_INFO} r.uuid = ? and r.stage <> 'purging'", (uuid,))
    return None if row is None else InfoRow(*row)


def infos(link: Link, ids: Sequence[int]) -> dict[int, InfoRow]:
    """Return what these runs are."""
    return {row[0]: InfoRow(*row) for row in link.each(f"{_INFO} r.id in (??)", ids)}


def documents(link: Link, ids: Sequence[int]) -> list[Document]:
    """Return the documents of these runs, in this order; what no cache has is made here."""
    kept = {
        row[0]: Document(row[0], row[1], row[2], is_fresh=False)
        for row in link.each(
            "select d.run, d.version, d.doc from run_doc d join run r on r.id = d.run and r.version = d.version "
            "where d.run in (??)",
            ids,
        )
    }
    lacking = [id_ for id_ in ids if id_ not in kept]
    parts = _collect(link, lacking)
    for id_, info in infos(link, lacking).items():
        doc = msgspec.json.encode(_plain_run(info, parts[id_]))
        kept[id_] = Document(id_, info.version, doc, is_fresh=RunStatus(info.status).is_final)
    return [kept[id_] for id_ in ids if id_ in kept]


def keep_documents(link: Link, made: Sequence[Document]) -> None:
    """Cache documents whose runs have not moved since they were made."""
    link.many(
        "insert into run_doc (run, version, doc) select r.id, r.version, ? from run r "
        "where r.id = ? and r.version = ? and r.status not in ('RUNNING', 'SCHEDULED') "
        "on conflict (run) do update set version = excluded.version, doc = excluded.doc",
        [(each.doc, each.run, each.version) for each in made],
    )


def tagged_document(info: InfoRow, tags: Mapping[str, str]) -> bytes:
    """Return the document of a run that has nothing but tags."""
    plain = _plain_run(info, _Parts(tags=list(tags.items())))
    del plain["outputs"]  # as MLflow answers runs/create
    return msgspec.json.encode(plain)


def load_run(link: Link, info: InfoRow) -> Run:
    """Return a run with everything that it logged last."""
    return _run(info, _collect(link, [info.id])[info.id])


def load_runs(link: Link, ids: Sequence[int]) -> list[Run]:
    """Return these runs, in this order, in a handful of statements."""
    found, parts = infos(link, ids), _collect(link, ids)
    return [_run(found[id_], parts[id_]) for id_ in ids if id_ in found]


def _run(info: InfoRow, parts: _Parts) -> Run:
    return Run(
        info=run_info(info),
        metrics={
            name: Metric(name, float("nan") if nan else value, stamp, step)
            for name, value, nan, stamp, step in parts.metrics
        },
        params=dict(parts.params),
        tags=dict(parts.tags),
        datasets=tuple(parts.datasets),
        model_inputs=tuple(ModelLink(model_id=m, step=s) for m, way, s in parts.models if way == "input"),
        model_outputs=tuple(ModelLink(model_id=m, step=s) for m, way, s in parts.models if way == "output"),
    )


def run_info(info: InfoRow) -> RunInfo:
    """Return the record of what a run is."""
    return RunInfo(
        run_id=info.uuid,
        experiment_id=str(info.exp),
        name=info.name,
        user_id=info.user_id,
        status=RunStatus(info.status),
        start_time=info.start_time,
        end_time=info.end_time,
        stage=info.stage,
        artifact_uri=artifact_uri(info.location, info.uuid),
        job_id=info.job_id,
    )


def plain_info(info: InfoRow) -> dict[str, Any]:
    """Return what a run is, as the wire spells it."""
    found: dict[str, Any] = {
        "run_uuid": info.uuid,
        "experiment_id": str(info.exp),
        "run_name": info.name,
        "user_id": info.user_id,
        "status": info.status,
        "start_time": info.start_time,
        "artifact_uri": artifact_uri(info.location, info.uuid),
        "lifecycle_stage": info.stage,
        "run_id": info.uuid,
    }
    if info.end_time is not None:
        found["end_time"] = info.end_time
    return found


def _collect(link: Link, ids: Sequence[int]) -> dict[int, _Parts]:
    parts = {id_: _Parts() for id_ in ids}
    if not ids:
        return parts
    for run, *row in link.each(
        "select m.run, k.name, m.value, m.nan, m.ts, m.step "
        "from metric m join key k on k.id = m.key where m.run in (??)",
        ids,
    ):
        parts[run].metrics.append(tuple(row))
    for run, kind, name, value in link.each(
        "select t.run, k.kind, k.name, t.value from text t join key k on k.id = t.key where t.run in (??)",
        ids,
    ):
        (parts[run].params if kind == KeyKind.PARAM else parts[run].tags).append((name, value))
    for run, tags, *row in link.each(
        "select i.run, i.tags, d.name, d.digest, d.source_type, d.source, d.schema, d.profile "
        "from run_input i join dataset d on d.id = i.dataset where i.run in (??)",
        ids,
    ):
        parts[run].datasets.append(_dataset_input(tags, row))
    for run, *model in link.each(
        "select run, model_id, direction, step from run_model where run in (??) order by run, step, model_id", ids
    ):
        parts[run].models.append(tuple(model))
    return parts


def _dataset_input(tags: str, row: Sequence[Any]) -> DatasetInput:
    name, digest, source_type, source, schema, profile = row
    return DatasetInput(
        dataset=Dataset(
            name=name, digest=digest, source_type=source_type, source=source, schema=schema, profile=profile
        ),
        tags=tuple(Tag(key=key, value=value) for key, value in msgspec.json.decode(tags).items()),
    )


def _plain_run(info: InfoRow, parts: _Parts) -> dict[str, Any]:
    data: dict[str, Any] = {}
    if parts.metrics:
        data["metrics"] = [
            {"key": name, "value": "NaN" if nan else value, "timestamp": stamp, "step": step}
            for name, value, nan, stamp, step in parts.metrics
        ]
    if parts.params:
        data["params"] = [{"key": name, "value": value} for name, value in parts.params]
    if parts.tags:
        data["tags"] = [{"key": name, "value": value} for name, value in parts.tags]
    made = [{"model_id": model, "step": step} for model, way, step in parts.models if way == "output"]
    outputs = {"model_outputs": made} if made else {}
    return {"info": plain_info(info), "data": data, "inputs": _plain_inputs(parts), "outputs": outputs}


def _plain_inputs(parts: _Parts) -> dict[str, Any]:
    inputs: dict[str, Any] = {}
    if parts.datasets:
        inputs["dataset_inputs"] = [_plain_dataset(each) for each in parts.datasets]
    read = [{"model_id": model} for model, way, _ in parts.models if way == "input"]
    if read:
        inputs["model_inputs"] = read
    return inputs


def _plain_dataset(each: DatasetInput) -> dict[str, Any]:
    plain = {
        "name": each.dataset.name,
        "digest": each.dataset.digest,
        "source_type": each.dataset.source_type,
        "source": each.dataset.source,
    }
    if each.dataset.schema is not None:
        plain["schema"] = each.dataset.schema
    if each.dataset.profile is not None:
        plain["profile"] = each.dataset.profile
    return {"tags": [{"key": tag.key, "value": tag.value} for tag in each.tags], "dataset": plain}
