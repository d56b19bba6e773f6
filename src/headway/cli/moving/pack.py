"""From what a tracker said to what our server is sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from headway.cli.moving.source import Columns
from headway.errors import UsageError
from headway.tracking.model import NAME_TAG
from headway.tracking.moved import (
    MovedDataset,
    MovedLink,
    MovedLoggedModel,
    MovedMeasure,
    MovedModel,
    MovedRun,
    MovedVersion,
)
from headway.tracking.peer.model import PeerLoggedModel, PeerModel, PeerRun, PeerTag, PeerVersion

POINTS_AT_ONCE = 250_000  # 6 MB
BATCH_BYTES = 8 << 20
BATCH_RUNS = 250


def pairs(tags: Iterable[PeerTag]) -> dict[str, str]:
    """Return pairs as a mapping: the last of a key wins."""
    return {tag.key: tag.value for tag in tags}


def run_parts(run: PeerRun, histories: dict[str, Columns]) -> Iterator[MovedRun]:
    """Yield a run as messages: nearly always one, several where its histories are long."""
    plain = _bare_run(run)
    sent: dict[str, bytes] = {}
    room = POINTS_AT_ONCE
    for key, columns in histories.items():
        start = 0
        while start < len(columns):
            stop = min(len(columns), start + room)
            sent[key] = columns.packed(start, stop)
            room -= stop - start
            start = stop
            if not room:
                yield msgspec.structs.replace(plain, histories=sent)
                sent, room = {}, POINTS_AT_ONCE
    if sent or not any(map(len, histories.values())):
        yield msgspec.structs.replace(plain, histories=sent)


def _bare_run(run: PeerRun) -> MovedRun:
    info, tags = run.info, pairs(run.data.tags)
    name = info.run_name or tags.get(NAME_TAG, "")
    return MovedRun(
        run_id=run.run_id,
        name=name,
        user_id=info.user_id,
        status=info.status,
        start_time=info.start_time,
        end_time=info.end_time,
        stage=info.lifecycle_stage,
        params=pairs(run.data.params),
        tags=tags,
        datasets=tuple(
            MovedDataset(
                name=each.dataset.name,
                digest=each.dataset.digest,
                source_type=each.dataset.source_type,
                source=each.dataset.source,
                schema=each.dataset.schema,
                profile=each.dataset.profile,
                tags=pairs(each.tags),
            )
            for each in run.inputs.dataset_inputs
        ),
        model_inputs=tuple(MovedLink(model_id=each.model_id, step=each.step) for each in run.inputs.model_inputs),
        model_outputs=tuple(MovedLink(model_id=each.model_id, step=each.step) for each in run.outputs.model_outputs),
    )


def batches(parts: Iterable[MovedRun]) -> Iterator[tuple[MovedRun, ...]]:
    """Yield parts by the batch, each small enough to travel and to be one transaction."""
    batch: list[MovedRun] = []
    size = 0
    for part in parts:
        weight = _weight(part)
        if batch and (size + weight > BATCH_BYTES or len(batch) >= BATCH_RUNS):
            yield tuple(batch)
            batch, size = [], 0
        batch.append(part)
        size += weight
    if batch:
        yield tuple(batch)


def _weight(part: MovedRun) -> int:
    texts = sum(len(key) + 2 * len(value) for each in (part.params, part.tags) for key, value in each.items())
    datasets = sum(len(each.source) + len(each.schema or "") + len(each.profile or "") for each in part.datasets)
    return 300 + texts + 2 * datasets + sum(len(key) + len(data) for key, data in part.histories.items())


def logged_model(model: PeerLoggedModel, experiment_id: str) -> MovedLoggedModel:
    """Return a logged model for an experiment of ours."""
    info = model.info
    return MovedLoggedModel(
        model_id=info.model_id,
        experiment_id=experiment_id,
        name=info.name,
        model_type=info.model_type,
        source_run_id=info.source_run_id,
        status=str(info.status),
        status_message=info.status_message,
        stage=info.lifecycle_stage,
        creation_time=info.creation_timestamp_ms,
        last_update_time=info.last_updated_timestamp_ms or info.creation_timestamp_ms,
        params=pairs(model.data.params),
        tags=pairs(info.tags),
        metrics=tuple(
            MovedMeasure(
                key=each.key,
                value=each.value,
                timestamp=each.timestamp,
                step=each.step,
                run_id=each.run_id,
                dataset_name=each.dataset_name,
                dataset_digest=each.dataset_digest,
            )
            for each in model.data.metrics
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the artifacts of a run or a logged model lay, and where they lie here."""

    run_id: str
    model_id: str
    there: str
    here: str


class Places:
    """Every place that was taken over, to spell the sources of versions as they are here."""

    def __init__(self) -> None:
        """Know none yet."""
        self._runs: dict[str, Place] = {}
        self._models: dict[str, Place] = {}

    def add(self, place: Place) -> None:
        """Take one more."""
        if place.model_id:
            self._models[place.model_id] = place
        else:
            self._runs[place.run_id] = place

    def has(self, version: PeerVersion) -> bool:
        """Tell whether a version's run or logged model came along."""
        return version.run_id in self._runs or self._model_id(version) in self._models

    def moved(self, version: PeerVersion) -> MovedVersion:
        """Return a version whose source leads to where its files lie here.

        Raises:
            UsageError: its files belong to no run or logged model that came along.
        """
        model_id = self._model_id(version)
        place, source = self._placed(version, model_id)
        return MovedVersion(
            number=int(version.version),
            created_at=version.creation_timestamp,
            updated_at=version.last_updated_timestamp or version.creation_timestamp,
            user_id=version.user_id,
            stage=version.current_stage,
            description=version.description,
            source=source,
            run_id=version.run_id or place.run_id,
            run_link=version.run_link,
            status=version.status,
            model_id=model_id if model_id in self._models else "",
            tags=pairs(version.tags),
        )

    def _placed(self, version: PeerVersion, model_id: str) -> tuple[Place, str]:
        source = version.source
        if model_id in self._models and source == f"models:/{model_id}":
            return self._models[model_id], source
        own = self._runs.get(version.run_id)
        if own is not None and source.startswith(f"runs:/{version.run_id}/"):
            return own, source
        near = [each for each in (self._models.get(model_id), own) if each is not None]
        for place in (*near, *self._models.values(), *self._runs.values()):
            below = _below(source, place.there)
            if below is not None:
                return place, place.here + below
        raise UsageError(
            f"its files at {source[:200]} belong to no run or logged model that came along",
            hint="register it again from its run, or copy the files into the run first",
        )

    @staticmethod
    def _model_id(version: PeerVersion) -> str:
        if version.model_id:
            return version.model_id
        return version.source.removeprefix("models:/") if version.source.startswith("models:/m-") else ""


def _below(source: str, root: str) -> str | None:
    """Return the path of a source below an artifact root, spelled with or without a scheme; None when it is not."""
    for one, other in ((source, root), (_path(source), _path(root))):
        if other and (one == other or one.startswith(other.rstrip("/") + "/")):
            return one[len(other.rstrip("/")) :]
    return None


def _path(uri: str) -> str:
    parts = urlsplit(uri)
    return parts.path if parts.scheme in ("", "file") else ""


def registered_model(model: PeerModel, versions: Iterable[MovedVersion], project: str) -> MovedModel:
    """Return a registered model with the versions that come along."""
    kept = tuple(versions)
    numbers = {each.number for each in kept}
    aliases = {each.alias: int(each.version) for each in model.aliases if each.version.isdigit()}
    return MovedModel(
        name=model.name,
        project=project,
        created_at=model.creation_timestamp,
        updated_at=model.last_updated_timestamp or model.creation_timestamp,
        description=model.description,
        tags=pairs(model.tags),
        aliases={alias: number for alias, number in aliases.items() if number in numbers},
        versions=kept,
    )
