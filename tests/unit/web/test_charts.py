"""Curves: spikes survive, what is no number is left out, the baseline stands beside."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from fakes.site import Site
from headway.web.charts import BUCKETS, bucketed

numbers = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(numbers, max_size=300), st.integers(min_value=1, max_value=20))
def test_no_spike_is_lost_and_nothing_is_invented(values: list[float], most: int) -> None:
    rows = bucketed([(float(index), value) for index, value in enumerate(values)], most)
    finite = [value for value in values if math.isfinite(value)]
    assert len(rows) <= max(most, 0)
    if finite:
        assert min(row[2] for row in rows) == min(finite)
        assert max(row[3] for row in rows) == max(finite)
    else:
        assert rows == []
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)


def test_one_spike_in_a_million_points_is_seen() -> None:
    points = [(float(step), 1.0) for step in range(100_000)]
    points[54_321] = (54_321.0, 99.0)
    rows = bucketed(points)
    assert len(rows) == BUCKETS
    assert max(row[3] for row in rows) == 99.0


def test_a_job_is_drawn_beside_its_baseline(full: Site) -> None:
    body = full.client().get("/jobs/2/curves.json").json()
    (chart,) = body["charts"]
    assert (chart["metric"], chart["axis"]) == ("val_auc", "step")
    assert [line["label"] for line in chart["series"]] == ["#2", "#1"]
    line = chart["series"][0]
    assert (line["total"], len(line["x"]), len(line["y"])) == (900, BUCKETS, BUCKETS)
    assert line["high"][-1] == 0.5 + 899 / 2000
    assert body["is_live"] is False


def test_a_running_job_says_so_and_another_may_be_named(full: Site) -> None:
    client = full.client()
    assert client.get("/jobs/4/curves.json").json() == {"charts": [], "left_out": 0, "is_live": True}
    named = client.get("/jobs/1/curves.json?with=2").json()
    assert [line["label"] for line in named["charts"][0]["series"]] == ["#1", "#2"]


def test_an_error_is_json_with_a_hint(full: Site) -> None:
    answer = full.client().get("/jobs/99/curves.json")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/json"
    assert "no job 99" in answer.json()["message"]
