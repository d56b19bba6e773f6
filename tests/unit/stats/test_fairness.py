import math

import numpy as np
import pytest

from headway.stats.fairness import FAIRNESS, GroupRates, group_rates
from headway.stats.metrics import Rows

# The worked example of Fairlearn's user guide on MetricFrame: fairness of nine predictions over two groups.
LABEL = np.array([0, 1, 1, 1, 1, 0, 1, 0, 1, 0], dtype=float)
FOUND = np.array([0, 1, 1, 1, 0, 0, 0, 1, 1, 0], dtype=float)
SEX = np.array(list("bbbaaaabbb"))


def _groups() -> list[GroupRates]:
    return [group_rates(name, Rows(label=LABEL, prediction=FOUND).take(name == SEX)) for name in ("a", "b")]


def test_rates_by_hand() -> None:
    first, second = _groups()
    assert (first.rows, second.rows) == (4, 6)
    assert first.selection_rate == 1 / 4
    assert second.selection_rate == 4 / 6
    assert first.true_positive_rate == pytest.approx(1 / 3)
    assert second.true_positive_rate == 1.0
    assert first.false_positive_rate == 0.0
    assert second.false_positive_rate == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("demographic_parity_difference", 4 / 6 - 1 / 4),
        ("demographic_parity_ratio", (1 / 4) / (4 / 6)),
        ("equal_opportunity_difference", 2 / 3),
        ("equal_opportunity_ratio", 1 / 3),
        ("equalized_odds_difference", 2 / 3),  # the larger of the two gaps
        ("equalized_odds_ratio", 0.0),  # the smaller of the two ratios
    ],
)
def test_gaps_by_hand(name: str, expected: float) -> None:
    assert FAIRNESS[name].of(_groups()) == pytest.approx(expected)


def test_equal_groups_are_fair() -> None:
    same = [
        GroupRates(group=g, rows=9, selection_rate=0.4, true_positive_rate=0.7, false_positive_rate=0.1) for g in "abc"
    ]
    assert {name: measure.of(same) for name, measure in FAIRNESS.items()} == {
        name: (1.0 if measure.higher_is_better else 0.0) for name, measure in FAIRNESS.items()
    }


@pytest.mark.parametrize("name", sorted(FAIRNESS))
def test_a_rate_without_rows_gives_no_gap(name: str) -> None:
    nan = math.nan
    holes = [
        GroupRates(group="a", rows=3, selection_rate=0.5, true_positive_rate=0.5, false_positive_rate=0.5),
        GroupRates(group="b", rows=3, selection_rate=nan, true_positive_rate=nan, false_positive_rate=nan),
    ]
    assert math.isnan(FAIRNESS[name].of(holes))
    assert math.isnan(FAIRNESS[name].of([]))


def test_nobody_selected_is_no_evidence_of_fairness() -> None:
    none = [GroupRates(group=g, rows=3, selection_rate=0, true_positive_rate=0, false_positive_rate=0) for g in "ab"]
    assert math.isnan(FAIRNESS["demographic_parity_ratio"].of(none))
    assert FAIRNESS["demographic_parity_difference"].of(none) == 0
