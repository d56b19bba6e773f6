"""The token buckets of an installation by a hand-moved clock: never over GitHub's limits, never shut for good."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.story import HandClock
from headway.forges.github import budget
from headway.forges.github.budget import Bucket, Budget

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
ALLOWED_POINTS, ALLOWED_CONTENTS, ALLOWED_AN_HOUR = 900, 80, 500  # GitHub's documentation


@pytest.fixture
def clock() -> HandClock:
    return HandClock(NOON)


def _spend(spent: Budget, most: int, *, writes: bool, is_content: bool = False) -> int:
    """Ask until told to wait; return how often it was granted."""
    for granted in range(most):
        if spent.ask(writes=writes, is_content=is_content) is not None:
            return granted
    raise AssertionError(f"more than {most} requests at once")


def test_a_full_bucket_pays_its_size_and_then_says_exactly_when_to_come_back(clock: HandClock) -> None:
    bucket = Bucket(60, 60, timedelta(minutes=1), 60, NOON)
    for _ in range(60):
        assert bucket.wait_for(1, clock.now()) == timedelta()
        bucket.take(1)
    assert bucket.wait_for(1, clock.now()) == timedelta(seconds=1)
    assert bucket.wait_for(5, clock.now()) == timedelta(seconds=5)
    assert bucket.wait_for(5, NOON + timedelta(seconds=4)) == timedelta(seconds=1)
    assert bucket.wait_for(5, NOON + timedelta(seconds=5)) == timedelta()


def test_a_bucket_never_holds_more_than_its_size() -> None:
    bucket = Bucket(10, 60, timedelta(minutes=1), 10, NOON)
    assert bucket.wait_for(10, NOON + timedelta(days=3)) == timedelta()
    bucket.take(10)
    assert bucket.wait_for(1, NOON + timedelta(days=3)) > timedelta()


def test_reads_cost_one_point_and_writes_five(clock: HandClock) -> None:
    assert _spend(Budget(clock), 2000, writes=False) == budget.POINTS_HELD
    assert _spend(Budget(clock), 2000, writes=True) == budget.POINTS_HELD // budget.WRITE_COSTS


def test_new_contents_are_few_a_minute_and_fewer_an_hour(clock: HandClock) -> None:
    spent = Budget(clock)
    made = _spend(spent, 200, writes=True, is_content=True)
    assert made == budget.CONTENTS_HELD
    assert spent.ask(writes=True) is None, "an edit is no new content: it may go on"
    for _ in range(3599):
        clock.forward(1)
        made += _spend(spent, 200, writes=True, is_content=True)
    assert ALLOWED_AN_HOUR - 5 <= made <= ALLOWED_AN_HOUR


def test_a_request_that_must_wait_takes_nothing_of_any_bucket(clock: HandClock) -> None:
    spent = Budget(clock)
    _spend(spent, 200, writes=True, is_content=True)
    left = budget.POINTS_HELD - budget.CONTENTS_HELD * budget.WRITE_COSTS
    for _ in range(50):
        assert spent.ask(writes=True, is_content=True) == NOON + timedelta(seconds=1)
    assert _spend(spent, 2000, writes=False) == left


def test_whoever_comes_back_at_the_named_time_is_served(clock: HandClock) -> None:
    spent = Budget(clock)
    _spend(spent, 2000, writes=True)
    until = spent.ask(writes=True)
    assert until is not None
    clock.forward((until - NOON).total_seconds())
    assert spent.ask(writes=True) is None


def test_an_empty_bucket_gives_nothing_until_what_takes_several_requests_can_be_read(clock: HandClock) -> None:
    """By ones, whoever needs two requests would be refused the second each time, and waste the first."""
    spent = Budget(clock)
    _spend(spent, 2000, writes=False)
    until = spent.ask(writes=False)
    assert until is not None
    clock.forward((until - NOON).total_seconds() - 0.5)
    assert spent.ask(writes=False) == until
    clock.forward(0.5)
    assert _spend(spent, 2000, writes=False) == budget.POINTS_TO_GO_ON


def test_silence_lasts_until_the_time_that_github_names(clock: HandClock) -> None:
    spent = Budget(clock)
    until = NOON + timedelta(seconds=90)
    assert spent.be_silent(until) == until
    clock.forward(89)
    assert spent.ask(writes=False) == until
    clock.forward(1)
    assert spent.ask(writes=False) is None


def test_silence_is_never_shortened_by_a_later_answer_that_names_less(clock: HandClock) -> None:
    """Requests run beside each other: the last answer to arrive need not be the strictest."""
    spent = Budget(clock)
    spent.be_silent(NOON + timedelta(seconds=300))
    assert spent.be_silent(NOON + timedelta(seconds=10)) == NOON + timedelta(seconds=300)


def test_silence_without_a_time_is_a_minute_and_doubles_until_an_answer_comes(clock: HandClock) -> None:
    spent, waits = Budget(clock), []
    for _ in range(8):
        until = spent.be_silent(None)
        waits.append((until - clock.now()) / timedelta(minutes=1))
        clock.forward((until - clock.now()).total_seconds())
        assert spent.ask(writes=False) is None
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    spent.went_well()
    assert spent.be_silent(None) == clock.now() + timedelta(minutes=1)


@given(
    st.lists(
        st.tuples(st.booleans(), st.booleans(), st.floats(0, 40, allow_nan=False)),
        min_size=1,
        max_size=400,
    )
)
def test_no_minute_sees_more_than_github_allows(asked: list[tuple[bool, bool, float]]) -> None:
    """Whatever is asked and whenever: in every minute, wherever it begins, GitHub's documented limits are kept."""
    clock = HandClock(NOON)
    spent = Budget(clock)
    granted: list[tuple[datetime, int, int]] = []
    for writes, is_content, gap in asked:
        clock.forward(gap / 40)
        if spent.ask(writes=writes, is_content=writes and is_content) is None:
            granted.append((clock.now(), budget.WRITE_COSTS if writes else 1, int(writes and is_content)))
    for start, _, _ in granted:
        minute = [each for each in granted if start <= each[0] < start + timedelta(minutes=1)]
        assert sum(cost for _, cost, _ in minute) <= ALLOWED_POINTS
        assert sum(made for _, _, made in minute) <= ALLOWED_CONTENTS
