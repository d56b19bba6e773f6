import math
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.reports import numbers


@pytest.mark.parametrize(
    ("values", "places"),
    [
        ((0.874, 0.862), 3),
        ((24.0, 21.0), 0),
        ((24.5, 21.0), 2),
        ((1234.5, 1200.1), 1),
        ((0.0001234, 0.0001), 6),
        ((0.87412, 0.87411), 5),
        ((0.5, 0.5), 3),
        ((None, math.nan), 0),
        ((0.0, None), 0),
        ((1e-30, 2e-30), 10),
    ],
)
def test_decimals_show_the_difference(values: tuple[float | None, ...], places: int) -> None:
    assert numbers.decimals(*values) == places


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (0.874, None, "0.874"),
        (-0.011, 3, "−0.011"),
        (248301.0, None, "248,301"),
        (-0.0001, 2, "0.00"),
        (None, None, "–"),
        (math.nan, None, "NaN"),
        (math.inf, None, "infinite"),
        (-math.inf, None, "−infinite"),
        (1.5e20, None, "1.50 × 10^20"),
        (-1.5e20, None, "−1.50 × 10^20"),
        (3e-7, None, "0.000000300"),
    ],
)
def test_numbers(value: float | None, places: int | None, text: str) -> None:
    assert numbers.number(value, places) == text


@given(st.floats())
def test_no_number_has_an_exponent_of_python(value: float) -> None:
    assert not re.search(r"\de[-+]?\d", numbers.number(value) + numbers.delta(value))


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (0.012, 3, "+0.012"),
        (-0.011, 3, "−0.011"),
        (0.0, 3, "0"),
        (-0.0001, 3, "0"),
        (None, 3, "–"),
        (math.nan, 3, "NaN"),
    ],
)
def test_changes(value: float | None, places: int, text: str) -> None:
    assert numbers.delta(value, places) == text


def test_a_size_is_never_shown_as_nothing() -> None:
    assert numbers.visible(0.002, 3) == "0.002"
    assert numbers.visible(0.0002, 3) == "0.000200"
    assert numbers.visible(0.0, 3) == "0.000"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (math.inf, "–"),
        (0.0, "0 s"),
        (-1.0, "0 s"),
        (0.44, "0.4 s"),
        (3.2, "3.2 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (372, "6 min 12 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (200_000, "2 days"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert numbers.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "about 1 s"), (42, "about 42 s"), (240, "about 4 min"), (7200, "about 2 h")]
)
def test_estimates(seconds: float, text: str) -> None:
    assert numbers.about(seconds) == text


def test_money_percent_time_and_counts() -> None:
    assert numbers.money(0.38, "$") == "about $0.38"
    assert numbers.money(0.001, "€") == "under €0.01"
    assert numbers.money(1234.5, "$") == "about $1,234.50"
    assert numbers.money(math.nan, "$") == "–"
    assert numbers.percent(0.0002) == "0.02 %"
    assert numbers.percent(0.1) == "10 %"
    assert numbers.percent(None) == "–"
    assert numbers.milliseconds(24.2) == "24 ms"
    assert numbers.milliseconds(3.25) == "3.2 ms"
    assert numbers.milliseconds(None) == "–"
    assert numbers.clock(datetime(2026, 11, 21, 9, 5, tzinfo=UTC)) == "09:05 UTC"
    assert numbers.count(1, "file") == "1 file"
    assert numbers.count(2_000, "entry", "entries") == "2,000 entries"
