"""Rules and evidence to a verdict; pure.

How a rule is judged:

* A limit is inclusive. NaN, infinity, an absent metric or unreadable predictions never pass: the check is MISSING and
  counts as failed.
* Where a metric is absent because the project's own tracker cannot be asked, the check is CANNOT_TELL: it does not
  pass either, and is judged again when the tracker answers.
* With `paired`, the interval of the paired bootstrap is judged: it fails only when all of it lies beyond the limit.
  Where it reaches across, a point within the limit passes with a note; a point beyond it is CANNOT_TELL, which does
  not allow a merge unless the rule only warns.
* A slice with fewer than `min_rows` rows (or with labels of one class, for metrics that need two) is shown as
  CANNOT_TELL without weight: the labels and groups come from the base branch, so a change cannot make a slice small.
  When no slice of a column can be judged, the rule as a whole cannot tell.
* Without any baseline yet, comparisons pass and say that this run becomes it.
* `severity: warn` turns whatever would block into a warning.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence

from headway.gates.bench import Bench
from headway.gates.measure import Side, computed_value
from headway.gates.model import Check, CheckState, Outcome, Override, Verdict
from headway.gates.overrides import apply_overrides
from headway.gates.rules import checks_of
from headway.projects.model import GateSpec, MetricSpec, Severity


def evaluate(
    rules: Sequence[GateSpec],
    *,
    metrics: tuple[MetricSpec, ...],
    candidate: Side,
    baseline: Side | None = None,
    overrides: Iterable[Override] = (),
    head_sha: str = "",
) -> Verdict:
    """Apply every rule; the outcome is that of the worst check that has weight."""
    bench = Bench(metrics=metrics, candidate=candidate, baseline=_on_same_rows(candidate, baseline))
    found = [check for rule in rules for check in checks_of(rule, bench)]
    checks, unknown = apply_overrides(found, overrides, head_sha=head_sha)
    notes = (*_notes(bench, checks), *unknown)
    return Verdict(outcome=_sum(checks, candidate), checks=checks, notes=tuple(dict.fromkeys(notes)))


def _on_same_rows(candidate: Side, baseline: Side | None) -> Side | None:
    """The baseline, without its rows when they are not the candidate's: unlike rows are no pairs."""
    if baseline is None or baseline.joined is None or candidate.joined is None:
        return baseline
    ours, theirs = candidate.joined, baseline.joined
    if ours.key == theirs.key and ours.rows.label.size == theirs.rows.label.size:
        return baseline
    why = "its predictions are for another hold-out; train the baseline again to compare on the same rows"
    return dataclasses.replace(baseline, joined=None, problem=why)


def outcome_of(check: Check) -> Outcome:
    """What one check alone would make of the verdict."""
    if not check.judged or check.state is CheckState.PASSED:
        return Outcome.PASS
    if check.state in (CheckState.WARNED, CheckState.OVERRIDDEN) or check.severity is Severity.WARN:
        return Outcome.WARN
    return Outcome.CANNOT_TELL if check.state is CheckState.CANNOT_TELL else Outcome.FAIL


_BEST_FIRST = tuple(Outcome)


def _sum(checks: Sequence[Check], candidate: Side) -> Outcome:
    if not checks and candidate.evidence.problem:
        return Outcome.CANNOT_TELL
    return max((outcome_of(each) for each in checks), key=_BEST_FIRST.index, default=Outcome.PASS)


def _notes(bench: Bench, checks: Sequence[Check]) -> Iterator[str]:
    candidate = bench.candidate
    if candidate.evidence.problem:
        yield f"{candidate.evidence.label}: {candidate.evidence.problem}"
    if candidate.joined is not None:
        yield from candidate.joined.notes
    if bench.baseline is not None and bench.baseline.problem:
        yield f"{bench.baseline.evidence.label}: {bench.baseline.problem}"
    small = [each.slice for each in checks if not each.judged]
    if small:
        listed = ", ".join(dict.fromkeys(small[:6])) + (" …" if len(small) > 6 else "")
        yield f"too few rows to judge: {listed}"
    for spec in bench.metrics:
        yield from _claim(candidate, spec)


def _claim(candidate: Side, spec: MetricSpec) -> Iterator[str]:
    """The run's own number, where it differs from what its predictions give."""
    claimed = candidate.evidence.metrics.get(spec.name)
    if spec.compute is None or claimed is None or candidate.joined is None:
        return
    computed = computed_value(candidate, spec).number
    if computed is not None and not math.isclose(claimed, computed, rel_tol=1e-3, abs_tol=1e-6):
        yield f"the run logged {spec.name} {claimed:.6g}, its predictions give {computed:.6g}: the second counts"
