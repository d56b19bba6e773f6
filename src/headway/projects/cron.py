"""Times by five cron fields, in UTC, where every day has 24 hours: minute, hour, day of month, month, day of week.

As in Vixie's cron: lists, ranges, steps, names of months and days, 7 for Sunday; where both days are restricted,
either of them fits.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS = {name.lower(): (number + 1) % 7 for number, name in enumerate(calendar.day_abbr)}
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 7, _DAYS),
)
# The 29th of February comes at least every eight years; what has not come by then never does.
_HORIZON = timedelta(days=9 * 366)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """When something is due; `text` is what was written."""

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 = Sunday
    any_day: bool  # the day of month says nothing
    any_weekday: bool

    def next_after(self, at: datetime) -> datetime | None:
        """Return the first due minute after an instant; None when there is none."""
        after = at.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        day, last = after.date(), after.date() + _HORIZON
        while day <= last:
            if self._fits(day):
                for due in self._times(day):
                    if due >= after:
                        return due
            day += timedelta(days=1)
        return None

    def latest(self, *, after: datetime, until: datetime) -> datetime | None:
        """Return the newest due minute in (after, until]; None when nothing was due: however many were missed."""
        day, first = until.astimezone(UTC).date(), max(after.astimezone(UTC).date(), until.date() - _HORIZON)
        while day >= first:
            if self._fits(day):
                for due in reversed(self._times(day)):
                    if after < due <= until:
                        return due
            day -= timedelta(days=1)
        return None

    def _fits(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        by_day, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        if self.any_day or self.any_weekday:
            return by_day and by_weekday
        return by_day or by_weekday

    def _times(self, day: date) -> list[datetime]:
        return [datetime.combine(day, time(hour, minute), tzinfo=UTC) for hour in self.hours for minute in self.minutes]


def parse_cron(text: str) -> Cron:
    """Return the times that five fields mean.

    Raises:
        ValueError: they mean none; the message names the field and what it may hold.
    """
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(
            f"{text!r} has {len(parts)} fields, and cron has {len(_FIELDS)}: minute hour day month weekday"
        )
    found = [
        _field(part, name, least=least, most=most, names=names)
        for part, (name, least, most, names) in zip(parts, _FIELDS, strict=True)
    ]
    cron = Cron(
        text=" ".join(parts),
        minutes=tuple(sorted(found[0])),
        hours=tuple(sorted(found[1])),
        days=frozenset(found[2]),
        months=frozenset(found[3]),
        weekdays=frozenset(number % 7 for number in found[4]),
        any_day=parts[2].startswith("*"),
        any_weekday=parts[4].startswith("*"),
    )
    if cron.next_after(datetime(2000, 1, 1, tzinfo=UTC)) is None:
        raise ValueError(f"{text!r} never comes: no such month has such a day")
    return cron


def _field(text: str, name: str, *, least: int, most: int, names: dict[str, int]) -> set[int]:
    numbers: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        if slash and not (step.isascii() and step.isdigit() and int(step) > 0):
            raise ValueError(f"{part!r} in the {name}: the step after / is a whole number from 1")
        if span == "*":
            first, last = least, most if name != "day of week" else 6
        else:
            low, dash, high = span.partition("-")
            first = _number(low, name, least=least, most=most, names=names)
            last = _number(high, name, least=least, most=most, names=names) if dash else most if slash else first
        if first > last:
            raise ValueError(f"{part!r} in the {name}: a range goes upwards")
        numbers.update(range(first, last + 1, int(step) if slash else 1))
    return numbers


def _number(text: str, name: str, *, least: int, most: int, names: dict[str, int]) -> int:
    known = names.get(text.lower())
    if known is not None:
        return known
    if not (text.isascii() and text.isdigit()) or not least <= int(text) <= most:
        raise ValueError(f"{text!r} is no {name}: it is {least} to {most}" + (", or a name" if names else ""))
    return int(text)
