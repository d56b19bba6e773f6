from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from headway.clock import FixedClock, SystemClock, from_millis, to_millis


def test_the_machines_clock_is_aware_and_cut_to_milliseconds():
    now = SystemClock().now()
    assert now.tzinfo is UTC
    assert now.microsecond % 1000 == 0
    assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_fixed_clock_moves_only_when_it_is_told_to():
    clock = FixedClock(at=datetime(2026, 1, 1, tzinfo=UTC))
    assert clock.now() == clock.now()
    clock.advance(timedelta(seconds=90))
    assert clock.now() == datetime(2026, 1, 1, 0, 1, 30, tzinfo=UTC)


@given(st.integers(min_value=-62_135_596_800_000, max_value=253_402_300_799_999))
def test_milliseconds_survive_the_way_there_and_back(millis):
    assert to_millis(from_millis(millis)) == millis


def test_an_instant_of_another_zone_is_the_same_instant():
    there = datetime(2026, 1, 1, 3, tzinfo=timezone(timedelta(hours=3)))
    assert to_millis(there) == to_millis(datetime(2026, 1, 1, tzinfo=UTC))
