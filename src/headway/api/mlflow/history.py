"""Routes of metric histories: all at once, by pages, of several runs, and thinned out."""

from __future__ import annotations

from typing import Any

import msgspec

from headway.api.mlflow.access import check_run_read
from headway.api.mlflow.route import AJAX, BOTH, Access, Call, Int64, Message, Route
from headway.errors import NotFound, UsageError
from headway.tracking.history import read_history, thinned
from headway.tracking.offsets import read_offset, write_offset
from headway.tracking.points import Point

_MOST_RUNS = 100
_MOST_PER_RUN = 2500
_MOST_BULK = 25_000


class GetHistory(Message):
    """metrics/get-history."""

    run_id: str = ""
    run_uuid: str = ""
    metric_key: str = ""
    max_results: Int64 | None = None
    page_token: str = ""


class Bulk(Message):
    """metrics/get-history-bulk."""

    run_id: list[str] = msgspec.field(default_factory=list)
    metric_key: str | None = None
    max_results: Int64 = _MOST_BULK


class BulkInterval(Message):
    """metrics/get-history-bulk-interval."""

    run_ids: list[str] | None = None
    metric_key: str = ""
    start_step: Int64 | None = None
    end_step: Int64 | None = None
    max_results: Int64 = _MOST_PER_RUN


class _Point(msgspec.Struct, gc=False):
    key: str
    value: float | str
    timestamp: int
    step: int


class _RunPoint(msgspec.Struct, gc=False):
    key: str
    value: float | str
    timestamp: int
    step: int
    run_id: str


def _get(call: Call, asked: GetHistory) -> dict[str, Any]:
    if asked.max_results is not None and asked.max_results <= 0:
        raise UsageError(
            f"Invalid value {asked.max_results} for parameter 'max_results' supplied. It must be a positive integer.",
        )
    offset = read_offset(asked.page_token)
    points = _points(call, asked.run_id or asked.run_uuid, asked.metric_key)
    answer: dict[str, Any] = {}
    if offset or asked.max_results is not None:
        end = len(points) if asked.max_results is None else offset + asked.max_results
        if end < len(points):
            answer["next_page_token"] = write_offset(end)
        points = points[offset:end]
    key = asked.metric_key
    if points:
        answer["metrics"] = [_Point(key, _shown(value), stamp, step) for stamp, step, value in points]
    return answer


def _points(call: Call, run_id: str, key: str) -> list[Point]:
    """Return a history; a run that is not there has none, as MLflow sees it."""
    try:
        check_run_read(call.store, call.principal, run_id)
        run = call.store.row(run_id)
    except NotFound:
        return []
    return read_history(call.store.link, run.id, run.exp, name=key)


def _shown(value: float) -> float | str:
    return value if value == value else "NaN"  # noqa: PLR0124  # only NaN differs from itself


def _bulk(call: Call, asked: Bulk) -> dict[str, Any]:
    if not asked.run_id:
        raise UsageError("GetMetricHistoryBulk request must specify at least one run_id.")
    if len(asked.run_id) > _MOST_RUNS:
        raise UsageError(
            f"GetMetricHistoryBulk request cannot specify more than {_MOST_RUNS} run_ids. "
            f"Received {len(asked.run_id)} run_ids.",
        )
    if asked.metric_key is None:
        raise UsageError("GetMetricHistoryBulk request must specify a metric_key.")
    left = min(max(asked.max_results, 0), _MOST_BULK)
    found: list[_RunPoint] = []
    for run_id in sorted(set(asked.run_id)):
        points = _points(call, run_id, asked.metric_key)[:left]
        found += [_RunPoint(asked.metric_key, _shown(v), stamp, step, run_id) for stamp, step, v in points]
        left -= len(points)
    return {"metrics": found}


def _interval(call: Call, asked: BulkInterval) -> dict[str, Any]:
    _check_interval(asked)
    run_ids = asked.run_ids or []
    # Thinned one by one: a hundred whole histories at once may be more than there is memory.
    thin = {
        run_id: thinned(
            _points(call, run_id, asked.metric_key), asked.max_results, first=asked.start_step, last=asked.end_step
        )
        for run_id in dict.fromkeys(run_ids)
    }
    found = [
        _RunPoint(asked.metric_key, _shown(value), stamp, step, run_id)
        for run_id in run_ids
        for stamp, step, value in thin[run_id]
    ]
    return {"metrics": found} if found else {}


def _check_interval(asked: BulkInterval) -> None:
    see = " See the API docs for more information about request parameters."
    count = len(asked.run_ids or ())
    if count > _MOST_RUNS:
        raise UsageError(
            f"GetMetricHistoryBulkInterval request must specify at most {_MOST_RUNS} run_ids. "
            f"Received {count} run_ids.{see}",
        )
    if not 1 <= asked.max_results <= _MOST_PER_RUN:
        raise UsageError(f"max_results must be between 1 and {_MOST_PER_RUN}.{see}")
    low, high = asked.start_step, asked.end_step
    if (low is None) != (high is None):
        raise UsageError("If either start step or end step are specified, both must be specified.")
    if low is not None and high is not None and low > high:
        raise UsageError(
            f"end_step must be greater than start_step. Found start_step={low} and end_step={high}.",
        )


ROUTES = (
    Route(
        method="GET",
        path="metrics/get-history",
        access=Access.READ,
        message=GetHistory,
        answer=_get,
        required=("run_id", "metric_key"),
        is_heavy=True,
    ),
    Route(
        method="GET",
        path="metrics/get-history-bulk",
        access=Access.READ,
        message=Bulk,
        answer=_bulk,
        is_heavy=True,
        prefixes=(AJAX,),
    ),
    Route(
        method="GET",
        path="metrics/get-history-bulk-interval",
        access=Access.READ,
        message=BulkInterval,
        answer=_interval,
        required=("run_ids", "metric_key"),
        is_heavy=True,
        prefixes=BOTH,
    ),
)
