"""Runs of a foreign tracker that are tagged with a commit, cut to what is shown and judged."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from headway.errors import UsageError
from headway.projects.model import TrackingSpec
from headway.tracking.outside import OutsideRun, run_url
from headway.tracking.peer.connection import PeerConnection
from headway.tracking.peer.model import PeerRun, PeerTag
from headway.tracking.peer.reader import PeerReader

OUR_TAG = "headway.commit"  # said on purpose: goes before what MLflow found out by itself
GIT_TAG = "mlflow.source.git.commit"
MIRROR_TAG = "headway.run_id"  # on copies of our own runs, which are no evidence of anything

MOST_RUNS = 20
MOST_METRICS = 500
MOST_PARAMS = 200
_LONGEST_NAME = 250
_LONGEST_VALUE = 500


class _Found(msgspec.Struct, frozen=True):
    runs: tuple[PeerRun, ...] = ()


def find_tagged(connection: PeerConnection, tracking: TrackingSpec, commit: str) -> tuple[OutsideRun, ...]:
    """Return the newest runs that carry a commit's full name in one of the two tags.

    Raises:
        HeadwayError: the server does not answer, or not as an MLflow server would.
    """
    experiment = PeerReader(connection).experiment_named(tracking.experiment)
    if experiment is None or experiment.lifecycle_stage != "active":
        return ()
    found: dict[str, OutsideRun] = {}
    for tag in (OUR_TAG, GIT_TAG):
        for run in search_tagged(connection, experiment.experiment_id, tag, commit):
            tags = {each.key: each.value for each in run.data.tags}
            # Whoever says one commit and was at another means the one that is said.
            if tags.get(OUR_TAG, commit) == commit and MIRROR_TAG not in tags and run.run_id not in found:
                found[run.run_id] = _outside(run, tracking.uri, tag)
    newest = sorted(found.values(), key=lambda run: (run.end_time or run.start_time, run.run_id), reverse=True)
    return tuple(newest[:MOST_RUNS])


def search_tagged(connection: PeerConnection, experiment_id: str, tag: str, value: str) -> tuple[PeerRun, ...]:
    """Return the newest active runs of an experiment that have a tag of that value."""
    if "'" in value or "\\" in value:
        raise UsageError(f"{value[:80]!r} cannot be searched for")
    body: dict[str, Any] = {
        "experiment_ids": [experiment_id],
        "filter": f"tags.`{tag}` = '{value}'",
        "run_view_type": "ACTIVE_ONLY",
        "max_results": MOST_RUNS,
        "order_by": ["attributes.start_time DESC"],
    }
    runs = connection.post("/api/2.0/mlflow/runs/search", _Found, body).runs
    # A server that does not understand the filter would give everything.
    return tuple(run for run in runs if PeerTag(key=tag, value=value) in run.data.tags)


def _outside(run: PeerRun, uri: str, tag: str) -> OutsideRun:
    info = run.info
    metrics = {
        point.key: point.value
        for point in run.data.metrics
        if 0 < len(point.key) <= _LONGEST_NAME and math.isfinite(point.value) and not point.key.startswith("system/")
    }
    params = {pair.key[:_LONGEST_NAME]: pair.value[:_LONGEST_VALUE] for pair in run.data.params[:MOST_PARAMS]}
    return OutsideRun(
        run_id=run.run_id[:64],
        name=info.run_name[:_LONGEST_NAME],
        status=info.status[:16],
        user=info.user_id[:_LONGEST_NAME],
        start_time=info.start_time,
        end_time=info.end_time,
        url=run_url(uri, info.experiment_id, run.run_id),
        tag=tag,
        metrics=dict(sorted(metrics.items())[:MOST_METRICS]),
        params=params,
    )
