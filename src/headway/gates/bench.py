"""What rules are judged with, and how a check is written down."""

from __future__ import annotations

import math
from dataclasses import dataclass

from headway.gates.compare import Finding, limit_text
from headway.gates.measure import MAX_GROUPS, Group, Side, groups
from headway.gates.model import Check, CheckState, Interval
from headway.gates.overrides import quote
from headway.projects.model import GateSpec, MetricSpec, Severity

NO_BASELINE = "no baseline yet: this run becomes it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Everything that rules are judged with."""

    metrics: tuple[MetricSpec, ...]
    candidate: Side
    baseline: Side | None


def make_check(
    rule: GateSpec,
    metric: str,
    finding: Finding,
    *,
    part: str = "",
    candidate: float | None = None,
    baseline: float | None = None,
    rows: int | None = None,
    shown: Interval | None = None,
    judged: bool = True,
) -> Check:
    """One check; a rule that only warns never fails."""
    state = finding.state
    if state is CheckState.FAILED and rule.severity is Severity.WARN:
        state = CheckState.WARNED
    return Check(
        id=f"{rule.id}:{quote(part)}" if part else rule.id,
        metric=metric,
        state=state,
        severity=rule.severity,
        limit=limit_text(rule),
        slice=part,
        candidate=candidate,
        baseline=baseline,
        change=_change(candidate, baseline),
        rows=rows,
        interval=shown,
        message=finding.message,
        judged=judged,
    )


def _change(candidate: float | None, baseline: float | None) -> float | None:
    if candidate is None or baseline is None:
        return None
    change = candidate - baseline
    return change if math.isfinite(change) else None


def slices_of(side: Side, column: str) -> tuple[list[Group], str]:
    """The slices of a column, or why there are none."""
    if side.evidence.problem:
        return [], f"{side.evidence.label}: {side.evidence.problem}"
    if side.joined is None:
        return [], f"{side.evidence.label}: {side.problem or 'no predictions; declare them under predictions:'}"
    found = groups(side.joined, column)
    if found is None:
        return [], f"column {column} is not declared under predictions.slices, or has over {MAX_GROUPS} values"
    return found, ""
