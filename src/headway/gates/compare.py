"""One number against one limit: thresholds, regressions and intervals, without knowing where numbers come from."""

from __future__ import annotations

import math
from dataclasses import dataclass

from headway.gates.model import CheckState, Comparison, Interval
from headway.projects.model import GateSpec
from headway.stats.bootstrap import Effect


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one comparison says, before severity and overrides."""

    state: CheckState
    message: str = ""


PASSED = Finding(state=CheckState.PASSED)

_RANK = {CheckState.PASSED: 0, CheckState.CANNOT_TELL: 1, CheckState.FAILED: 2, CheckState.MISSING: 3}


def worst(findings: list[Finding]) -> Finding:
    """The state of the worst, with every message worth reading."""
    state = max((each.state for each in findings), key=_RANK.__getitem__, default=CheckState.PASSED)
    return Finding(state=state, message="; ".join(dict.fromkeys(each.message for each in findings if each.message)))


def threshold(value: float, *, minimum: float | None, maximum: float | None) -> list[Finding]:
    """Inclusive limits: a value that differs from its limit by rounding alone keeps it."""
    findings = []
    if minimum is not None and value < minimum - _rounding(value, minimum):
        findings.append(Finding(state=CheckState.FAILED, message=f"{show(value)} is below {show(minimum)}"))
    if maximum is not None and value > maximum + _rounding(value, maximum):
        findings.append(Finding(state=CheckState.FAILED, message=f"{show(value)} is above {show(maximum)}"))
    return findings or [PASSED]


def regression(candidate: float, baseline: float, *, higher_is_better: bool, limit: float) -> Finding:
    """How much worse than the baseline, against what is accepted."""
    loss = baseline - candidate if higher_is_better else candidate - baseline
    if loss <= limit + _rounding(candidate, baseline, limit):
        return PASSED
    accepted = f", accepted: {show(limit)}" if limit else ""
    return Finding(state=CheckState.FAILED, message=f"worse by {show(loss)}{accepted}")


def regression_interval(effect: Effect, *, higher_is_better: bool, limit: float, confidence: float) -> Finding:
    """Judge the interval, not the point.

    Fails only when the whole interval lies beyond the limit. When the interval reaches across the limit, the point
    decides: within the limit it passes and says so; beyond the limit nobody can tell, and that does not allow a merge
    (unless the rule only warns), because evidence that is missing is not success.
    """
    losses = (
        (-effect.high, -effect.effect, -effect.low) if higher_is_better else (effect.low, effect.effect, effect.high)
    )
    slack = limit + _rounding(effect.candidate, effect.baseline, limit)
    best, point, worst_loss = losses
    percent = show(confidence * 100)
    span = f"{percent} % interval of the loss: {show(best)} to {show(worst_loss)}, limit {show(limit)}"
    if best > slack:
        return Finding(state=CheckState.FAILED, message=f"worse by {show(point)} ({span})")
    if worst_loss <= slack:
        return PASSED
    if point <= slack:
        return Finding(state=CheckState.PASSED, message=f"within the limit, though not surely ({span})")
    return Finding(
        state=CheckState.CANNOT_TELL,
        message=f"worse by {show(point)}, not surely beyond the limit ({span}); more rows would tell",
    )


def interval(effect: Effect, *, higher_is_better: bool, confidence: float) -> Interval:
    """The effect for the report: better or worse only when the whole interval lies on one side of zero."""
    up, down = effect.low > 0, effect.high < 0
    if not up and not down:
        comparison = Comparison.CANNOT_TELL
    else:
        comparison = Comparison.BETTER if up == higher_is_better else Comparison.WORSE
    return Interval(
        effect=effect.effect,
        low=effect.low,
        high=effect.high,
        confidence=confidence,
        comparison=comparison,
    )


def limit_text(rule: GateSpec) -> str:
    """The rule's limits in words."""
    parts = []
    if rule.minimum is not None:
        parts.append(f"≥ {show(rule.minimum)}")
    if rule.maximum is not None:
        parts.append(f"≤ {show(rule.maximum)}")
    if rule.max_regression is not None or rule.paired:
        loss = rule.max_regression or 0
        parts.append(f"no more than {show(loss)} worse" if loss else "not worse")
    return ", ".join(parts)


def show(value: float) -> str:
    """A number for people: four digits that count, never 1e-05."""
    if not math.isfinite(value):
        return str(value)
    text = f"{value:.4g}"
    if "e" in text:
        text = f"{value:.10f}".rstrip("0").rstrip(".") if abs(value) < 1 else f"{value:.0f}"
    return "0" if text in ("-0", "") else text


def _rounding(*values: float) -> float:
    """What arithmetic on numbers of this size may be wrong by: 0.862 - 0.860 is not 0.002 in binary."""
    return 1e-12 * max(map(abs, values))
