"""How long and how dear: medians of what the same tasks took before."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from headway.pipelines.model import TaskSpec
from headway.planning.model import Action, Plan


def expected_seconds(earlier: Sequence[float]) -> float | None:
    """Return the median of earlier durations; None without any."""
    return statistics.median(earlier) if earlier else None


def expected_cost(spec: TaskSpec, seconds: float | None, price_per_hour: float | None) -> float | None:
    """Return seconds times cores times the price of a core's hour; None where time or price is unknown."""
    if seconds is None or price_per_hour is None:
        return None
    return seconds / 3600 * (spec.resources.cpus or 1) * price_per_hour


def plan_seconds(plan: Plan) -> float | None:
    """Return how long the plan takes where everything that can runs at the same time; None when unknown."""
    finished: dict[str, float] = {}
    for task in plan.tasks:
        seconds = 0.0 if task.action is Action.REUSE else task.expected_seconds
        if seconds is None:
            return None
        finished[task.spec.name] = seconds + max((finished.get(need, 0.0) for need in task.spec.needs), default=0.0)
    return max(finished.values(), default=0.0)


def plan_cost(plan: Plan) -> float | None:
    """Return what the plan costs; None when a task's cost is unknown."""
    costs = [0.0 if task.action is Action.REUSE else task.expected_cost for task in plan.tasks]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None
