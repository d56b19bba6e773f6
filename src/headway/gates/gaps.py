"""Fairness rules: the gap between the groups of a column, against its limit."""

from __future__ import annotations

import math
from collections.abc import Iterator

from headway.gates.bench import NO_BASELINE, Bench, make_check, slices_of
from headway.gates.compare import Finding, regression, threshold, worst
from headway.gates.measure import Group, Value, rates
from headway.gates.model import Check, CheckState
from headway.projects.model import GateSpec
from headway.stats.fairness import FAIRNESS


def gap_checks(rule: GateSpec, name: str, bench: Bench) -> Iterator[Check]:
    """One check per column: those of the rule, or every declared slice column."""
    joined = bench.candidate.joined
    for column in rule.slices or tuple(joined.slices if joined else ()) or ("",):
        yield _gap(rule, name, bench, column=column)


def _gap(rule: GateSpec, name: str, bench: Bench, *, column: str) -> Check:
    """The gap between the groups of one column; groups too small to have a rate are left out and named."""
    measure = FAIRNESS.get(name)
    found, why = slices_of(bench.candidate, column)
    part = column if len(rule.slices) != 1 else ""
    if measure is None:
        why = f"{name} is no known gap: {', '.join(FAIRNESS)}"
    if why or measure is None or bench.candidate.joined is None:
        return make_check(rule, name, Finding(state=CheckState.MISSING, message=why), part=part)
    large = [each for each in found if each.rows >= rule.min_rows]
    small = [each for each in found if each.rows < rule.min_rows]
    if len(large) < 2:
        message = f"fewer than two groups by {column} have {rule.min_rows:,} rows"
        return make_check(rule, name, Finding(state=CheckState.CANNOT_TELL, message=message), part=part)
    value = measure.of(rates(bench.candidate.joined, large))
    if not math.isfinite(value):
        message = f"{name} by {column} has no meaning: some group has no row that a rate could be computed from"
        return make_check(rule, name, Finding(state=CheckState.MISSING, message=message), part=part)
    findings = threshold(value, minimum=rule.minimum, maximum=rule.maximum)
    before = None
    if rule.max_regression is not None:
        before = _gap_before(bench, measure_name=name, large=large)
        findings.append(_gap_regression(rule, value, before=before, higher=measure.higher_is_better))
    if small:
        left_out = ", ".join(each.value for each in small[:5]) + (" …" if len(small) > 5 else "")
        findings.append(Finding(state=CheckState.PASSED, message=f"left out, under {rule.min_rows:,} rows: {left_out}"))
    return make_check(
        rule,
        name,
        worst(findings),
        part=part,
        candidate=value,
        baseline=before.number if before else None,
        rows=sum(each.rows for each in large),
    )


def _gap_before(bench: Bench, *, measure_name: str, large: list[Group]) -> Value | None:
    side = bench.baseline
    if side is None:
        return None
    if side.evidence.problem or side.joined is None:
        return Value(why=f"{side.evidence.label}: {side.evidence.problem or side.problem or 'no predictions'}")
    value = FAIRNESS[measure_name].of(rates(side.joined, large))
    return Value(number=value) if math.isfinite(value) else Value(why=f"{measure_name} of {side.evidence.label} is NaN")


def _gap_regression(rule: GateSpec, value: float, *, before: Value | None, higher: bool) -> Finding:
    if before is None:
        return Finding(state=CheckState.PASSED, message=NO_BASELINE)
    if before.number is None:
        return Finding(state=CheckState.MISSING, message=f"nothing to compare with: {before.why}")
    return regression(value, before.number, higher_is_better=higher, limit=rule.max_regression or 0.0)
