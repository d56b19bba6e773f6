"""An MLflow server as the source, over its REST API."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

from headway.cli.moving.source import Columns, Histories
from headway.tracking.peer.connection import PeerConnection
from headway.tracking.peer.model import PeerExperiment, PeerFile, PeerLoggedModel, PeerModel, PeerRun, PeerVersion
from headway.tracking.peer.reader import PeerReader

_PAGE = 500


class ServerFiles:
    """Artifacts behind the server's proxy."""

    def __init__(self, reader: PeerReader) -> None:
        """Read through this reader."""
        self._reader = reader

    def list(self, uri: str) -> Iterator[PeerFile]:
        """Yield the files below an artifact URI."""
        return self._reader.files(uri)

    def open(self, uri: str, path: str) -> AbstractContextManager[Iterator[bytes]]:
        """Open one file."""
        return self._reader.open(uri, path)


class ServerSource:
    """Reads a server page by page; histories of many runs come together where they are short."""

    def __init__(self, connection: PeerConnection) -> None:
        """Take an open connection; its owner closes it."""
        self._reader = PeerReader(connection)
        self.name = connection.uri
        self.files = ServerFiles(self._reader)

    def about(self) -> str:
        """Say which version answers."""
        version = self._reader.about().version
        return f"MLflow server {version} at {self.name}" if version else f"tracker at {self.name}"

    def experiments(self) -> list[PeerExperiment]:
        """Return every experiment."""
        return list(self._reader.experiments())

    def run_pages(self, experiment: PeerExperiment) -> Iterator[Sequence[PeerRun]]:
        """Yield the runs in pages."""
        return self._reader.run_pages([experiment.experiment_id], page=_PAGE)

    def histories(self, runs: Sequence[PeerRun]) -> Histories:
        """Ask metric by metric, for all runs that have it."""
        found: Histories = {run.run_id: {} for run in runs}
        with_key: dict[str, list[str]] = {}
        for run in runs:
            for metric in run.data.metrics:
                with_key.setdefault(metric.key, []).append(run.run_id)
        for key, run_ids in with_key.items():
            for run_id, points in self._reader.histories(run_ids, key).items():
                columns = found[run_id].setdefault(key, Columns())
                for point in points:
                    columns.add(point.timestamp, point.step, point.value)
        return found

    def logged_models(self, experiment: PeerExperiment) -> Iterator[PeerLoggedModel]:
        """Yield the active ones: a server does not show the others."""
        return self._reader.logged_models([experiment.experiment_id])

    def models(self) -> Iterator[tuple[PeerModel, Sequence[PeerVersion]]]:
        """Yield each registered model with its versions."""
        for model in self._reader.registered_models():
            # The search leaves aliases out on some versions of MLflow.
            yield self._reader.registered_model(model.name), list(self._reader.versions(model.name))
