"""Kept single points travel together, and everything else one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import delivery
from hypothesis import given
from hypothesis import strategies as st
from upstream import Request

METRIC = "/api/2.0/mlflow/runs/log-metric"


def point(step: int, run_id: str = "r", **more: Any) -> Request:
    body = {"run_id": run_id, "run_uuid": run_id, "key": "loss", "value": 1.0, "timestamp": 1, "step": step, **more}
    return Request("POST", METRIC, {"Content-Type": "application/json"}, json.dumps(body).encode())


def tag() -> Request:
    return Request("POST", "/api/2.0/mlflow/runs/set-tag", {}, b'{"run_id": "r", "key": "a", "value": "b"}')


def steps(batch: Request) -> list[int]:
    assert batch.target.endswith("/log-batch")
    return [metric["step"] for metric in json.loads(batch.body)["metrics"]]


def test_points_of_a_run_become_one_batch_up_to_what_is_no_point() -> None:
    batch, count = delivery.merge([point(1), point(2), point(3), tag(), point(4)])
    assert (count, steps(batch)) == (3, [1, 2, 3])
    assert json.loads(batch.body)["run_id"] == "r"
    assert "run_uuid" not in json.loads(batch.body)["metrics"][0]


def test_points_of_another_run_end_the_batch() -> None:
    _, count = delivery.merge([point(1), point(2), point(3, "other")])
    assert count == 2


def test_what_cannot_travel_with_others_goes_alone() -> None:
    strange = [
        tag(),
        point(1, unknown="field"),
        point(1, run_id=""),
        Request("POST", METRIC, {}, b"no json"),
        Request("POST", METRIC, {}, b"[1]"),
        point(1)._replace(headers={"Content-Encoding": "gzip"}),
    ]
    for request in strange:
        assert delivery.merge([request, point(2)]) == (request, 1)
    assert delivery.merge([point(1)]) == (point(1), 1)


def test_a_batch_stays_under_a_megabyte() -> None:
    requests = [point(step, key="k" * 5000) for step in range(1000)]
    batch, count = delivery.merge(requests)
    assert 100 < count < 1000
    assert len(batch.body) < 1_000_000


@given(
    st.builds(
        Request,
        st.sampled_from(["POST", "PUT"]),
        st.text(max_size=40),
        st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
        st.binary(max_size=100),
        st.one_of(st.none(), st.just(Path("/spool/x"))),
    )
)
def test_a_request_survives_the_journal(request: Request) -> None:
    assert delivery.unpack(delivery.pack(request)) == request
