"""Noise: how far the numbers of equal tasks lie apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """The spread of one metric over runs of equal key."""

    metric: str
    runs: int
    low: float
    high: float

    @property
    def spread(self) -> float:
        """How far the extremes lie apart."""
        return self.high - self.low


def noise_of(runs: Sequence[Mapping[str, float]]) -> tuple[Noise, ...]:
    """Return the metrics that came out differently, widest spread first; empty with fewer than two runs.

    A metric that only some runs have, or that is not a number in one, is left out: it has no size.
    """
    if len(runs) < 2:
        return ()
    names = set.intersection(*(set(metrics) for metrics in runs))
    found = []
    for name in sorted(names):
        values = [metrics[name] for metrics in runs]
        if all(abs(value) != float("inf") and value == value for value in values) and max(values) > min(values):  # noqa: PLR0124  # the NaN test
            found.append(Noise(metric=name, runs=len(values), low=min(values), high=max(values)))
    return tuple(sorted(found, key=lambda each: -each.spread))
