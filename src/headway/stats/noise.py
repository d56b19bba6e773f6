"""How far equal inputs scatter: the size below which a difference says nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """What reruns of equal inputs gave; half of the range, because two or three runs carry no honest deviation."""

    runs: int
    low: float
    high: float

    @property
    def size(self) -> float:
        """The plus-or-minus that a report shows."""
        return (self.high - self.low) / 2

    def hides(self, change: float) -> bool:
        """Whether a change is no larger than what reruns alone give."""
        return abs(change) <= self.high - self.low


def spread(values: Iterable[float]) -> Noise | None:
    """The noise of at least two finite values of one metric, else None."""
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < 2:
        return None
    return Noise(runs=len(finite), low=min(finite), high=max(finite))
