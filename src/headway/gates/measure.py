"""What a side can show: a metric's value on all rows or on a slice, and gaps between groups."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headway.gates.model import Evidence
from headway.gates.predictions import Joined
from headway.projects.model import Goal, MetricSpec
from headway.stats.fairness import GroupRates, group_rates
from headway.stats.metrics import METRICS, Metric

Mask = NDArray[np.bool_]

MAX_GROUPS = 500
"""More values than this in one column, and it is no slice column but an identifier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Candidate or baseline: what it claims, and its predictions joined with the labels."""

    evidence: Evidence
    joined: Joined | None = None
    problem: str = ""  # why there are no joined rows, where there should be


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A finite number, or the reason why there is none."""

    number: float | None = None
    why: str = ""
    may_come: bool = False  # the number is not known yet, rather than not there


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One slice: the rows where a column has one value."""

    column: str
    value: str
    mask: Mask
    rows: int

    @property
    def label(self) -> str:
        """The name of the slice, as the report shows it."""
        return f"{self.column}={self.value}"


def metric_spec(name: str, metrics: Iterable[MetricSpec]) -> MetricSpec | None:
    """The project's own statement of a metric; a computable name without one has its known direction."""
    for each in metrics:
        if each.name == name:
            return each
    known = METRICS.get(name)
    if known is None:
        return None
    return MetricSpec(name=name, goal=Goal.MAXIMIZE if known.higher_is_better else Goal.MINIMIZE)


def computed_by(spec: MetricSpec) -> Metric | None:
    """The metric that Headway computes itself from predictions, if any."""
    return METRICS.get(spec.compute or spec.name)


def metric_value(side: Side, spec: MetricSpec) -> Value:
    """The value on all rows: computed where `compute` says so, whatever the run itself claims."""
    if side.evidence.problem:
        return Value(why=f"{side.evidence.label}: {side.evidence.problem}")
    if spec.compute is not None:
        return computed_value(side, spec)
    return recorded_value(side.evidence, spec.name)


def recorded_value(evidence: Evidence, name: str) -> Value:
    """The value that the run logged."""
    number = evidence.metrics.get(name)
    if number is None and evidence.unknown:
        return Value(why=f"{evidence.label} has no metric {name} of its own, and {evidence.unknown}", may_come=True)
    if number is None:
        return Value(why=f"{evidence.label} has no metric {name}")
    if not math.isfinite(number):
        return Value(why=f"{name} of {evidence.label} is {number}, which is no number to compare")
    return Value(number=number)


def computed_value(side: Side, spec: MetricSpec, group: Group | None = None) -> Value:
    """The value computed from joined predictions, on a slice if one is given."""
    metric = computed_by(spec)
    if metric is None:
        return Value(why=f"no way to compute {spec.name} from predictions: say compute: roc_auc or another")
    if side.evidence.problem or side.joined is None:
        return Value(why=_no_rows(side))
    rows = side.joined.rows if group is None else side.joined.rows.take(group.mask)
    number = metric.value(rows)
    if not math.isfinite(number):
        where = f" on {group.label}" if group else ""
        return Value(why=f"{metric.name}{where} has no meaning for the predictions of {side.evidence.label}")
    return Value(number=number)


def _no_rows(side: Side) -> str:
    if side.evidence.problem or side.problem:
        return f"{side.evidence.label}: {side.evidence.problem or side.problem}"
    return f"{side.evidence.label} has no predictions: declare them under predictions:"


def groups(joined: Joined, column: str) -> list[Group] | None:
    """The slices of one column, largest first; None when the column is not there or is no slice column."""
    texts = joined.slices.get(column)
    if texts is None:
        return None
    values, counts = np.unique(texts, return_counts=True)
    if len(values) > MAX_GROUPS:
        return None
    order = np.argsort(-counts, kind="stable")
    return [Group(column=column, value=str(values[i]), mask=texts == values[i], rows=int(counts[i])) for i in order]


def has_one_class(joined: Joined, group: Group) -> bool:
    """Whether the labels of a slice are all equal, so that no ranking or rate of the other class exists."""
    labels = joined.rows.label[group.mask]
    return bool((labels == labels[0]).all())


def rates(joined: Joined, chosen: Sequence[Group]) -> list[GroupRates]:
    """Selection and error rates of each group."""
    return [group_rates(each.value, joined.rows.take(each.mask)) for each in chosen]
