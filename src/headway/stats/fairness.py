"""Gaps between groups, by Fairlearn's definitions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from headway.stats.metrics import METRICS, Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRates:
    """What one group gets: a rate is NaN where the group has no row that it could be computed from."""

    group: str
    rows: int
    selection_rate: float
    true_positive_rate: float
    false_positive_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FairnessMeasure:
    """A gap by its name in headway.yaml: 0 is fair for a difference, 1 for a ratio."""

    name: str
    higher_is_better: bool
    of: Callable[[Sequence[GroupRates]], float]


def group_rates(group: str, rows: Rows) -> GroupRates:
    """The rates of one group; rows are the group's own."""
    return GroupRates(
        group=group,
        rows=int(rows.label.size),
        selection_rate=METRICS["selection_rate"].value(rows),
        true_positive_rate=METRICS["tpr"].value(rows),
        false_positive_rate=METRICS["fpr"].value(rows),
    )


def _difference(values: Sequence[float]) -> float:
    if not values or not all(map(math.isfinite, values)):
        return math.nan
    return max(values) - min(values)


def _ratio(values: Sequence[float]) -> float:
    # Nobody selected in any group: 0/0 has no meaning, so it is no evidence of fairness.
    if not values or not all(map(math.isfinite, values)) or max(values) <= 0:
        return math.nan
    return min(values) / max(values)


def _selection(groups: Sequence[GroupRates]) -> list[float]:
    return [each.selection_rate for each in groups]


def _true_positive(groups: Sequence[GroupRates]) -> list[float]:
    return [each.true_positive_rate for each in groups]


def _false_positive(groups: Sequence[GroupRates]) -> list[float]:
    return [each.false_positive_rate for each in groups]


def _worst(choose: Callable[..., float], *values: float) -> float:
    return choose(values) if all(map(math.isfinite, values)) else math.nan


def _odds_difference(groups: Sequence[GroupRates]) -> float:
    return _worst(max, _difference(_true_positive(groups)), _difference(_false_positive(groups)))


def _odds_ratio(groups: Sequence[GroupRates]) -> float:
    return _worst(min, _ratio(_true_positive(groups)), _ratio(_false_positive(groups)))


def _measure(name: str, of: Callable[[Sequence[GroupRates]], float]) -> FairnessMeasure:
    return FairnessMeasure(name=name, higher_is_better=name.endswith("_ratio"), of=of)


FAIRNESS: Mapping[str, FairnessMeasure] = {
    each.name: each
    for each in (
        _measure("demographic_parity_difference", lambda groups: _difference(_selection(groups))),
        _measure("demographic_parity_ratio", lambda groups: _ratio(_selection(groups))),
        _measure("equal_opportunity_difference", lambda groups: _difference(_true_positive(groups))),
        _measure("equal_opportunity_ratio", lambda groups: _ratio(_true_positive(groups))),
        _measure("equalized_odds_difference", _odds_difference),
        _measure("equalized_odds_ratio", _odds_ratio),
    )
}
"""Every gap that a rule's `fairness:` may name."""
