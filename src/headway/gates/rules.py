"""One rule to its checks: whole metrics and slices of them."""

from __future__ import annotations

from collections.abc import Iterator

from headway.gates.bench import NO_BASELINE, Bench, make_check, slices_of
from headway.gates.compare import Finding, interval, regression, regression_interval, threshold, worst
from headway.gates.gaps import gap_checks
from headway.gates.measure import (
    Group,
    Side,
    Value,
    computed_by,
    computed_value,
    has_one_class,
    metric_spec,
    metric_value,
    recorded_value,
)
from headway.gates.model import Check, CheckState, Interval
from headway.projects.model import GateSpec, Goal, MetricSpec
from headway.stats.bootstrap import paired


def checks_of(rule: GateSpec, bench: Bench) -> Iterator[Check]:
    """Every check of one rule, in the order of columns and of slice size."""
    if rule.check is not None:
        why = f"the check {rule.check} is not there yet: set severity: warn or take the rule out"
        yield make_check(rule, rule.check, Finding(state=CheckState.MISSING, message=why))
    elif rule.fairness is not None:
        yield from gap_checks(rule, rule.fairness, bench)
    elif rule.metric is None:
        why = "the rule names no metric, fairness or check"
        yield make_check(rule, "", Finding(state=CheckState.MISSING, message=why))
    elif (spec := metric_spec(rule.metric, bench.metrics)) is None:
        why = f"{rule.metric} is not listed under metrics, so nobody knows which direction is better"
        yield make_check(rule, rule.metric, Finding(state=CheckState.MISSING, message=why))
    elif rule.slices:
        for column in rule.slices:
            yield from _sliced(rule, spec, bench, column=column)
    else:
        yield _judge(rule, spec, bench, group=None)


def _sliced(rule: GateSpec, spec: MetricSpec, bench: Bench, *, column: str) -> Iterator[Check]:
    """One check per slice of a column, and one more where not a single slice can be judged."""
    found, why = slices_of(bench.candidate, column)
    metric = computed_by(spec)
    if why or metric is None:
        missing = why or computed_value(bench.candidate, spec).why
        yield make_check(rule, spec.name, Finding(state=CheckState.MISSING, message=missing), part=column)
        return
    judged = 0
    for group in found:
        reason = _too_little(rule, spec, bench.candidate, group=group)
        if reason:
            finding = Finding(state=CheckState.CANNOT_TELL, message=reason)
            yield make_check(rule, spec.name, finding, part=group.label, rows=group.rows, judged=False)
        else:
            judged += 1
            yield _judge(rule, spec, bench, group=group)
    if not judged:
        message = f"none of the {len(found)} slices by {column} can be judged (min_rows: {rule.min_rows})"
        yield make_check(rule, spec.name, Finding(state=CheckState.CANNOT_TELL, message=message), part=column)


def _too_little(rule: GateSpec, spec: MetricSpec, side: Side, *, group: Group) -> str:
    """Why a slice cannot be judged, whoever made the predictions; "" = it can."""
    if group.rows < rule.min_rows:
        return f"{group.rows:,} rows are too few to judge (min_rows: {rule.min_rows:,})"
    one_class = side.joined is not None and has_one_class(side.joined, group)
    if one_class and computed_value(side, spec, group).number is None:
        return f"all {group.rows:,} labels are equal, which leaves {spec.name} without meaning"
    return ""


def _judge(rule: GateSpec, spec: MetricSpec, bench: Bench, *, group: Group | None) -> Check:
    """All limits of one rule on one set of rows, as one check."""
    candidate = metric_value(bench.candidate, spec) if group is None else computed_value(bench.candidate, spec, group)
    part = group.label if group else ""
    rows = group.rows if group else None
    if candidate.number is None:
        state = CheckState.CANNOT_TELL if candidate.may_come else CheckState.MISSING
        missing = Finding(state=state, message=candidate.why)
        return make_check(rule, spec.name, missing, part=part, rows=rows)
    findings = threshold(candidate.number, minimum=rule.minimum, maximum=rule.maximum)
    baseline = _baseline_value(bench, spec, group)
    shown = None
    if rule.paired:
        finding, shown = _paired(rule, spec, bench, group=group)
        findings.append(finding)
    elif rule.max_regression is not None:
        findings.append(_regression(rule, spec, candidate.number, baseline=baseline))
    return make_check(
        rule,
        spec.name,
        worst(findings),
        part=part,
        candidate=candidate.number,
        baseline=baseline.number if baseline else None,
        rows=rows,
        shown=shown,
    )


def _baseline_value(bench: Bench, spec: MetricSpec, group: Group | None) -> Value | None:
    """None without a baseline; a recorded number stands in for predictions that are gone, on the whole only."""
    side = bench.baseline
    if side is None:
        return None
    if group is not None:
        return computed_value(side, spec, group)
    value = metric_value(side, spec)
    if value.number is None and side.joined is None and not side.evidence.problem:
        recorded = recorded_value(side.evidence, spec.name)
        return recorded if recorded.number is not None else value
    return value


def _regression(rule: GateSpec, spec: MetricSpec, candidate: float, *, baseline: Value | None) -> Finding:
    if baseline is None:
        return Finding(state=CheckState.PASSED, message=NO_BASELINE)
    if baseline.number is None:
        return Finding(state=CheckState.MISSING, message=f"nothing to compare with: {baseline.why}")
    return regression(
        candidate,
        baseline.number,
        higher_is_better=spec.goal is Goal.MAXIMIZE,
        limit=rule.max_regression or 0.0,
    )


def _paired(
    rule: GateSpec,
    spec: MetricSpec,
    bench: Bench,
    *,
    group: Group | None,
) -> tuple[Finding, Interval | None]:
    if bench.baseline is None:
        return Finding(state=CheckState.PASSED, message=NO_BASELINE), None
    metric = computed_by(spec)
    ours, theirs = bench.candidate.joined, bench.baseline.joined
    unusable = [found.why for side in (bench.candidate, bench.baseline) if (found := computed_value(side, spec)).why]
    if unusable or metric is None or ours is None or theirs is None:
        return Finding(state=CheckState.MISSING, message=f"no rows to compare: {unusable[0]}"), None
    rows = (ours.rows, theirs.rows) if group is None else (ours.rows.take(group.mask), theirs.rows.take(group.mask))
    effect = paired(metric, rows[0], baseline=rows[1], confidence=rule.confidence)
    if not effect.is_known:
        why = f"{metric.name} has no meaning in too many resamples of these rows"
        return Finding(state=CheckState.MISSING, message=why), None
    higher = spec.goal is Goal.MAXIMIZE
    finding = regression_interval(
        effect,
        higher_is_better=higher,
        limit=rule.max_regression or 0.0,
        confidence=rule.confidence,
    )
    return finding, interval(effect, higher_is_better=higher, confidence=rule.confidence)
