import dataclasses
import math

import numpy as np
import pytest

from headway.gates.evaluate import evaluate, outcome_of
from headway.gates.measure import Side
from headway.gates.model import Check, CheckState, Comparison, Evidence, Outcome, Override, Verdict
from headway.gates.predictions import Joined
from headway.projects.model import GateSpec, Goal, MetricSpec, Severity
from headway.stats.metrics import Rows

AUC = MetricSpec(name="auc", primary=True)
LOSS = MetricSpec(name="loss", goal=Goal.MINIMIZE)
ACCURACY = MetricSpec(name="acc", compute="accuracy")
RANK = MetricSpec(name="rank", compute="roc_auc")
METRICS = (AUC, LOSS, ACCURACY, RANK)


def _side(label: str = "this change", *, joined: Joined | None = None, problem: str = "", **metrics: float) -> Side:
    return Side(evidence=Evidence(label=label, metrics=metrics), joined=joined, problem=problem)


def _broken(label: str = "this change") -> Side:
    return Side(evidence=Evidence(label=label, metrics={"auc": 0.9}, problem="the run has no metrics"))


def _joined(correct: object, origin: list[str] | None = None, *, label: object = None) -> Joined:
    """Rows whose predictions are right where `correct` is true."""
    right = np.asarray(correct, dtype=bool)
    labels = np.arange(right.size) % 2 if label is None else np.asarray(label)
    found = np.where(right, labels, 1 - labels).astype(float)
    slices = {} if origin is None else {"origin": np.array(origin)}
    return Joined(rows=Rows(label=labels.astype(float), prediction=found, score=found), slices=slices)


def _judge(rule: GateSpec, candidate: Side, baseline: Side | None = None, **more: object) -> Verdict:
    return evaluate([rule], metrics=METRICS, candidate=candidate, baseline=baseline, **more)  # type: ignore[arg-type]


def _only(verdict: Verdict) -> Check:
    (check,) = verdict.checks
    return check


def test_no_rules_and_a_run_pass() -> None:
    assert evaluate([], metrics=METRICS, candidate=_side()).outcome is Outcome.PASS


def test_no_rules_and_no_evidence_do_not_pass() -> None:
    verdict = evaluate([], metrics=METRICS, candidate=_broken())
    assert verdict.outcome is Outcome.CANNOT_TELL
    assert not verdict.allows_merge
    assert verdict.notes == ("this change: the run has no metrics",)


@pytest.mark.parametrize(
    ("rule", "values", "state", "outcome"),
    [
        (GateSpec(id="g", metric="auc", minimum=0.85), {"auc": 0.85}, "passed", "pass"),
        (GateSpec(id="g", metric="auc", minimum=0.85), {"auc": 0.84}, "failed", "fail"),
        (GateSpec(id="g", metric="loss", maximum=0.4), {"loss": 0.5}, "failed", "fail"),
        (GateSpec(id="g", metric="auc", minimum=0.85, severity=Severity.WARN), {"auc": 0.84}, "warned", "warn"),
        (GateSpec(id="g", metric="auc", minimum=0.85), {}, "missing", "fail"),
        (GateSpec(id="g", metric="auc", minimum=0.85), {"auc": math.nan}, "missing", "fail"),
        (GateSpec(id="g", metric="auc", minimum=0.85), {"auc": math.inf}, "missing", "fail"),
        (GateSpec(id="g", metric="auc", minimum=0.85, severity=Severity.WARN), {}, "missing", "warn"),
        (GateSpec(id="g", metric="other", minimum=0.85), {"other": 0.9}, "missing", "fail"),
        (GateSpec(id="g", check="data_drift"), {}, "missing", "fail"),
        (GateSpec(id="g", check="data_drift", severity=Severity.WARN), {}, "missing", "warn"),
        (GateSpec(id="g"), {}, "missing", "fail"),
    ],
)
def test_thresholds(rule: GateSpec, values: dict[str, float], state: str, outcome: str) -> None:
    verdict = _judge(rule, _side(**values))
    assert (_only(verdict).state, verdict.outcome) == (state, outcome)
    assert verdict.allows_merge == (outcome in ("pass", "warn"))


def test_a_side_that_cannot_be_read_has_no_metric_at_all() -> None:
    check = _only(_judge(GateSpec(id="g", metric="auc", minimum=0.5), _broken()))
    assert check.state is CheckState.MISSING
    assert "the run has no metrics" in check.message


RULE = GateSpec(id="g", metric="auc", max_regression=0.002)


@pytest.mark.parametrize(
    ("baseline", "state", "says"),
    [
        (None, "passed", "no baseline yet: this run becomes it"),
        (_side("production", auc=0.86), "passed", ""),
        (_side("production", auc=0.862), "passed", ""),
        (_side("production", auc=0.87), "failed", "worse by 0.01, accepted: 0.002"),
        (_side("production"), "missing", "nothing to compare with: production has no metric auc"),
        (_side("production", auc=math.nan), "missing", "auc of production is nan"),
        (_broken("production"), "missing", "production: the run has no metrics"),
    ],
)
def test_regressions(baseline: Side | None, state: str, says: str) -> None:
    check = _only(_judge(RULE, _side(auc=0.86), baseline))
    assert check.state == state
    assert says in check.message


def test_one_rule_with_two_limits_is_one_check() -> None:
    rule = GateSpec(id="g", metric="auc", minimum=0.9, max_regression=0.002)
    check = _only(_judge(rule, _side(auc=0.86), _side("production", auc=0.87)))
    assert check.state is CheckState.FAILED
    assert check.limit == "≥ 0.9, no more than 0.002 worse"
    assert check.message == "0.86 is below 0.9; worse by 0.01, accepted: 0.002"
    assert check.change == pytest.approx(-0.01)


def test_an_overflowing_change_is_not_shown() -> None:
    check = _only(_judge(GateSpec(id="g", metric="auc", minimum=0), _side(auc=1e308), _side("b", auc=-1e308)))
    assert check.change is None


# --- computed from predictions


def test_what_the_run_claims_does_not_count_where_headway_computes() -> None:
    rule = GateSpec(id="g", metric="acc", minimum=0.9)
    verdict = _judge(rule, _side(joined=_joined([True, True, False, True]), acc=0.99))
    assert _only(verdict).candidate == 0.75
    assert _only(verdict).state is CheckState.FAILED
    assert verdict.notes == ("the run logged acc 0.99, its predictions give 0.75: the second counts",)


def test_an_honest_claim_needs_no_note() -> None:
    rule = GateSpec(id="g", metric="acc", minimum=0.5)
    assert _judge(rule, _side(joined=_joined([True, True, False, True]), acc=0.75)).notes == ()


@pytest.mark.parametrize(
    ("side", "says"),
    [
        (_side(acc=0.99), "has no predictions"),
        (_side(acc=0.99, problem="1 of 3 rows have no prediction"), "1 of 3 rows have no prediction"),
        (
            _side(joined=Joined(rows=Rows(label=np.ones(3), score=np.ones(3)))),
            "accuracy has no meaning for the predictions of this change",
        ),
    ],
)
def test_without_joined_predictions_a_computed_metric_is_missing(side: Side, says: str) -> None:
    check = _only(_judge(GateSpec(id="g", metric="acc", minimum=0.1), side))
    assert check.state is CheckState.MISSING
    assert says in check.message


def test_a_recorded_number_stands_in_for_predictions_of_the_baseline() -> None:
    rule = GateSpec(id="g", metric="acc", max_regression=0.0)
    candidate = _side(joined=_joined([True, True, True, False]))
    assert _only(_judge(rule, candidate, _side("production", acc=0.8))).state is CheckState.FAILED
    assert _only(_judge(rule, candidate, _side("production"))).state is CheckState.MISSING
    joined = _side("production", joined=_joined([False] * 4))
    assert _only(_judge(rule, candidate, joined)).baseline == 0.0


# --- slices

ORIGIN = ["JFK"] * 300 + ["EWR"] * 200 + ["LGA"] * 10
SLICED = GateSpec(id="acc/origin", metric="acc", slices=("origin",), minimum=0.9, min_rows=100)


def _by_origin(jfk: int, ewr: int, lga: int) -> Joined:
    """So many right predictions in each airport."""
    right = [i < jfk for i in range(300)] + [i < ewr for i in range(200)] + [i < lga for i in range(10)]
    return _joined(right, ORIGIN)


def test_each_slice_is_a_check_of_its_own() -> None:
    verdict = _judge(SLICED, _side(joined=_by_origin(300, 100, 0)))
    assert [(check.id, check.state, check.rows, check.judged) for check in verdict.checks] == [
        ("acc/origin:origin=JFK", CheckState.PASSED, 300, True),
        ("acc/origin:origin=EWR", CheckState.FAILED, 200, True),
        ("acc/origin:origin=LGA", CheckState.CANNOT_TELL, 10, False),
    ]
    assert verdict.outcome is Outcome.FAIL
    assert verdict.checks[1].candidate == 0.5


def test_a_slice_with_too_few_rows_is_shown_without_weight() -> None:
    verdict = _judge(SLICED, _side(joined=_by_origin(300, 200, 0)))
    assert verdict.outcome is Outcome.PASS
    assert verdict.notes == ("too few rows to judge: origin=LGA",)
    assert "10 rows are too few" in verdict.checks[2].message


def test_where_no_slice_can_be_judged_nobody_can_tell() -> None:
    rule = dataclasses.replace(SLICED, min_rows=1000)
    verdict = _judge(rule, _side(joined=_by_origin(300, 200, 10)))
    assert verdict.outcome is Outcome.CANNOT_TELL
    assert verdict.checks[-1].id == "acc/origin:origin"
    assert "none of the 3 slices by origin can be judged" in verdict.checks[-1].message
    warning = _judge(dataclasses.replace(rule, severity=Severity.WARN), _side(joined=_by_origin(300, 200, 10)))
    assert warning.outcome is Outcome.WARN


def test_labels_of_one_class_leave_a_ranking_without_meaning() -> None:
    label = [1] * 300 + [0, 1] * 100 + [0] * 10
    joined = _joined([True] * 510, ORIGIN, label=label)
    rule = GateSpec(id="g", metric="rank", slices=("origin",), minimum=0.9, min_rows=100)
    verdict = _judge(rule, _side(joined=joined))
    assert verdict.outcome is Outcome.PASS
    assert "all 300 labels are equal" in verdict.checks[0].message
    assert not verdict.checks[0].judged


def test_many_small_slices_are_summed_up_in_one_note() -> None:
    joined = _joined([True] * 120, [f"A{i:02}" for i in range(20)] + ["JFK"] * 100)
    (note,) = _judge(SLICED, _side(joined=joined)).notes
    assert note.endswith("…")


@pytest.mark.parametrize(
    ("rule", "side", "says"),
    [
        (SLICED, _side(), "no predictions"),
        (SLICED, _side(problem="the predictions are no CSV"), "are no CSV"),
        (SLICED, _broken(), "the run has no metrics"),
        (SLICED, _side(joined=_joined([True] * 4)), "column origin is not declared"),
        (SLICED, _side(joined=_joined([True] * 600, [f"r{i}" for i in range(600)])), "has over 500 values"),
        (
            dataclasses.replace(SLICED, metric="auc"),
            _side(joined=_by_origin(300, 200, 10), auc=0.9),
            "no way to compute auc from predictions",
        ),
    ],
)
def test_slices_without_evidence_are_missing(rule: GateSpec, side: Side, says: str) -> None:
    check = _only(_judge(rule, side))
    assert check.state is CheckState.MISSING
    assert says in check.message


def test_a_slice_is_compared_with_the_same_slice_of_the_baseline() -> None:
    rule = GateSpec(id="g", metric="acc", slices=("origin",), max_regression=0.01, min_rows=100)
    verdict = _judge(rule, _side(joined=_by_origin(290, 180, 0)), _side("production", joined=_by_origin(280, 190, 0)))
    jfk, ewr, _ = verdict.checks
    assert (jfk.state, ewr.state) == (CheckState.PASSED, CheckState.FAILED)
    assert ewr.change == pytest.approx(-0.05)


@pytest.mark.parametrize("baseline", [_broken("production"), _side("production", acc=0.5)])
def test_a_baseline_without_rows_has_no_slices(baseline: Side) -> None:
    rule = GateSpec(id="g", metric="acc", slices=("origin",), max_regression=0.01, min_rows=100)
    verdict = _judge(rule, _side(joined=_by_origin(290, 180, 0)), baseline)
    assert [check.state for check in verdict.checks if check.judged] == [CheckState.MISSING] * 2


def test_a_slice_value_is_one_word_of_a_comment() -> None:
    joined = _joined([True] * 200, ["New York"] * 100 + ["a`b%"] * 100)
    first, second = _judge(SLICED, _side(joined=joined)).checks
    assert {first.id, second.id} == {"acc/origin:origin=New%20York", "acc/origin:origin=a%60b%25"}


# --- paired

PAIRED = GateSpec(id="g", metric="acc", paired=True, max_regression=0.01)


def _right(share: float, *, seed: int, n: int = 2000) -> Joined:
    return _joined(np.random.default_rng(seed).random(n) < share)


@pytest.mark.parametrize(
    ("candidate", "baseline", "state", "comparison"),
    [
        (_right(0.9, seed=1), _right(0.8, seed=2), "passed", Comparison.BETTER),
        (_right(0.7, seed=1), _right(0.8, seed=2), "failed", Comparison.WORSE),
        (_right(0.795, seed=1, n=300), _right(0.825, seed=2, n=300), "cannot_tell", Comparison.CANNOT_TELL),
        (_right(0.8, seed=1), _right(0.8, seed=1), "passed", Comparison.CANNOT_TELL),
    ],
)
def test_paired(candidate: Joined, baseline: Joined, state: str, comparison: Comparison) -> None:
    check = _only(_judge(PAIRED, _side(joined=candidate), _side("production", joined=baseline)))
    assert check.state == state
    assert check.interval is not None
    assert check.interval.comparison is comparison
    assert check.interval.low <= check.interval.effect <= check.interval.high


def test_who_cannot_tell_does_not_merge_unless_the_rule_only_warns() -> None:
    sides = (_side(joined=_right(0.795, seed=1, n=300)), _side("production", joined=_right(0.825, seed=2, n=300)))
    assert _judge(PAIRED, *sides).outcome is Outcome.CANNOT_TELL
    assert not _judge(PAIRED, *sides).allows_merge
    assert _judge(dataclasses.replace(PAIRED, severity=Severity.WARN), *sides).outcome is Outcome.WARN


def test_paired_in_slices() -> None:
    rule = dataclasses.replace(PAIRED, slices=("origin",), min_rows=100)
    verdict = _judge(rule, _side(joined=_by_origin(290, 100, 0)), _side("production", joined=_by_origin(280, 190, 0)))
    jfk, ewr, _ = verdict.checks
    assert (jfk.state, ewr.state) == (CheckState.PASSED, CheckState.FAILED)
    assert ewr.interval is not None
    assert ewr.interval.comparison is Comparison.WORSE


@pytest.mark.parametrize(
    ("candidate", "baseline", "says"),
    [
        (_side(joined=_right(0.9, seed=1)), _side("production", acc=0.8), "production has no predictions"),
        (_side(joined=_right(0.9, seed=1)), _broken("production"), "the run has no metrics"),
        (
            _side(joined=_right(0.9, seed=1)),
            _side("production", problem="1 of 9 rows have no prediction"),
            "1 of 9 rows",
        ),
    ],
)
def test_paired_without_rows_on_both_sides_is_missing(candidate: Side, baseline: Side, says: str) -> None:
    check = _only(_judge(PAIRED, candidate, baseline))
    assert check.state is CheckState.MISSING
    assert says in check.message


def test_paired_on_a_metric_that_nobody_can_compute_is_missing() -> None:
    rule = GateSpec(id="g", metric="auc", paired=True)
    check = _only(_judge(rule, _side(auc=0.9), _side("production", auc=0.8)))
    assert check.state is CheckState.MISSING
    assert "no way to compute auc" in check.message


def test_paired_where_most_resamples_have_no_meaning_is_missing() -> None:
    label = np.zeros(40)
    label[0] = 1
    joined = _joined(np.ones(40), label=label)
    rule = GateSpec(id="g", metric="rank", paired=True)
    check = _only(_judge(rule, _side(joined=joined), _side("production", joined=joined)))
    assert check.state is CheckState.MISSING
    assert "in too many resamples" in check.message


def test_paired_without_a_baseline_passes_and_says_so() -> None:
    check = _only(_judge(PAIRED, _side(joined=_right(0.9, seed=1))))
    assert (check.state, check.message) == (CheckState.PASSED, "no baseline yet: this run becomes it")


def test_a_broken_baseline_with_rows_is_still_broken() -> None:
    broken = dataclasses.replace(_broken("production"), joined=_right(0.8, seed=2))
    assert _only(_judge(PAIRED, _side(joined=_right(0.9, seed=1)), broken)).state is CheckState.MISSING


# --- overrides


def _override(check: str, sha: str = "abc", actor: str = "dan") -> Override:
    return Override(check=check, actor=actor, reason="known", head_sha=sha)


@pytest.mark.parametrize("word", ["acc/origin:origin=EWR", "acc/origin", "origin=EWR"])
def test_an_override_names_a_check_a_rule_or_a_slice(word: str) -> None:
    verdict = _judge(SLICED, _side(joined=_by_origin(300, 100, 0)), None, overrides=[_override(word)], head_sha="abc")
    assert [check.state for check in verdict.checks] == ["passed", "overridden", "cannot_tell"]
    assert verdict.outcome is Outcome.WARN
    assert (verdict.checks[1].overridden_by, verdict.checks[1].override_reason) == ("dan", "known")


@pytest.mark.parametrize(("sha", "head"), [("other", "abc"), ("", ""), ("abc", "")])
def test_an_override_is_for_one_head_commit(sha: str, head: str) -> None:
    verdict = _judge(RULE, _side(auc=0.1), _side("b", auc=0.9), overrides=[_override("g", sha)], head_sha=head)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.notes == ()


def test_an_override_of_nothing_names_the_nearest() -> None:
    verdict = _judge(SLICED, _side(joined=_by_origin(300, 100, 0)), overrides=[_override("origin=EWQ")], head_sha="abc")
    assert verdict.outcome is Outcome.FAIL
    assert "names no check; the nearest is acc/origin:origin=EWR" in verdict.notes[-1]
    nothing = evaluate([], metrics=(), candidate=_side(), overrides=[_override("x")], head_sha="abc")
    assert nothing.notes == ("the override of x by dan names no check",)


def test_what_has_passed_stays_passed() -> None:
    verdict = _judge(RULE, _side(auc=0.9), _side("b", auc=0.9), overrides=[_override("g")], head_sha="abc")
    assert verdict.outcome is Outcome.PASS


def test_missing_evidence_can_be_accepted_knowingly() -> None:
    verdict = _judge(RULE, _side(), _side("b", auc=0.9), overrides=[_override("g")], head_sha="abc")
    assert verdict.outcome is Outcome.WARN


# --- fairness

FAIR = GateSpec(id="fair", fairness="equal_opportunity_difference", slices=("origin",), maximum=0.1, min_rows=100)


def test_the_gap_between_groups() -> None:
    check = _only(_judge(FAIR, _side(joined=_by_origin(300, 100, 0))))
    assert check.state is CheckState.FAILED
    assert check.candidate == pytest.approx(0.5)
    assert check.id == "fair"
    assert check.rows == 500
    assert "left out, under 100 rows: LGA" in check.message


def test_a_fair_model_passes() -> None:
    assert _only(_judge(FAIR, _side(joined=_by_origin(300, 200, 0)))).state is CheckState.PASSED
    few = dataclasses.replace(FAIR, min_rows=5)
    assert "left out" not in _only(_judge(few, _side(joined=_by_origin(300, 200, 10)))).message


def test_without_columns_every_declared_one_is_judged() -> None:
    rule = dataclasses.replace(FAIR, slices=())
    check = _only(_judge(rule, _side(joined=_by_origin(300, 200, 0))))
    assert check.id == "fair:origin"
    assert _only(_judge(rule, _side())).state is CheckState.MISSING


@pytest.mark.parametrize(
    ("rule", "side", "state", "says"),
    [
        (FAIR, _side(), "missing", "no predictions"),
        (dataclasses.replace(FAIR, fairness="fair"), _side(joined=_by_origin(1, 1, 1)), "missing", "is no known gap"),
        (
            dataclasses.replace(FAIR, min_rows=250),
            _side(joined=_by_origin(300, 200, 0)),
            "cannot_tell",
            "fewer than two groups",
        ),
        (
            dataclasses.replace(FAIR, fairness="demographic_parity_ratio", minimum=0.8, maximum=None),
            _side(joined=_joined([True] * 510, ORIGIN, label=[0] * 510)),
            "missing",
            "has no meaning",
        ),
    ],
)
def test_a_gap_without_evidence(rule: GateSpec, side: Side, state: str, says: str) -> None:
    check = _only(_judge(rule, side))
    assert check.state == state
    assert says in check.message


def test_many_small_groups_are_named_shortly() -> None:
    joined = _joined([True] * 210, ["JFK"] * 100 + ["EWR"] * 100 + [f"A{i}" for i in range(10)])
    assert _only(_judge(FAIR, _side(joined=joined))).message.endswith("…")


@pytest.mark.parametrize(
    ("baseline", "state"),
    [
        (None, "passed"),
        (_side("production", joined=_by_origin(300, 90, 0)), "passed"),
        (_side("production", joined=_by_origin(300, 190, 0)), "failed"),
        (_side("production"), "missing"),
        (_broken("production"), "missing"),
        (_side("production", joined=_joined([True] * 510, ORIGIN, label=[0] * 510)), "missing"),
    ],
)
def test_a_gap_may_not_grow(baseline: Side | None, state: str) -> None:
    rule = dataclasses.replace(FAIR, maximum=None, max_regression=0.01)
    assert _only(_judge(rule, _side(joined=_by_origin(300, 100, 0)), baseline)).state == state


def test_the_outcome_is_that_of_the_worst_check() -> None:
    rules = [
        GateSpec(id="a", metric="auc", minimum=0.5),
        GateSpec(id="b", metric="auc", minimum=0.95, severity=Severity.WARN),
    ]
    verdict = evaluate(rules, metrics=METRICS, candidate=_side(auc=0.9))
    assert [outcome_of(check) for check in verdict.checks] == [Outcome.PASS, Outcome.WARN]
    assert verdict.outcome is Outcome.WARN
    assert verdict.allows_merge


def test_a_known_metric_has_its_direction_without_a_spec() -> None:
    rule = GateSpec(id="g", metric="log_loss", max_regression=0.0)
    verdict = evaluate([rule], metrics=(), candidate=_side(log_loss=0.5), baseline=_side("b", log_loss=0.4))
    assert verdict.outcome is Outcome.FAIL


def test_notes_of_the_join_are_shown() -> None:
    joined = dataclasses.replace(_joined([True] * 4), notes=("slice column x comes from the predictions",))
    assert evaluate([], metrics=(), candidate=_side(joined=joined)).notes == joined.notes


def test_rows_of_another_holdout_are_no_pairs() -> None:
    ours = dataclasses.replace(_by_origin(300, 200, 10), key="new")
    same_size = dataclasses.replace(_by_origin(300, 200, 10), key="old")
    smaller = dataclasses.replace(_joined([True] * 4), key="new")
    rule = dataclasses.replace(PAIRED, slices=("origin",), min_rows=100)
    for theirs in (same_size, smaller):
        baseline = _side("production", joined=theirs, acc=0.99)
        for each in (PAIRED, rule):
            verdict = _judge(each, _side(joined=ours), baseline)
            assert verdict.outcome is Outcome.FAIL
            assert "for another hold-out" in verdict.checks[0].message
            assert "production: its predictions are for another hold-out" in verdict.notes[0]


def test_a_whole_metric_falls_back_to_the_recorded_number_of_another_holdout() -> None:
    ours = dataclasses.replace(_joined([True, True, True, False]), key="new")
    baseline = _side("production", joined=dataclasses.replace(_joined([True] * 4), key="old"), acc=0.7)
    check = _only(_judge(GateSpec(id="g", metric="acc", max_regression=0.0), _side(joined=ours), baseline))
    assert (check.state, check.baseline) == (CheckState.PASSED, 0.7)
