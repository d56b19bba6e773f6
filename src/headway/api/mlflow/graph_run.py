"""Answers what a GraphQL document asks, field by field, from what the routes of the wire answer."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from headway.api.mlflow import artifacts, experiments, history, registry_search, runs
from headway.api.mlflow.admit import KnownProjects, admitted, admitted_stream
from headway.api.mlflow.decode import Decoder
from headway.api.mlflow.graph_check import planned
from headway.api.mlflow.graph_text import read
from headway.api.mlflow.route import Call, Route
from headway.api.mlflow.runs import Found
from headway.errors import HeadwayError, UsageError
from headway.tracking.store import RunStore

if TYPE_CHECKING:
    from headway.api.mlflow.graph_check import Asked
    from headway.api.mlflow.route import StreamCall

_LONGEST = 60.0  # seconds for the whole answer; a client waits 120
_MOST_LOOKED_UP = 2_000  # requests that one document may come to: two for each run of a page
_MOST_VALUES = 1_000_000
_CAPITAL = re.compile(r"(?<=[a-z0-9])[A-Z]")
_ZERO: dict[str, Any] = {"String": "", "LongString": "0", "Boolean": False, "Float": 0.0}


def _route(routes: tuple[Any, ...], method: str, path: str) -> tuple[Route, Decoder]:
    found = next(each for each in routes if (each.method, each.path) == (method, path))
    return found, Decoder(found)


_ROUTES = {
    "mlflowGetExperiment": _route(experiments.ROUTES, "GET", "experiments/get"),
    "mlflowGetRun": _route(runs.ROUTES, "GET", "runs/get"),
    "mlflowGetMetricHistoryBulkInterval": _route(history.ROUTES, "GET", "metrics/get-history-bulk-interval"),
    "mlflowSearchModelVersions": _route(registry_search.ROUTES, "GET", "model-versions/search"),
    "mlflowSearchRuns": _route(runs.ROUTES, "POST", "runs/search"),
    "mlflowSearchDatasets": _route(experiments.ROUTES, "POST", "experiments/search-datasets"),
}
_FILES = next(each for each in artifacts.ROUTES if each.path == "/api/2.0/mlflow/artifacts/list")


def answered(call: StreamCall, query: str, given: dict[str, Any], name: str) -> dict[str, Any]:
    """Return `data` and `errors` for a document; a field that could not be answered is null, and errors say why."""
    try:
        plan = planned(read(query), given, name)
    except UsageError as error:
        return {"data": None, "errors": [error.message]}
    return _Answer(call).whole(plan)


class _Answer:
    """One request; not to be used by two threads."""

    def __init__(self, call: StreamCall) -> None:
        self._call = call
        self._known = KnownProjects()
        self._until = time.monotonic() + _LONGEST
        self._looked_up = 0
        self._values = 0
        self._experiments: dict[str, Any] = {}
        self._errors: list[str] = []

    def whole(self, root: Asked) -> dict[str, Any]:
        data = {key: self._root(root.kind.name, asked) for key, asked in root.below.items()}
        return {"data": data, "errors": self._errors or None}

    def _root(self, kind: str, asked: Asked) -> Any:
        if asked.name == "__typename":
            return kind
        try:
            if "inputString" in asked.arguments:
                return self._object(asked, {"output": asked.arguments["inputString"]})
            told = asked.arguments.get("input")
            if told is None:
                raise UsageError(f"{asked.name} needs the argument 'input'.")
            plain = {_snake(key): value for key, value in told.items()}
            return self._object(asked, self._looked(asked.name, plain))
        except HeadwayError as error:
            self._errors.append(error.message)
            return None

    # --- asking ---

    def _looked(self, name: str, told: dict[str, Any]) -> dict[str, Any]:
        self._looked_up += 1
        left = self._until - time.monotonic()
        if self._looked_up > _MOST_LOOKED_UP or left <= 0:
            raise UsageError("The query asks for more than one answer can hold.", hint="ask for fewer runs at once")
        if name == "mlflowListArtifacts":
            return self._files({key: str(value) for key, value in told.items() if value is not None})
        route, decoder = _ROUTES[name]
        message = decoder.body(msgspec.json.encode(told))
        with self._call.database.quick_read() as tx:
            store, who = RunStore(tx), self._call.principal
            if who.reach is not None:
                who = admitted(who, store, route, message, path={}, known=self._known)
            with store.link.time_limit(left):
                answer = route.answer(Call(principal=who, store=store), message)
        plain: dict[str, Any] = msgspec.json.decode(
            answer.body if isinstance(answer, Found) else msgspec.json.encode(answer)
        )
        return plain

    def _files(self, told: dict[str, str]) -> dict[str, Any]:
        call = self._call
        if call.principal.reach is not None:
            with call.database.read() as tx:
                store = RunStore(tx)
                who = admitted_stream(call.principal, store, _FILES, told, path={}, known=self._known)
            call = replace(call, principal=who)
        return artifacts.files_of_run(call, told)

    def _of_run(self, name: str, run: dict[str, Any]) -> Any:
        """Return what only GraphQL hangs on a run."""
        info = run.get("info", {})
        if name == "modelVersions":
            told = {"filter": f"run_id='{info.get('run_id', '')}'"}
            return self._looked("mlflowSearchModelVersions", told).get("model_versions", [])
        exp = info.get("experiment_id", "")
        if exp not in self._experiments:
            self._experiments[exp] = self._looked("mlflowGetExperiment", {"experiment_id": exp}).get("experiment", {})
        return self._experiments[exp]

    # --- showing ---

    def _object(self, asked: Asked, plain: dict[str, Any]) -> dict[str, Any]:
        kind = asked.kind.name
        self._values += len(asked.below)
        if self._values > _MOST_VALUES:
            raise UsageError("The query asks for more than one answer can hold.", hint="ask for fewer runs at once")
        return {key: self._field(kind, each, plain) for key, each in asked.below.items()}

    def _field(self, kind: str, asked: Asked, plain: dict[str, Any]) -> Any:
        if asked.name == "__typename":
            return kind
        if asked.name == "apiError":
            return None
        if kind == "MlflowRunExtension" and asked.name in ("experiment", "modelVersions"):
            try:
                held = self._of_run(asked.name, plain)
            except HeadwayError as error:
                self._errors.append(error.message)
                return None
        else:
            held = plain.get(_snake(asked.name))
        if asked.kind.is_list:
            return [self._object(asked, each) if asked.kind.is_object else each for each in held or ()]
        return self._object(asked, held or {}) if asked.kind.is_object else _scalar(asked.kind.name, held)


def _scalar(kind: str, held: Any) -> Any:
    if held is None:
        return _ZERO.get(kind)
    if kind == "Float":
        return held if isinstance(held, (int, float)) else None  # GraphQL has no NaN
    return str(held) if kind == "LongString" else held


def _snake(name: str) -> str:
    return _CAPITAL.sub(lambda found: "_" + found.group().lower(), name)
