"""Files and rules to a verdict: reads what `evaluate` needs, and says what Headway computed itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from headway.gates.evaluate import evaluate
from headway.gates.measure import Side, metric_value, recorded_value
from headway.gates.model import Evidence, Override, Verdict
from headway.gates.predictions import Holdout, Problem, join, read_holdout, read_predictions
from headway.projects.model import GateSpec, MetricSpec, PredictionsSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict, and the numbers it stands on: what a result keeps so that it can be a baseline."""

    verdict: Verdict
    metrics: dict[str, float] = field(default_factory=dict)  # logged, with computed ones in their place
    baseline_metrics: dict[str, float] = field(default_factory=dict)
    rows: int | None = None  # of the hold-out


def judge(
    rules: tuple[GateSpec, ...],
    *,
    metrics: tuple[MetricSpec, ...],
    predictions: PredictionsSpec | None,
    candidate: Evidence,
    baseline: Evidence | None,
    holdout: Path | None,
    overrides: Iterable[Override] = (),
    head_sha: str = "",
) -> Judgement:
    """Rules, metrics, predictions and hold-out are the base branch's: a change does not grade itself."""
    labels = None if predictions is None else _holdout(predictions, holdout)
    ours = _side(candidate, predictions, labels)
    theirs = None if baseline is None else _side(baseline, predictions, labels)
    verdict = evaluate(
        rules,
        metrics=metrics,
        candidate=ours,
        baseline=theirs,
        overrides=overrides,
        head_sha=head_sha,
    )
    return Judgement(
        verdict=verdict,
        metrics=_numbers(ours, metrics),
        baseline_metrics={} if theirs is None else _numbers(theirs, metrics),
        rows=labels.table.rows if isinstance(labels, Holdout) else None,
    )


def _holdout(spec: PredictionsSpec, path: Path | None) -> Holdout | Problem:
    if path is None:
        return Problem(message=f"the hold-out {spec.holdout_path or '(no path given)'} is not there")
    return read_holdout(path, spec)


def _side(evidence: Evidence, spec: PredictionsSpec | None, labels: Holdout | Problem | None) -> Side:
    if spec is None or labels is None:
        return Side(evidence=evidence)
    if isinstance(labels, Problem):
        return Side(evidence=evidence, problem=labels.message)
    if evidence.predictions is None:
        return Side(evidence=evidence, problem=f"no predictions: nothing was written to {spec.path}")
    table = read_predictions(Path(evidence.predictions), spec)
    joined = table if isinstance(table, Problem) else join(table, labels, spec)
    if isinstance(joined, Problem):
        return Side(evidence=evidence, problem=joined.message)
    return Side(evidence=evidence, joined=joined)


def _numbers(side: Side, metrics: tuple[MetricSpec, ...]) -> dict[str, float]:
    numbers = dict(side.evidence.metrics)
    for spec in metrics:
        value = metric_value(dataclasses.replace(side, evidence=dataclasses.replace(side.evidence, problem="")), spec)
        if value.number is None and side.joined is None:
            value = recorded_value(side.evidence, spec.name)
        if value.number is None:
            numbers.pop(spec.name, None)
        else:
            numbers[spec.name] = value.number
    return numbers
