"""The judge of a canary: three outcomes, and few false alarms."""

from __future__ import annotations

import math
import random

import pytest

from headway.projects.model import AnalysisRule, DeploySpec
from headway.serving.judge import Health, judge
from headway.serving.model import VersionCounters


def spec(metric: str, maximum: float, *, min_requests: int = 20) -> DeploySpec:
    return DeploySpec(analysis=(AnalysisRule(metric=metric, maximum=maximum),), min_requests=min_requests)


def seen(requests: int, **more: float) -> VersionCounters:
    plain = {"errors": 0, "missing": 0, "latency_p50_ms": 1.0, "latency_p95_ms": 2.0, "latency_p99_ms": 3.0}
    return VersionCounters(version=2, requests=requests, **{**plain, **more})


@pytest.mark.parametrize(
    ("rules", "counters", "health"),
    [
        (spec("error_rate", 0.01), seen(19, errors=19), Health.UNCLEAR),
        (spec("error_rate", 0.01), None, Health.UNCLEAR),
        (spec("error_rate", 0.01), seen(20), Health.GOOD),
        (spec("error_rate", 0.01), seen(20, errors=20), Health.BAD),
        (spec("error_rate", 0.01), seen(20, errors=1), Health.UNCLEAR),
        (spec("error_rate", 0.01), seen(200, errors=10), Health.BAD),
        (spec("missing_rate", 0.0), seen(100, missing=100), Health.BAD),
        (spec("latency_p95_ms", 60), seen(100, latency_p95_ms=61.0), Health.BAD),
        (spec("latency_p95_ms", 60), seen(20, latency_p95_ms=61.0), Health.UNCLEAR),
        (spec("latency_p99_ms", 60), seen(100, latency_p99_ms=61.0), Health.UNCLEAR),
        (spec("latency_p99_ms", 60), seen(300, latency_p99_ms=61.0), Health.BAD),
        (spec("latency_p95_ms", 60), seen(20, latency_p95_ms=60.0), Health.GOOD),
        (spec("latency_p95_ms", 60), seen(20, latency_p95_ms=math.nan), Health.BAD),
        (spec("happiness", 1), seen(100), Health.BAD),
    ],
)
def test_each_rule(rules: DeploySpec, counters: VersionCounters | None, health: Health) -> None:
    assert judge(rules, counters).health is health


def test_the_reason_names_value_and_limit() -> None:
    assert judge(spec("error_rate", 0.01), seen(1000, errors=31)).reason == "error rate 3.1 % (limit 1 %)"
    assert judge(spec("latency_p95_ms", 60), seen(50, latency_p95_ms=88.4)).reason == (
        "latency p95 88.4 ms (limit 60 ms)"
    )


def test_the_worst_rule_decides() -> None:
    rules = DeploySpec(
        analysis=(AnalysisRule(metric="latency_p95_ms", maximum=60), AnalysisRule(metric="error_rate", maximum=0.01)),
    )
    assert "error rate" in judge(rules, seen(200, errors=100)).reason


def first_clear(rate: float, chance: random.Random, *, looks: int = 50) -> Health:
    """Look after every twenty requests, as a rollout does, until it is rolled back or the looks are over."""
    errors = 0
    for look in range(1, looks + 1):
        errors += sum(chance.random() < rate for _ in range(20))
        found = judge(spec("error_rate", 0.01), seen(20 * look, errors=errors))
        if found.health is Health.BAD:
            return Health.BAD
    return found.health


def test_a_healthy_version_is_hardly_ever_rolled_back_and_a_bad_one_always() -> None:
    chance = random.Random(20261126)
    healthy = [first_clear(0.005, chance) for _ in range(400)]
    assert healthy.count(Health.BAD) < 4
    sick = [first_clear(0.05, chance) for _ in range(100)]
    assert sick.count(Health.BAD) == 100
