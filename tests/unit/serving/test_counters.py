"""Counting answers: percentiles to a tenth, and a fresh start for each set of routes."""

from __future__ import annotations

import random

import pytest

from headway.serving.counters import Counters, Latencies, prometheus


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_percentiles_are_right_to_a_tenth(share: float) -> None:
    chance = random.Random(11)
    values = sorted(chance.lognormvariate(2, 1) for _ in range(2000))
    histogram = Latencies()
    for value in values:
        histogram.add(value)
    true = values[int(share * len(values)) - 1]
    assert true <= histogram.percentile(share) * 1.0001
    assert histogram.percentile(share) <= true * 1.11


def test_extremes_are_kept_in_the_outer_buckets() -> None:
    histogram = Latencies()
    for value in (0.0, 1e-9, 1e9):
        histogram.add(value)
    assert sum(histogram.counts) == 3
    assert Latencies().percentile(0.5) == 0


def test_a_reset_forgets_the_recent_and_keeps_the_total() -> None:
    counters = Counters()
    counters.answered(1, 5.0, missing=False)
    counters.answered(1, 5.0, missing=True)
    counters.failed(2, 9.0)
    counters.rejected(1)
    one, two = counters.snapshot()
    assert (one.version, one.requests, one.errors, one.missing) == (1, 2, 0, 1)
    assert (two.version, two.requests, two.errors) == (2, 1, 1)
    counters.reset()
    assert counters.snapshot() == ()
    counters.answered(1, 5.0, missing=False)
    text = prometheus("demo", counters, [1])
    assert 'headway_requests_total{deployment="demo",version="1"} 3' in text
    assert 'headway_rejected_total{deployment="demo",version="1"} 1' in text
    assert 'headway_errors_total{deployment="demo",version="2"} 1' in text
    assert 'headway_latency_seconds_bucket{deployment="demo",version="1",le="0.01"} 3' in text
    assert 'headway_latency_seconds_bucket{deployment="demo",version="1",le="0.001"} 0' in text
    assert 'headway_version_ready{deployment="demo",version="1"} 1' in text
