"""Reading an ordinary MLflow server, page by page: experiments, runs, histories, models, files.

    with PeerConnection("https://mlflow.example", login=Login(token=token)) as connection:
        peer = PeerReader(connection)
        peer.about()                                     # raises when it is no MLflow, or too old
        for run in peer.runs(["1"], where="tags.`mlflow.source.git.commit` = 'abc'"):
            points = list(peer.history(run.run_id, "loss"))

What is read later in the list may have changed meanwhile: a server has no snapshots.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from headway.blobs.keys import checked_key
from headway.errors import HeadwayError, NotFound, Refused, UsageError
from headway.tracking.peer.connection import PeerConnection, Query, parsed
from headway.tracking.peer.model import (
    PeerAbout,
    PeerExperiment,
    PeerFile,
    PeerLoggedModel,
    PeerModel,
    PeerPoint,
    PeerRun,
    PeerVersion,
)

_API = "/api/2.0/mlflow"
_FILES = "/api/2.0/mlflow-artifacts/artifacts"
_OLDEST = 2  # before it: no tokens in histories, and other shapes of pages
_PAGE = 1000
_MODELS_PAGE = 100
_POINTS_PAGE = 25_000
_BULK_RUNS = 100
_NUMBER = re.compile(r"(\d+)\.(\d+)[\w.+-]*\Z")

T = TypeVar("T")


class _Tokened(msgspec.Struct, frozen=True, kw_only=True):
    next_page_token: str = ""


class _Experiments(_Tokened, frozen=True, kw_only=True):
    experiments: tuple[PeerExperiment, ...] = ()


class _Runs(_Tokened, frozen=True, kw_only=True):
    runs: tuple[PeerRun, ...] = ()


class _Points(_Tokened, frozen=True, kw_only=True):
    metrics: tuple[PeerPoint, ...] = ()


class _Models(_Tokened, frozen=True, kw_only=True):
    registered_models: tuple[PeerModel, ...] = ()


class _Versions(_Tokened, frozen=True, kw_only=True):
    model_versions: tuple[PeerVersion, ...] = ()


class _Logged(_Tokened, frozen=True, kw_only=True):
    models: tuple[PeerLoggedModel, ...] = ()


class _Run(msgspec.Struct, frozen=True):
    run: PeerRun


class _Experiment(msgspec.Struct, frozen=True):
    experiment: PeerExperiment


class _Model(msgspec.Struct, frozen=True):
    registered_model: PeerModel


class _OfRun(msgspec.Struct, frozen=True, kw_only=True):
    run_id: str
    key: str
    value: float
    timestamp: int = 0
    step: int = 0


class _Bulk(msgspec.Struct, frozen=True):
    metrics: tuple[_OfRun, ...] = ()


class _Entry(msgspec.Struct, frozen=True):
    path: str
    is_dir: bool = False
    file_size: int = 0


class _Listing(msgspec.Struct, frozen=True):
    files: tuple[_Entry, ...] = ()


class PeerReader:
    """Reads one MLflow server; every method asks it anew. Errors: those of `PeerConnection`."""

    def __init__(self, connection: PeerConnection) -> None:
        """Take an open connection; its owner closes it."""
        self.connection = connection

    def about(self) -> PeerAbout:
        """Say what answers there, after asking for one experiment with the login.

        Raises:
            UsageError: it is no MLflow server, or one before 2.0.
        """
        try:
            version = self.connection.send("GET", "/version")[:64].decode("ascii", "replace").strip()
        except NotFound:
            version = ""  # behind a prefix, or of another make: the next answer tells
        found = _NUMBER.match(version)
        if found and int(found[1]) < _OLDEST:
            raise UsageError(
                f"the tracker at {self.connection.uri} is MLflow {version}; 2.0 is the oldest that can be read",
                hint="upgrade it (mlflow db upgrade), or name its database or its mlruns folder instead",
            )
        try:
            self.connection.post(f"{_API}/experiments/search", _Experiments, {"max_results": 1})
        except NotFound as error:
            raise UsageError(
                f"what answers at {self.connection.uri} is no MLflow server",
                cause=error.message,
                hint="give the address that MLFLOW_TRACKING_URI has",
            ) from None
        return PeerAbout(version=version if found else "")

    # --- experiments and runs ---------------------------------------------------------------------

    def experiments(self, *, view: str = "ALL") -> Iterator[PeerExperiment]:
        """Yield experiments, oldest first; view is ACTIVE_ONLY, DELETED_ONLY or ALL."""
        body = {"max_results": _PAGE, "view_type": view, "order_by": ["creation_time ASC"]}
        for page in self._pages("experiments/search", _Experiments, body):
            yield from page.experiments

    def experiment_named(self, name: str) -> PeerExperiment | None:
        """Return an experiment, a deleted one too."""
        try:
            found = self.connection.get(f"{_API}/experiments/get-by-name", _Experiment, {"experiment_name": name})
        except NotFound:
            return None
        return found.experiment

    def runs(
        self, experiment_ids: Sequence[str], *, where: str = "", view: str = "ALL", page: int = _PAGE
    ) -> Iterator[PeerRun]:
        """Yield runs, oldest first, so that what is added meanwhile comes last and shifts no page."""
        for found in self.run_pages(experiment_ids, where=where, view=view, page=page):
            yield from found

    def run_pages(
        self, experiment_ids: Sequence[str], *, where: str = "", view: str = "ALL", page: int = _PAGE
    ) -> Iterator[tuple[PeerRun, ...]]:
        """Yield the same in the server's pages."""
        body = {
            "experiment_ids": list(experiment_ids),
            "filter": where,
            "run_view_type": view,
            "max_results": page,
            "order_by": ["attributes.start_time ASC"],
        }
        for each in self._pages("runs/search", _Runs, body):
            yield each.runs

    def run(self, run_id: str) -> PeerRun:
        """Return one run, a deleted one too."""
        return self.connection.get(f"{_API}/runs/get", _Run, {"run_id": run_id}).run

    def history(self, run_id: str, key: str) -> Iterator[PeerPoint]:
        """Yield every point of one metric of one run, in the server's order."""
        query: dict[str, str | int] = {"run_id": run_id, "metric_key": key, "max_results": _POINTS_PAGE}
        seen: set[str] = set()
        while True:
            page = self.connection.get(f"{_API}/metrics/get-history", _Points, query)
            yield from page.metrics
            if not page.next_page_token or page.next_page_token in seen:
                return
            seen.add(page.next_page_token)
            query = {**query, "page_token": page.next_page_token}

    def histories(self, run_ids: Sequence[str], key: str) -> dict[str, list[PeerPoint]]:
        """Return every point of one metric of many runs, by run: in few requests where the histories are short."""
        found: dict[str, list[PeerPoint]] = {each: [] for each in run_ids}
        for run_id, point in self.points(run_ids, key):
            found[run_id].append(point)
        return found

    def points(self, run_ids: Sequence[str], key: str) -> Iterator[tuple[str, PeerPoint]]:
        """Yield the same point by point, those of a run together, so that a long history need not be held."""
        for start in range(0, len(run_ids), _BULK_RUNS):
            some = run_ids[start : start + _BULK_RUNS]
            bulk = self._bulk(some, key)
            if bulk is None:
                yield from ((each, point) for each in some for point in self.history(each, key))
                continue
            wanted = frozenset(some)
            for each in bulk:
                if each.run_id in wanted:
                    yield (
                        each.run_id,
                        PeerPoint(key=key, value=each.value, timestamp=each.timestamp, step=each.step),
                    )

    def _bulk(self, run_ids: Sequence[str], key: str) -> tuple[_OfRun, ...] | None:
        """Return the points of short histories in one answer; None when it was cut, or there is no such route."""
        query: Query = {"run_id": list(run_ids), "metric_key": key, "max_results": _POINTS_PAGE}
        try:
            found = self.connection.get("/ajax-api/2.0/mlflow/metrics/get-history-bulk", _Bulk, query).metrics
        except (NotFound, Refused):  # a server without the browser's routes
            return None
        return None if len(found) >= _POINTS_PAGE else found

    # --- models -----------------------------------------------------------------------------------

    def logged_models(self, experiment_ids: Sequence[str]) -> Iterator[PeerLoggedModel]:
        """Yield active logged models; none from a server before MLflow 3."""
        body = {"experiment_ids": list(experiment_ids), "max_results": 50}
        try:
            for page in self._pages("logged-models/search", _Logged, body):
                yield from page.models
        except NotFound:
            return

    def registered_models(self) -> Iterator[PeerModel]:
        """Yield registered models by name, without versions; prompts are left out, as the server does."""
        for page in self._listed("registered-models/search", _Models, {"max_results": _MODELS_PAGE}):
            yield from page.registered_models

    def registered_model(self, name: str) -> PeerModel:
        """Return one registered model, with its aliases."""
        return self.connection.get(f"{_API}/registered-models/get", _Model, {"name": name}).registered_model

    def versions(self, name: str) -> Iterator[PeerVersion]:
        """Yield the versions of a model, the oldest first."""
        quoted = name.replace("'", "''")
        query: dict[str, str | int] = {"filter": f"name='{quoted}'", "max_results": 200}
        found: list[PeerVersion] = []
        for page in self._listed("model-versions/search", _Versions, query):
            found += (each for each in page.model_versions if each.name == name)
        yield from sorted(found, key=lambda each: int(each.version) if each.version.isdigit() else 0)

    # --- artifacts --------------------------------------------------------------------------------

    def proxied(self, uri: str) -> str:
        """Return the path behind the server's proxy that an artifact URI means.

        Raises:
            UsageError: the bytes lie where clients fetch them by themselves (s3://, a path of the server's machine).
        """
        parts = urlsplit(uri)
        if parts.scheme == "mlflow-artifacts" and not parts.query and not parts.fragment:
            own = urlsplit(self.connection.uri)
            if not parts.netloc or parts.netloc == own.netloc:
                return checked_key(parts.path.strip("/"))
        where = f"{parts.scheme}://{parts.netloc}" if parts.scheme and parts.netloc else uri[:80]
        raise UsageError(
            f"the server does not give out the artifacts under {where}",
            cause="clients of that MLflow fetch them there by themselves, with their own login",
            hint="copy that place to a folder of this machine and name it with --artifacts DIR",
        )

    def files(self, uri: str) -> Iterator[PeerFile]:
        """Yield every file below an artifact URI, with its path relative to it; absent places have none."""
        yield from self._walk(self.proxied(uri), "")

    def _walk(self, root: str, below: str) -> Iterator[PeerFile]:
        query = {"path": f"{root}/{below}" if below else root}
        listing = parsed(self._list(query), _Listing, self.connection.uri + _FILES)
        for entry in listing.files:
            path = f"{below}/{entry.path}" if below else entry.path
            if problem := problem_of(path, "" if "/" in entry.path else entry.path):
                yield PeerFile(path=path[:1024], size=entry.file_size, problem=problem)
            elif entry.is_dir:
                yield from self._walk(root, path)
            else:
                yield PeerFile(path=path, size=entry.file_size)

    def _list(self, query: dict[str, str]) -> bytes:
        try:
            return self.connection.send("GET", _FILES, query=query)
        except NotFound:
            return b"{}"

    @contextlib.contextmanager
    def open(self, uri: str, path: str) -> Iterator[Iterator[bytes]]:
        """Open one file below an artifact URI and yield its bytes in parts."""
        key = f"{self.proxied(uri)}/{checked_key(path)}"
        with self.connection.stream(f"{_FILES}/{quote(key)}") as parts:
            yield parts

    # --- pages ------------------------------------------------------------------------------------

    def _pages(self, path: str, kind: type[T], body: dict[str, Any]) -> Iterator[T]:
        token = ""
        seen: set[str] = set()
        while True:
            sent = {**body, "page_token": token} if token else body
            page = self.connection.post(f"{_API}/{path}", kind, sent)
            yield page
            token = self._next(page, seen)
            if not token:
                return

    def _listed(self, path: str, kind: type[T], query: dict[str, str | int]) -> Iterator[T]:
        token = ""
        seen: set[str] = set()
        while True:
            page = self.connection.get(f"{_API}/{path}", kind, {**query, "page_token": token} if token else query)
            yield page
            token = self._next(page, seen)
            if not token:
                return

    def _next(self, page: object, seen: set[str]) -> str:
        token = page.next_page_token if isinstance(page, _Tokened) else ""
        if token and token in seen:
            raise HeadwayError(f"{self.connection.uri} gives the same page over and over", cause=f"token {token[:80]}")
        seen.add(token)
        return token


def problem_of(path: str, name: str) -> str:
    """Say why a file or folder of a foreign listing cannot be taken over; "" when it can."""
    if not name:
        return "its name is a path"
    try:
        checked_key(path)
    except UsageError as error:
        return error.cause or error.message
    return ""
