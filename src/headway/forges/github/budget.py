"""How much we may ask of GitHub now: token buckets kept under its limits, one set per installation.

GitHub allows 900 points a minute (a read costs 1, a write 5), about 80 new contents a minute and 500 an hour; who goes
on after being told to wait may be banned. Source: GitHub's documentation of rate limits for the REST API.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headway.clock import Clock

# A bucket that is full gives what it holds at once and what flows in besides: both together are what GitHub allows in
# any minute or hour, wherever that begins.
POINTS_HELD, POINTS_A_MINUTE = 180, 720
# What is read takes several requests. If one point were enough to go on, each would be spent on the first of them, and
# the next refused: nothing would ever be read to its end. So an empty bucket gives nothing until this much is there.
POINTS_TO_GO_ON = 48
CONTENTS_HELD, CONTENTS_A_MINUTE = 20, 60
CONTENTS_HELD_FOR_AN_HOUR, CONTENTS_AN_HOUR = 100, 400
WRITE_COSTS = 5


@dataclass(slots=True)
class Bucket:
    """So many tokens at most; `flow` of them come in over a period, evenly."""

    size: float
    flow: float
    period: timedelta
    level: float
    at: datetime
    to_go_on: float = 0  # after it was empty
    was_empty: bool = False

    def wait_for(self, cost: float, now: datetime) -> timedelta:
        """Return how long until `cost` can be paid; zero when it can be now."""
        self._fill(now)
        wanted = max(cost, self.to_go_on) if self.was_empty else cost
        self.was_empty = self.level < wanted
        if not self.was_empty:
            return timedelta()
        wanted = max(cost, self.to_go_on)
        return self.period * ((wanted - self.level) / self.flow)

    def take(self, cost: float) -> None:
        """Pay; only after `wait_for` returned zero."""
        self.level -= cost

    def _fill(self, now: datetime) -> None:
        self.level = min(self.size, self.level + self.flow * ((now - self.at) / self.period))
        self.at = now


class Budget:
    """The buckets of one installation, and until when GitHub told us to be silent; safe between threads."""

    def __init__(self, clock: Clock) -> None:
        """Start with full buckets."""
        now = clock.now()
        self._clock = clock
        self._lock = threading.Lock()
        minute, hour = timedelta(minutes=1), timedelta(hours=1)
        self._points = Bucket(POINTS_HELD, POINTS_A_MINUTE, minute, POINTS_HELD, now, to_go_on=POINTS_TO_GO_ON)
        self._contents = (
            Bucket(CONTENTS_HELD, CONTENTS_A_MINUTE, minute, CONTENTS_HELD, now),
            Bucket(CONTENTS_HELD_FOR_AN_HOUR, CONTENTS_AN_HOUR, hour, CONTENTS_HELD_FOR_AN_HOUR, now),
        )
        self._silent_until: datetime | None = None
        self._times_told = 0

    def ask(self, *, writes: bool, is_content: bool = False) -> datetime | None:
        """Take what one request costs and return None, or return when to come back, having taken nothing."""
        now = self._clock.now()
        with self._lock:
            if self._silent_until is not None and now < self._silent_until:
                return self._silent_until
            costs = [(self._points, float(WRITE_COSTS if writes else 1))]
            if is_content:
                costs += [(bucket, 1.0) for bucket in self._contents]
            wait = max(bucket.wait_for(cost, now) for bucket, cost in costs)
            if wait > timedelta():
                return now + wait
            for bucket, cost in costs:
                bucket.take(cost)
            return None

    def be_silent(self, until: datetime | None) -> datetime:
        """GitHub says stop: until the time that it names, else a minute, doubled each time in a row; return when."""
        with self._lock:
            self._times_told += 1
            unnamed = self._clock.now() + timedelta(minutes=min(2 ** (self._times_told - 1), 60))
            self._silent_until = max(until or unnamed, self._silent_until or self._clock.now())
            return self._silent_until

    def went_well(self) -> None:
        """An answer came: the next stop waits a minute again."""
        with self._lock:
            self._times_told = 0
