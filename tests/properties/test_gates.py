"""What holds for every rule and every number: better is never worse, NaN never passes, overrides only help."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.gates.evaluate import evaluate, outcome_of
from headway.gates.measure import Side
from headway.gates.model import Evidence, Outcome, Override, Verdict
from headway.gates.predictions import Joined
from headway.projects.model import GateSpec, Goal, MetricSpec, Severity
from headway.stats.metrics import Rows

RANK = {outcome: index for index, outcome in enumerate(Outcome)}
NAMES = ("a", "b")

numbers = st.floats(allow_nan=False, allow_infinity=False) | st.floats(-2, 2) | st.sampled_from([0.85, 0.1 + 0.2, 0.3])
anything = numbers | st.sampled_from([math.nan, math.inf, -math.inf])
maybe = st.none() | numbers
goals = st.sampled_from(list(Goal))


@st.composite
def rule(draw: st.DrawFn, goal: Goal) -> GateSpec:
    """A rule that fits its goal: a floor for what shall grow, a ceiling for what shall not."""
    limit = draw(maybe)
    return GateSpec(
        id=draw(st.sampled_from(["g1", "g2", "g3"])),
        metric=draw(st.sampled_from(NAMES)),
        minimum=limit if goal is Goal.MAXIMIZE else None,
        maximum=limit if goal is Goal.MINIMIZE else None,
        max_regression=draw(st.none() | st.floats(0, 2)),
        severity=draw(st.sampled_from(list(Severity))),
    )


@st.composite
def case(draw: st.DrawFn) -> tuple[Goal, list[GateSpec], dict[str, float], dict[str, float] | None]:
    goal = draw(goals)
    rules = draw(st.lists(rule(goal), min_size=1, max_size=4, unique_by=lambda each: each.id))
    candidate = draw(st.dictionaries(st.sampled_from(NAMES), anything))
    baseline = draw(st.none() | st.dictionaries(st.sampled_from(NAMES), anything))
    return goal, rules, candidate, baseline


def _judge(
    goal: Goal,
    rules: list[GateSpec],
    candidate: dict[str, float],
    baseline: dict[str, float] | None,
    overrides: tuple[Override, ...] = (),
) -> Verdict:
    return evaluate(
        rules,
        metrics=tuple(MetricSpec(name=name, goal=goal) for name in NAMES),
        candidate=Side(evidence=Evidence(label="this change", metrics=candidate)),
        baseline=None if baseline is None else Side(evidence=Evidence(label="production", metrics=baseline)),
        overrides=overrides,
        head_sha="abc",
    )


@given(case(), st.sampled_from(NAMES), st.floats(0, 1e300))
def test_a_better_metric_never_makes_the_verdict_worse(
    given_case: tuple[Goal, list[GateSpec], dict[str, float], dict[str, float] | None], name: str, gain: float
) -> None:
    goal, rules, candidate, baseline = given_case
    before = candidate.get(name, math.nan)
    better = before + gain if goal is Goal.MAXIMIZE else before - gain
    if not math.isfinite(better):
        return
    old, new = (_judge(goal, rules, values, baseline) for values in (candidate, candidate | {name: better}))
    assert RANK[new.outcome] <= RANK[old.outcome]
    for was, now in zip(old.checks, new.checks, strict=True):
        assert RANK[outcome_of(now)] <= RANK[outcome_of(was)]


@given(case(), st.sampled_from([math.nan, math.inf, -math.inf, None]))
def test_what_is_no_number_never_passes(
    given_case: tuple[Goal, list[GateSpec], dict[str, float], dict[str, float] | None], value: float | None
) -> None:
    goal, rules, candidate, baseline = given_case
    judged = rules[0].metric or ""
    values = {name: number for name, number in candidate.items() if name != judged}
    if value is not None:
        values[judged] = value
    verdict = _judge(goal, rules, values, baseline)
    assert verdict.outcome is not Outcome.PASS
    assert RANK[outcome_of(verdict.checks[0])] >= RANK[Outcome.WARN]
    if rules[0].severity is Severity.FAIL:
        assert not verdict.allows_merge


@given(case(), st.lists(st.sampled_from(["g1", "g2", "g3", "other"]), max_size=3))
def test_an_override_never_makes_the_verdict_worse(
    given_case: tuple[Goal, list[GateSpec], dict[str, float], dict[str, float] | None], names: list[str]
) -> None:
    overrides = tuple(Override(check=name, actor="dan", reason="known", head_sha="abc") for name in names)
    old, new = _judge(*given_case), _judge(*given_case, overrides)
    assert RANK[new.outcome] <= RANK[old.outcome]
    for was, now in zip(old.checks, new.checks, strict=True):
        assert RANK[outcome_of(now)] <= RANK[outcome_of(was)]
    # Whatever is accepted is still shown: an override alone never makes a clean pass.
    assert (new.outcome is Outcome.PASS) == (old.outcome is Outcome.PASS)


@given(case(), st.randoms(use_true_random=False))
def test_the_order_of_rules_and_overrides_is_irrelevant(
    given_case: tuple[Goal, list[GateSpec], dict[str, float], dict[str, float] | None], random: object
) -> None:
    goal, rules, candidate, baseline = given_case
    overrides = [Override(check=each.id, actor=f"p{i}", reason="r", head_sha="abc") for i, each in enumerate(rules)]
    shuffled, mixed = list(rules), list(overrides)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # a Random
    random.shuffle(mixed)  # type: ignore[attr-defined]  # a Random
    first = _judge(goal, rules, candidate, baseline, tuple(overrides))
    second = _judge(goal, shuffled, candidate, baseline, tuple(mixed))
    assert first.outcome == second.outcome
    assert {check.id: check for check in first.checks} == {check.id: check for check in second.checks}


@st.composite
def predictions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    n = draw(st.integers(20, 60))
    bits = st.lists(st.integers(0, 1), min_size=n, max_size=n)
    label, ours, theirs, fixed = (np.array(draw(bits), dtype=float) for _ in range(4))
    return label, ours, theirs, fixed


@settings(max_examples=60)
@given(predictions(), st.floats(0, 0.3), st.sampled_from(["accuracy", "mae"]))
def test_mending_predictions_never_makes_a_paired_verdict_worse(
    data: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], limit: float, name: str
) -> None:
    label, ours, theirs, fixed = data
    mended = np.where(fixed == 1, label, ours)
    rules = [
        GateSpec(id="all", metric="m", paired=True, max_regression=limit),
        GateSpec(id="by", metric="m", paired=True, slices=("group",), min_rows=5, max_regression=limit),
    ]
    goal = Goal.MAXIMIZE if name == "accuracy" else Goal.MINIMIZE
    group = np.array([f"g{i % 3}" for i in range(label.size)])

    def side(values: np.ndarray) -> Side:
        joined = Joined(rows=Rows(label=label, prediction=values), slices={"group": group})
        return Side(evidence=Evidence(label="x"), joined=joined)

    outcomes = [
        evaluate(
            rules,
            metrics=(MetricSpec(name="m", compute=name, goal=goal),),
            candidate=side(values),
            baseline=side(theirs),
        )
        for values in (ours, mended)
    ]
    for was, now in zip(outcomes[0].checks, outcomes[1].checks, strict=True):
        assert RANK[outcome_of(now)] <= RANK[outcome_of(was)]
    assert RANK[outcomes[1].outcome] <= RANK[outcomes[0].outcome]


@given(case())
def test_a_rule_that_only_warns_never_blocks(
    given_case: tuple[Goal, list[GateSpec], dict[str, float], dict[str, float] | None],
) -> None:
    goal, rules, candidate, baseline = given_case
    soft = [dataclasses.replace(each, severity=Severity.WARN) for each in rules]
    assert _judge(goal, soft, candidate, baseline).allows_merge
