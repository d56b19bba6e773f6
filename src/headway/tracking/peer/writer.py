"""Writing one run into a foreign MLflow server, so that writing it again changes nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from headway.errors import HeadwayError, UsageError
from headway.tracking.model import DatasetInput, Metric
from headway.tracking.peer.connection import PeerConnection
from headway.tracking.peer.model import PeerRun
from headway.tracking.peer.reader import PeerReader

_API = "/api/2.0/mlflow"
POINTS = 1000  # what one request of MLflow's takes
PAIRS = 100


class _Made(msgspec.Struct, frozen=True):
    run: PeerRun


class _MadeExperiment(msgspec.Struct, frozen=True):
    experiment_id: str


class _Nothing(msgspec.Struct, frozen=True):
    pass


class PeerWriter:
    """Writes into one MLflow server. Errors: those of `PeerConnection`."""

    def __init__(self, connection: PeerConnection) -> None:
        """Take an open connection; its owner closes it."""
        self._connection = connection

    def experiment(self, name: str) -> str:
        """Return the id of an experiment, which is made when there is none.

        Raises:
            UsageError: it lies in that server's trash.
        """
        reader = PeerReader(self._connection)
        found = reader.experiment_named(name)
        if found is None:
            try:
                made = self._connection.post(f"{_API}/experiments/create", _MadeExperiment, {"name": name})
            except HeadwayError:
                # Somebody else may have made it meanwhile.
                found = reader.experiment_named(name)
                if found is None:
                    raise
            else:
                return made.experiment_id
        if found.lifecycle_stage != "active":
            raise UsageError(f"the experiment {name} is deleted there", hint="restore it, or name another one")
        return found.experiment_id

    def create_run(
        self, experiment_id: str, *, name: str, user: str, start_time: int, tags: Sequence[tuple[str, str]]
    ) -> PeerRun:
        """Make a run; sent once only, because a second one could not be told from the first before it is looked for."""
        body = {
            "experiment_id": experiment_id,
            "run_name": name,
            "user_id": user,
            "start_time": start_time,
            "tags": [{"key": key, "value": value} for key, value in tags],
        }
        return self._connection.post(f"{_API}/runs/create", _Made, body, is_repeatable=False).run

    def points(self, run_id: str, points: Iterable[Metric]) -> None:
        """Append at most `POINTS` points; a database of MLflow takes an equal one once."""
        metrics = [
            {"key": each.key, "value": _number(each.value), "timestamp": each.timestamp, "step": each.step}
            for each in points
        ]
        self._post("runs/log-batch", {"run_id": run_id, "metrics": metrics})

    def pairs(self, run_id: str, *, params: Sequence[tuple[str, str]], tags: Sequence[tuple[str, str]]) -> None:
        """Write params and set tags, in as many requests as it takes."""
        for kind, all_pairs in (("params", params), ("tags", tags)):
            for start in range(0, len(all_pairs), PAIRS):
                some = [{"key": key, "value": value} for key, value in all_pairs[start : start + PAIRS]]
                self._post("runs/log-batch", {"run_id": run_id, kind: some})

    def inputs(self, run_id: str, datasets: Sequence[DatasetInput]) -> None:
        """Note what a run read; equal ones are one."""
        if datasets:
            self._post("runs/log-inputs", {"run_id": run_id, "datasets": [_dataset(each) for each in datasets]})

    def finish(self, run_id: str, *, status: str, end_time: int | None) -> None:
        """End a run as ours ended."""
        self._post("runs/update", {"run_id": run_id, "status": status, "end_time": end_time})

    def _post(self, path: str, body: dict[str, Any]) -> None:
        self._connection.post(f"{_API}/{path}", _Nothing, body)


def _number(value: float) -> float | str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _dataset(read: DatasetInput) -> dict[str, Any]:
    each = read.dataset
    whole = {
        "name": each.name,
        "digest": each.digest,
        "source_type": each.source_type,
        "source": each.source,
        "schema": each.schema,
        "profile": each.profile,
    }
    tags = [{"key": tag.key, "value": tag.value} for tag in read.tags]
    return {"dataset": {key: value for key, value in whole.items() if value is not None}, "tags": tags}
