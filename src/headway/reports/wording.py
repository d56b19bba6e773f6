"""Words that several parts of a report share: marks, metrics in order, checks in words."""

from __future__ import annotations

from collections.abc import Sequence

from headway.gates.model import Check, CheckState, Comparison, Interval, Verdict
from headway.projects.model import Goal, Severity
from headway.reports.document import Spans, code, say
from headway.reports.model import MetricRow, ReportState, ReportView
from headway.reports.numbers import decimals, delta, number

BLOCKING = (CheckState.FAILED, CheckState.MISSING, CheckState.CANNOT_TELL)

_MARKS = {
    CheckState.PASSED: "✅",
    CheckState.WARNED: "⚠️",
    CheckState.FAILED: "❌",
    CheckState.CANNOT_TELL: "❔",
    CheckState.MISSING: "❌",
    CheckState.OVERRIDDEN: "☑️",
}


def mark(check: Check) -> str:
    """The sign of a check's state; a rule that only warns never shows a cross."""
    if not check.judged:
        return "▫️"
    if check.severity is Severity.WARN and check.state in BLOCKING:
        return "⚠️"
    return _MARKS[check.state]


def state_word(check: Check) -> str:
    """A check's state in a word or two."""
    if not check.judged:
        return "not judged"
    words = {
        CheckState.PASSED: "passed",
        CheckState.WARNED: "warns only",
        CheckState.FAILED: "failed",
        CheckState.CANNOT_TELL: "cannot tell",
        CheckState.MISSING: "no evidence",
        CheckState.OVERRIDDEN: f"accepted by {check.overridden_by}",
    }
    return words[check.state]


def blocks(check: Check) -> bool:
    """Whether this check alone keeps the change from being merged."""
    return check.judged and check.state in BLOCKING and check.severity is not Severity.WARN


def judged(verdict: Verdict) -> list[Check]:
    """The checks that count."""
    return [check for check in verdict.checks if check.judged]


def true_state(view: ReportView) -> ReportState:
    """The state, unless it claims a pass that the verdict does not give: missing evidence is not success."""
    if view.state is ReportState.PASSED and (view.verdict is None or not view.verdict.allows_merge):
        return ReportState.FAILED
    return view.state


def metric_order(view: ReportView) -> list[MetricRow]:
    """The primary metric first, then as the project lists them, then the rest as it came."""
    rank = {spec.name: (0 if spec.primary else 1, index) for index, spec in enumerate(view.metrics)}
    last = (2, 0)
    return sorted(view.rows, key=lambda row: rank.get(row.name, last))


def primary_row(view: ReportView) -> MetricRow | None:
    """The metric of the headline: the primary one, else the first."""
    rows = metric_order(view)
    return rows[0] if rows else None


def is_maximized(view: ReportView, metric: str) -> bool | None:
    """Which direction is better; None where the project does not say."""
    for spec in view.metrics:
        if spec.name == metric:
            return spec.goal is Goal.MAXIMIZE
    return None


def arrow(view: ReportView, metric: str) -> str:
    """The direction in which a metric is better."""
    return {True: " ↑", False: " ↓", None: ""}[is_maximized(view, metric)]


def change_of(row: MetricRow) -> float | None:
    """Candidate minus baseline, where both are there."""
    if row.candidate is None or row.baseline is None:
        return None
    return row.candidate - row.baseline


def places_of(row: MetricRow) -> int:
    """Decimals that show both sides and their difference."""
    return decimals(row.candidate, row.baseline)


def against(view: ReportView, metric: str, change: float) -> str:
    """Over production, or against it when it is no gain."""
    side = view.baseline_label or "the baseline"
    return f"over {side}" if change > 0 and is_maximized(view, metric) else f"against {side}"


def check_name(check: Check) -> Spans:
    """What a check is about: the metric, and the slice."""
    if not check.slice:
        return say(code(check.metric or check.id))
    return say(code(check.metric or check.id), " for ", code(check.slice))


def interval_text(interval: Interval, places: int) -> str:
    """Better by the paired bootstrap, with the span of the effect."""
    words = {
        Comparison.BETTER: "better",
        Comparison.WORSE: "worse",
        Comparison.CANNOT_TELL: "cannot tell",
    }[interval.comparison]
    low, high = delta(interval.low, places), delta(interval.high, places)
    return f"{words}: {number(interval.confidence * 100, 0)} % interval {low} to {high}"


def worst_first(checks: Sequence[Check]) -> list[Check]:
    """What stands in the way first, then warnings, then the accepted, the passed and the unjudged."""
    return sorted(checks, key=_rank)


def _rank(check: Check) -> int:
    if not check.judged:
        return 5
    if blocks(check):
        return 0 if check.state is not CheckState.CANNOT_TELL else 1
    if check.state is CheckState.OVERRIDDEN:
        return 3
    return 4 if check.state is CheckState.PASSED else 2
