import math

import pytest

from headway.gates.compare import (
    Finding,
    interval,
    limit_text,
    regression,
    regression_interval,
    show,
    threshold,
    worst,
)
from headway.gates.model import CheckState, Comparison
from headway.projects.model import GateSpec
from headway.stats.bootstrap import Effect


def _effect(effect: float, low: float, high: float) -> Effect:
    return Effect(candidate=0.8 + effect, baseline=0.8, effect=effect, low=low, high=high, replicates=1000)


@pytest.mark.parametrize(
    ("value", "minimum", "maximum", "state"),
    [
        (0.85, 0.85, None, "passed"),
        (0.8499, 0.85, None, "failed"),
        (40.0, None, 40.0, "passed"),
        (40.1, None, 40.0, "failed"),
        (0.1 + 0.2, None, 0.3, "passed"),  # 0.30000000000000004
        (1 - 0.9, 0.1, None, "passed"),  # 0.09999999999999998
        (0.5, 0.4, 0.6, "passed"),
        (0.7, 0.4, 0.6, "failed"),
        (1.0, None, None, "passed"),
    ],
)
def test_limits_are_inclusive_and_forgive_rounding(
    value: float, minimum: float | None, maximum: float | None, state: str
) -> None:
    assert worst(threshold(value, minimum=minimum, maximum=maximum)).state == state


@pytest.mark.parametrize(
    ("candidate", "baseline", "higher", "limit", "state"),
    [
        (0.860, 0.862, True, 0.002, "passed"),  # the difference is 0.0020000000000000018 in binary
        (0.859, 0.862, True, 0.002, "failed"),
        (0.9, 0.8, True, 0.0, "passed"),
        (0.414, 0.412, False, 0.002, "passed"),
        (0.415, 0.412, False, 0.002, "failed"),
        (0.3, 0.4, False, 0.0, "passed"),
        (1e308, -1e308, False, 0.0, "failed"),  # the loss overflows to infinity
        (-1e308, 1e308, False, 0.0, "passed"),
    ],
)
def test_a_regression_is_measured_in_the_direction_of_the_goal(
    candidate: float, baseline: float, higher: object, limit: float, state: str
) -> None:
    found = regression(candidate, baseline, higher_is_better=bool(higher), limit=limit)
    assert found.state == state


@pytest.mark.parametrize(
    ("effect", "limit", "state"),
    [
        (_effect(-0.03, -0.04, -0.02), 0.01, "failed"),  # all of it beyond
        (_effect(-0.03, -0.06, 0.00), 0.01, "cannot_tell"),  # point beyond, interval across
        (_effect(-0.005, -0.02, 0.01), 0.01, "passed"),  # point within, interval across
        (_effect(-0.005, -0.009, -0.001), 0.01, "passed"),  # all of it within
        (_effect(0.02, 0.01, 0.03), 0.0, "passed"),
        (_effect(-0.01, -0.01, -0.01), 0.01, "passed"),  # exactly the limit
    ],
)
def test_the_interval_is_judged_and_not_the_point(effect: Effect, limit: float, state: str) -> None:
    up = regression_interval(effect, higher_is_better=True, limit=limit, confidence=0.95)
    mirrored = _effect(-effect.effect, -effect.high, -effect.low)
    down = regression_interval(mirrored, higher_is_better=False, limit=limit, confidence=0.95)
    assert (up.state, down.state) == (state, state)


def test_a_pass_that_is_not_sure_says_so() -> None:
    found = regression_interval(_effect(0.001, -0.02, 0.02), higher_is_better=True, limit=0.01, confidence=0.95)
    assert found.state is CheckState.PASSED
    assert "not surely" in found.message
    assert "-0.02 to 0.02" in found.message


@pytest.mark.parametrize(
    ("low", "high", "higher", "expected"),
    [
        (0.01, 0.02, True, Comparison.BETTER),
        (0.01, 0.02, False, Comparison.WORSE),
        (-0.02, -0.01, True, Comparison.WORSE),
        (-0.02, -0.01, False, Comparison.BETTER),
        (-0.01, 0.01, True, Comparison.CANNOT_TELL),
        (0.0, 0.01, True, Comparison.CANNOT_TELL),
    ],
)
def test_better_and_worse_need_the_whole_interval(
    low: float, high: float, higher: object, expected: Comparison
) -> None:
    effect = _effect((low + high) / 2, low, high)
    assert interval(effect, higher_is_better=bool(higher), confidence=0.9).comparison is expected


def test_the_worst_finding_wins_and_every_message_is_kept_once() -> None:
    found = worst(
        [
            Finding(state=CheckState.PASSED, message="note"),
            Finding(state=CheckState.FAILED, message="bad"),
            Finding(state=CheckState.CANNOT_TELL, message="note"),
        ]
    )
    assert found == Finding(state=CheckState.FAILED, message="note; bad")
    assert worst([]).state is CheckState.PASSED


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (GateSpec(id="a", minimum=0.85), "≥ 0.85"),
        (GateSpec(id="a", maximum=40), "≤ 40"),
        (GateSpec(id="a", minimum=0.1, max_regression=0.01), "≥ 0.1, no more than 0.01 worse"),
        (GateSpec(id="a", max_regression=0.0), "not worse"),
        (GateSpec(id="a", paired=True), "not worse"),
        (GateSpec(id="a"), ""),
    ],
)
def test_limits_in_words(rule: GateSpec, text: str) -> None:
    assert limit_text(rule) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.85, "0.85"),
        (1e-5, "0.00001"),
        (123456.0, "123456"),
        (-0.0, "0"),
        (1e-12, "0"),
        (math.nan, "nan"),
        (0.123456, "0.1235"),
    ],
)
def test_numbers_for_people_have_no_exponent(value: float, text: str) -> None:
    assert show(value) == text
