"""The server that things move into: packed messages, tried again while it is away, and a connection for each thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from headway.blobs.keys import checked_key
from headway.cli.client import Client
from headway.errors import Unreachable
from headway.tracking.moved import (
    Asked,
    Here,
    MovedExperiment,
    MovedIn,
    MovedLoggedModel,
    MovedModel,
    MovedRun,
    MovedRuns,
)

T = TypeVar("T")
_TRIES = 7
_KEPT_SECONDS = 50.0  # less than the server keeps a silent connection


class MadeExperiment(msgspec.Struct, frozen=True):
    """An experiment of ours, as the server answers."""

    experiment_id: str
    artifact_location: str
    became: MovedIn


class Target:
    """Our server; threads may share it. Everything it is told may be told again."""

    def __init__(self, client: Client) -> None:
        """Speak as this client does."""
        self._first = client
        self._own = threading.local()

    @property
    def url(self) -> str:
        """Its address."""
        return self._first.url

    def experiment(self, moved: MovedExperiment) -> MadeExperiment:
        """Make an experiment, or find the one of its name."""
        return self._packed("experiment", moved, MadeExperiment)

    def runs(self, source: str, experiment_id: str, runs: Sequence[MovedRun]) -> list[MovedIn]:
        """Write runs."""
        moved = MovedRuns(source=source, experiment_id=experiment_id, runs=tuple(runs))
        return self._packed("runs", moved, list[MovedIn])

    def logged_models(self, models: Sequence[MovedLoggedModel]) -> list[MovedIn]:
        """Write logged models."""
        return self._packed("logged-models", tuple(models), list[MovedIn])

    def model(self, model: MovedModel) -> list[MovedIn]:
        """Write a registered model and its versions."""
        return self._packed("model", model, list[MovedIn])

    def counts(self, asked: Asked) -> Here:
        """Count what is here."""
        return self._packed("counts", asked, Here)

    def wire(self, method: str, path: str, /, **said: Any) -> Any:
        """Say something in MLflow's own words."""
        return self._patiently(lambda: self._client().wire(method, path, **said))

    def files(self, folder: str) -> dict[str, int]:
        """Return the files below a folder of artifacts, with their sizes."""
        found: dict[str, int] = {}
        waiting = [""]
        while waiting:
            below = waiting.pop()
            path = f"{folder}/{below}" if below else folder
            for each in self.wire("GET", "mlflow-artifacts/artifacts", path=path).get("files", []):
                name = f"{below}/{each['path']}" if below else str(each["path"])
                if each["is_dir"]:
                    waiting.append(name)
                else:
                    found[name] = int(each["file_size"])
        return found

    def upload(self, key: str, parts: Iterator[bytes], size: int) -> None:
        """Store one artifact; the caller tries again, since the parts are gone."""
        self._client().upload(checked_key(key), parts, size)

    def _packed(self, what: str, message: Any, kind: type[T]) -> T:
        body = msgspec.msgpack.encode(message)
        answer = self._patiently(lambda: self._client().post_packed(f"/import/{what}", body))
        return msgspec.convert(answer, kind)

    def _patiently(self, say: Callable[[], T]) -> T:
        for number in range(1, _TRIES + 1):
            try:
                return say()
            except Unreachable:
                if number == _TRIES:
                    raise
                self._own.client = None  # another connection, when it is back
                time.sleep(min(0.25 * 2**number, 15.0))
        raise AssertionError  # the last try returned or raised

    def _client(self) -> Client:
        client: Client | None = getattr(self._own, "client", None)
        if client is None or time.monotonic() - self._own.at > _KEPT_SECONDS:
            client = self._own.client = self._first.another()
        self._own.at = time.monotonic()
        return client
