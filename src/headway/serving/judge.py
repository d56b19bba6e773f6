"""Hold what a version has answered against the rules of its rollout. Pure.

Three outcomes: a rule that a few answers break is not broken yet. One error in twenty is 5 %, and says
little about a limit of 1 %; the version is held until the evidence is clear, and no longer than a deadline.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from headway.projects.model import AnalysisRule, DeploySpec
from headway.serving.model import VersionCounters

# How likely a version that just keeps its limit may look this bad. It is looked at again and again, so it is small.
_ALPHA = 0.001
# From so many answers on, this percentile is more than the fate of one or two requests.
_ENOUGH = {"latency_p50_ms": 10, "latency_p95_ms": 40, "latency_p99_ms": 200}
_LABELS = {
    "error_rate": "error rate",
    "missing_rate": "missing answers",
    "latency_p50_ms": "latency p50",
    "latency_p95_ms": "latency p95",
    "latency_p99_ms": "latency p99",
}


class Health(StrEnum):
    """What the rules say together."""

    GOOD = "good"
    UNCLEAR = "unclear"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The worst of all rules, with the number that made it so."""

    health: Health
    reason: str = ""


def judge(spec: DeploySpec, counters: VersionCounters | None) -> Judgement:
    """Return the judgement over every rule; without enough answers it is unclear, without rules good."""
    if not spec.analysis:
        return Judgement(health=Health.GOOD)
    seen = counters.requests if counters is not None else 0
    if counters is None or seen < max(spec.min_requests, 1):
        return Judgement(health=Health.UNCLEAR, reason=f"{seen} of {spec.min_requests} requests seen")
    found = [_judge_rule(rule, counters) for rule in spec.analysis]
    for health in (Health.BAD, Health.UNCLEAR):
        for one in found:
            if one.health is health:
                return one
    return Judgement(health=Health.GOOD)


def _judge_rule(rule: AnalysisRule, counters: VersionCounters) -> Judgement:
    value = measure(rule, counters)
    if value is None:
        return Judgement(health=Health.BAD, reason=f"{rule.metric} cannot be measured")
    if value <= rule.maximum:  # false for NaN
        return Judgement(health=Health.GOOD)
    reason = f"{_LABELS[rule.metric]} {_show(rule, value)} (limit {_show(rule, rule.maximum)})"
    if rule.metric.endswith("_rate"):
        count = round(value * counters.requests)
        is_clear = chance_of(count, counters.requests, rule.maximum) < _ALPHA
    else:
        is_clear = counters.requests >= _ENOUGH[rule.metric]
    return Judgement(health=Health.BAD if is_clear or math.isnan(value) else Health.UNCLEAR, reason=reason)


def measure(rule: AnalysisRule, counters: VersionCounters) -> float | None:
    """Return the number that a rule judges; None for a metric that nobody knows."""
    requests = max(counters.requests, 1)
    known = {
        "error_rate": counters.errors / requests,
        "missing_rate": counters.missing / requests,
        "latency_p50_ms": counters.latency_p50_ms,
        "latency_p95_ms": counters.latency_p95_ms,
        "latency_p99_ms": counters.latency_p99_ms,
    }
    return known.get(rule.metric)


def chance_of(count: int, requests: int, rate: float) -> float:
    """Return how likely at least `count` of so many requests go wrong when each does at `rate` (exact binomial)."""
    if count <= 0 or rate >= 1:
        return 1.0
    if rate <= 0:
        return 0.0
    total = 0.0
    for wrong in range(count, requests + 1):
        ways = math.lgamma(requests + 1) - math.lgamma(wrong + 1) - math.lgamma(requests - wrong + 1)
        term = math.exp(ways + wrong * math.log(rate) + (requests - wrong) * math.log1p(-rate))
        total += term
        if wrong > rate * requests and term < total * 1e-9:
            break
    return min(total, 1.0)


def _show(rule: AnalysisRule, value: float) -> str:
    return f"{value * 100:.3g} %" if rule.metric.endswith("_rate") else f"{value:.3g} ms"
