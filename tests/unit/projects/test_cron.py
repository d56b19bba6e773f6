"""Five cron fields: what they mean, what they cannot mean, and that a night without an hour changes nothing in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from headway.projects.cron import parse_cron


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "after", "due"),
    [
        ("* * * * *", "2026-01-01T00:00:30", "2026-01-01T00:01"),
        ("0 3 * * 1", "2026-11-26T09:00", "2026-11-30T03:00"),
        ("0 3 * * mon", "2026-11-26T09:00", "2026-11-30T03:00"),
        ("*/15 8-17 * * 1-5", "2026-11-27T17:45", "2026-11-30T08:00"),
        ("5/20 0 * * *", "2026-01-01T00:05", "2026-01-01T00:25"),
        ("0 0 1,15 * *", "2026-01-01T00:00", "2026-01-15T00:00"),
        ("0 0 31 * *", "2026-01-31T00:00", "2026-03-31T00:00"),
        ("0 0 29 2 *", "2024-02-29T00:00", "2028-02-29T00:00"),
        ("0 0 29 2 *", "2096-02-29T00:00", "2104-02-29T00:00"),  # 2100 is no leap year
        ("59 23 31 dec *", "2026-12-31T23:59", "2027-12-31T23:59"),
        ("0 12 * * 0", "2026-11-28T00:00", "2026-11-29T12:00"),
        ("0 12 * * 7", "2026-11-28T00:00", "2026-11-29T12:00"),
        ("0 12 * * 5-7", "2026-11-28T13:00", "2026-11-29T12:00"),
        # Both days restricted: either fits. One of them with a star: both must.
        ("0 0 13 * 5", "2026-11-26T00:00", "2026-11-27T00:00"),
        ("0 0 */2 * 5", "2026-11-26T00:00", "2026-11-27T00:00"),
        ("0 0 */2 * 5", "2026-11-27T00:00", "2026-12-11T00:00"),
    ],
)
def test_the_next_time(text: str, after: str, due: str) -> None:
    assert parse_cron(text).next_after(at(after)) == at(due)


def test_every_day_has_its_hour_in_utc() -> None:
    # In Europe, 2026-03-29 has no 02:30 and 2026-10-25 has two: a schedule in UTC knows neither.
    cron = parse_cron("30 2 * * *")
    found, when = [], at("2026-01-01T00:00")
    while len(found) < 365:
        due = cron.next_after(when)
        assert due is not None
        found.append(due)
        when = due
    assert {one - other for one, other in zip(found[1:], found, strict=False)} == {timedelta(days=1)}


def test_other_time_zones_are_turned_into_utc() -> None:
    there = datetime(2026, 11, 26, 23, 30, tzinfo=timezone(timedelta(hours=-3)))
    assert parse_cron("0 3 * * *").next_after(there) == at("2026-11-27T03:00")


@pytest.mark.parametrize(
    ("text", "after", "until", "due"),
    [
        ("0 3 * * *", "2026-11-20T03:00", "2026-11-26T09:00", "2026-11-26T03:00"),  # six were missed: the newest
        ("0 3 * * *", "2026-11-26T03:00", "2026-11-26T09:00", None),
        ("0 3 * * *", "2026-11-26T02:59", "2026-11-26T03:00", "2026-11-26T03:00"),
        ("* * * * *", "2020-01-01T00:00", "2026-11-26T09:00:59", "2026-11-26T09:00"),
        ("0 0 29 2 *", "2024-02-29T00:00", "2027-12-31T00:00", None),
    ],
)
def test_the_latest_of_what_was_missed(text: str, after: str, until: str, due: str | None) -> None:
    assert parse_cron(text).latest(after=at(after), until=at(until)) == (due and at(due))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0 3 * *", "4 fields"),
        ("60 3 * * *", "no minute"),
        ("0 24 * * *", "no hour"),
        ("0 0 0 * *", "no day of month"),
        ("0 0 * 13 *", "no month"),
        ("0 0 * * 8", "no day of week"),
        ("0 0 * * someday", "no day of week"),
        ("0 0 31 2 *", "never comes"),
        ("0 0 31 4,6,9,11 *", "never comes"),
        ("*/0 * * * *", "step"),
        ("*/x * * * *", "step"),
        ("5-1 * * * *", "upwards"),
        ("-1 * * * *", "no minute"),
        ("²  * * * *", "no minute"),
        ("1,,2 * * * *", "no minute"),
    ],
)
def test_what_never_comes_is_said(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_cron(text)
