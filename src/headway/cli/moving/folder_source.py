"""An `mlruns` folder as the source: MLflow's old file store, YAML and one small file for each param, tag and metric."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from headway.cli.moving.local_files import LocalFiles
from headway.cli.moving.source import Columns, Histories
from headway.errors import HeadwayError, TooLarge, UsageError
from headway.tracking.peer import model as peer

T = TypeVar("T")
_PAGE = 200
_MOST_TEXT = 16 << 20  # of a file that is no history: MLflow's longest field is a data set's profile
_POINT = re.compile(r"-?[0-9]{1,19} (nan|[-+]?(inf|[0-9.]+(e[-+]?[0-9]{1,4})?))( -?[0-9]{1,19})?(\s|\Z)", re.IGNORECASE)
_META = "meta.yaml"
_TRASH = ".trash"
_RUN_STATUS = {"1": "RUNNING", "2": "SCHEDULED", "3": "FINISHED", "4": "FAILED", "5": "KILLED"}
_LOGGED_STATUS = {"1": "LOGGED_MODEL_PENDING", "2": "LOGGED_MODEL_READY", "3": "LOGGED_MODEL_UPLOAD_FAILED"}


class FolderSource:
    """Reads one file store; nothing in it is followed out of it."""

    def __init__(self, root: Path, artifacts: Path | None = None) -> None:
        """Take the folder; artifacts lie in it unless another one is named.

        Raises:
            UsageError: there are no experiments in it.
        """
        self._root = root.resolve()
        self.name = str(self._root)
        self.files = LocalFiles(artifacts or self._root)
        self._places = {each.name: each for each in self._experiment_folders()}
        if not self._places:
            raise UsageError(f"{root} has no experiments in it", hint="name the mlruns folder itself")

    def about(self) -> str:
        """Say what it is."""
        return f"MLflow file store {self.name}"

    def experiments(self) -> list[peer.PeerExperiment]:
        """Return every experiment, those in the trash too."""
        found = []
        for place in self._places.values():
            meta = {**_yaml(place / _META), "experiment_id": place.name, "tags": _pairs(place / "tags")}
            found.append(_record(peer.PeerExperiment, meta, place))
        return sorted(found, key=lambda each: (each.creation_time or 0, each.experiment_id))

    def run_pages(self, experiment: peer.PeerExperiment) -> Iterator[Sequence[peer.PeerRun]]:
        """Yield the runs, some at a time."""
        page: list[peer.PeerRun] = []
        for place in _folders(self._places[experiment.experiment_id]):
            if (place / _META).is_file() and place.name not in {"tags", "datasets", "models", "traces"}:
                page.append(self._run(place, experiment))
            if len(page) == _PAGE:
                yield page
                page = []
        if page:
            yield page

    def _run(self, place: Path, experiment: peer.PeerExperiment) -> peer.PeerRun:
        meta = _yaml(place / _META)
        names = {"run_id": place.name, "experiment_id": experiment.experiment_id, "tags": ()}
        status = meta.get("status")
        info = _record(peer.PeerRunInfo, {**meta, **names, "status": _RUN_STATUS.get(str(status), str(status))}, place)
        metrics = []
        for key, path in _named_files(place / "metrics"):
            points = list(_points(path))
            if points:
                stamp, step, value = max(points, key=lambda each: (each[1], each[0]))
                metrics.append(peer.PeerPoint(key=key, value=value, timestamp=stamp, step=step))
        return peer.PeerRun(
            info=info,
            data=peer.PeerRunData(metrics=tuple(metrics), params=_pairs(place / "params"), tags=_pairs(place / "tags")),
            inputs=peer.PeerInputs(
                dataset_inputs=tuple(self._datasets(place)), model_inputs=_links(place / "inputs", "RUN_INPUT")
            ),
            outputs=peer.PeerOutputs(model_outputs=_links(place / "outputs", "RUN_OUTPUT")),
        )

    def _datasets(self, place: Path) -> Iterator[peer.PeerDatasetInput]:
        for folder in _folders(place / "inputs"):
            meta = _yaml(folder / _META)
            described = place.parent / "datasets" / str(meta.get("source_id", "")).replace("/", "_") / _META
            if meta.get("source_type") == "DATASET" and described.is_file():
                tags = tuple(peer.PeerTag(key=str(k), value=str(v)) for k, v in (meta.get("tags") or {}).items())
                yield peer.PeerDatasetInput(dataset=_record(peer.PeerDataset, _yaml(described), described), tags=tags)

    def histories(self, runs: Sequence[peer.PeerRun]) -> Histories:
        """Read every line of every metric."""
        found: Histories = {}
        for run in runs:
            mine = found.setdefault(run.run_id, {})
            for key, path in _named_files(self._places[run.info.experiment_id] / run.run_id / "metrics"):
                columns = mine[key] = Columns()
                for stamp, step, value in _points(path):
                    columns.add(stamp, step, value)
        return found

    def logged_models(self, experiment: peer.PeerExperiment) -> Iterator[peer.PeerLoggedModel]:
        """Yield the logged models, deleted ones too."""
        for place in _folders(self._places[experiment.experiment_id] / "models"):
            meta = _yaml(place / _META)
            info = {
                **meta,
                "model_id": place.name,
                "experiment_id": experiment.experiment_id,
                "artifact_uri": meta.get("artifact_location"),
                "creation_timestamp_ms": meta.get("creation_timestamp"),
                "last_updated_timestamp_ms": meta.get("last_updated_timestamp"),
                "status": _LOGGED_STATUS.get(str(meta.get("status")), "LOGGED_MODEL_PENDING"),
                "tags": _pairs(place / "tags"),
            }
            measured = tuple(point for key, path in _named_files(place / "metrics") for point in _measured(key, path))
            data = peer.PeerLoggedData(params=_pairs(place / "params"), metrics=measured)
            yield peer.PeerLoggedModel(info=_record(peer.PeerLoggedInfo, info, place), data=data)

    def models(self) -> Iterator[tuple[peer.PeerModel, Sequence[peer.PeerVersion]]]:
        """Yield each registered model with its versions."""
        for place in _folders(self._root / "models"):
            if not (place / _META).is_file():
                continue
            aliases = tuple(
                peer.PeerAlias(alias=name, version=_text(path).strip())
                for name, path in _named_files(place / "aliases")
            )
            meta = {
                **_times(_yaml(place / _META)),
                "name": place.name,
                "tags": _pairs(place / "tags"),
                "aliases": aliases,
            }
            versions = [
                _record(
                    peer.PeerVersion,
                    {**_times(_yaml(each / _META)), "name": place.name, "tags": _pairs(each / "tags")},
                    each,
                )
                for each in _folders(place)
                if each.name.startswith("version-") and (each / _META).is_file()
            ]
            kept = [each for each in versions if each.current_stage != "Deleted_Internal"]
            yield _record(peer.PeerModel, meta, place), sorted(kept, key=lambda each: int(each.version))

    def _experiment_folders(self) -> Iterator[Path]:
        for above in (self._root, self._root / _TRASH):
            for place in _folders(above):
                if place.name not in {"models", _TRASH} and (place / _META).is_file():
                    yield place


def _folders(place: Path) -> list[Path]:
    if not place.is_dir() or place.is_symlink():
        return []
    with os.scandir(place) as entries:
        return sorted(Path(each.path) for each in entries if each.is_dir(follow_symlinks=False))


def _named_files(place: Path) -> Iterator[tuple[str, Path]]:
    """Yield keys and their files; a key with a slash is a file in a folder."""
    for folder, folders, names in os.walk(place):
        folders.sort()
        for name in sorted(names):
            path = Path(folder) / name
            if not path.is_symlink():
                yield path.relative_to(place).as_posix(), path


def _pairs(place: Path) -> tuple[peer.PeerTag, ...]:
    return tuple(peer.PeerTag(key=key, value=_text(path)) for key, path in _named_files(place))


def _links(place: Path, kind: str) -> tuple[peer.PeerModelLink, ...]:
    found = []
    for folder in _folders(place):
        meta = _yaml(folder / _META)
        if meta.get("source_type") == kind:
            step = meta.get("step")
            found.append(
                peer.PeerModelLink(model_id=str(meta.get("destination_id")), step=step if isinstance(step, int) else 0)
            )
    return tuple(found)


def _points(path: Path) -> Iterator[tuple[int, int, float]]:
    """Yield timestamp, step and value of the lines `timestamp value [step ...]`."""
    for words in _lines(path):
        yield int(words[0]), int(words[2]) if len(words) > 2 else 0, float(words[1])


def _measured(key: str, path: Path) -> Iterator[peer.PeerMeasured]:
    """Yield the lines `timestamp value step run [dataset digest]` of a logged model's metric."""
    for words in _lines(path):
        run, name, digest = (*words[3:6], "", "", "")[:3]
        yield peer.PeerMeasured(
            key=key,
            value=float(words[1]),
            timestamp=int(words[0]),
            step=int(words[2]) if len(words) > 2 else 0,
            run_id=run,
            dataset_name=name,
            dataset_digest=digest,
        )


def _lines(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            words = line.split()
            if words and not (len(words) > 1 and _POINT.match(line)):
                raise HeadwayError(f"{path}: line {number} is no point of a metric", cause=line[:100].strip())
            if words:
                yield words


def _text(path: Path) -> str:
    if path.stat().st_size > _MOST_TEXT:
        raise TooLarge(f"{path} is over {_MOST_TEXT} bytes", cause="MLflow keeps nothing of that size there")
    return path.read_text(encoding="utf-8", errors="replace")


def _yaml(path: Path) -> dict[str, Any]:
    try:
        found = YAML(typ="safe").load(_text(path))
    except (YAMLError, OSError, RecursionError) as error:
        raise HeadwayError(f"{path} cannot be read", cause=str(error).splitlines()[0][:300]) from None
    if not isinstance(found, dict):
        raise HeadwayError(f"{path} is not what MLflow writes", cause="it holds no fields")
    return found


def _record(kind: type[T], meta: dict[str, Any], place: Path) -> T:
    try:
        return msgspec.convert({name: each for name, each in meta.items() if each is not None}, kind, strict=False)
    except msgspec.ValidationError as error:
        raise HeadwayError(f"{place} is not what MLflow writes", cause=str(error)) from None


def _times(meta: dict[str, Any]) -> dict[str, Any]:
    """Return a model's fields as the wire calls them."""
    plain = {name: each for name, each in meta.items() if name not in {"aliases", "tags", "latest_versions"}}
    renamed = {"creation_time": "creation_timestamp", "last_updated_time": "last_updated_timestamp"}
    plain = {renamed.get(name, name): each for name, each in plain.items()}
    return {**plain, "version": str(plain["version"])} if "version" in plain else plain
