"""What each version has answered: counts and a latency histogram, for the rollout and for Prometheus."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from headway.serving.model import VersionCounters

if TYPE_CHECKING:
    from collections.abc import Iterable

_FIRST_MS = 0.05
_GROWTH = 1.1
_BUCKETS = 160  # up to about 190 s
_LOG_GROWTH = math.log(_GROWTH)
_PROMETHEUS_MS = (1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000)


class Latencies:
    """A histogram whose buckets grow by a tenth, so that percentiles are right to a tenth."""

    __slots__ = ("counts", "sum_ms")

    def __init__(self) -> None:
        """Start empty."""
        self.counts = [0] * _BUCKETS
        self.sum_ms = 0.0

    def add(self, milliseconds: float) -> None:
        """Count one answer."""
        index = 0 if milliseconds <= _FIRST_MS else int(math.log(milliseconds / _FIRST_MS) / _LOG_GROWTH) + 1
        self.counts[min(index, _BUCKETS - 1)] += 1
        self.sum_ms += milliseconds

    def percentile(self, share: float) -> float:
        """Return the latency that `share` of the answers did not exceed; 0 when there are none."""
        total = sum(self.counts)
        if not total:
            return 0.0
        wanted = math.ceil(share * total)
        seen = 0
        for index, count in enumerate(self.counts):
            seen += count
            if seen >= wanted:
                return round(_upper(index), 3)
        return round(_upper(_BUCKETS - 1), 3)

    def below(self, milliseconds: float) -> int:
        """Return how many answers took at most so long, to the precision of the buckets."""
        return sum(count for index, count in enumerate(self.counts) if _upper(index) <= milliseconds * 1.05)


def _upper(index: int) -> float:
    return _FIRST_MS * _GROWTH**index


class Tally:
    """The counts of one version since a moment; client mistakes are no errors of the model."""

    __slots__ = ("errors", "latencies", "missing", "rejected", "requests")

    def __init__(self) -> None:
        """Start at nothing."""
        self.requests = 0
        self.errors = 0
        self.missing = 0
        self.rejected = 0
        self.latencies = Latencies()

    def answered(self, milliseconds: float, *, missing: bool) -> None:
        """Count a prediction."""
        self.requests += 1
        self.missing += missing
        self.latencies.add(milliseconds)

    def failed(self, milliseconds: float) -> None:
        """Count a request that the version did not answer."""
        self.requests += 1
        self.errors += 1
        self.latencies.add(milliseconds)


class Counters:
    """Tallies by version: `recent` since the routes in force changed, `total` since the process started."""

    def __init__(self) -> None:
        """Start with no version."""
        self.recent: dict[int, Tally] = {}
        self.total: dict[int, Tally] = {}

    def reset(self) -> None:
        """Forget what was counted under other routes: a new step is judged on its own answers."""
        self.recent = {}

    def answered(self, version: int, milliseconds: float, *, missing: bool) -> None:
        """Count a prediction of a version."""
        for tally in self._of(version):
            tally.answered(milliseconds, missing=missing)

    def failed(self, version: int, milliseconds: float) -> None:
        """Count a request that a version did not answer."""
        for tally in self._of(version):
            tally.failed(milliseconds)

    def rejected(self, version: int) -> None:
        """Count a request that does not fit the model: the caller's mistake."""
        for tally in self._of(version):
            tally.rejected += 1

    def _of(self, version: int) -> tuple[Tally, Tally]:
        recent = self.recent.get(version)
        if recent is None:
            recent = self.recent[version] = Tally()
        total = self.total.get(version)
        if total is None:
            total = self.total[version] = Tally()
        return recent, total

    def snapshot(self) -> tuple[VersionCounters, ...]:
        """Return what was counted under the routes in force."""
        return tuple(
            VersionCounters(
                version=version,
                requests=tally.requests,
                errors=tally.errors,
                missing=tally.missing,
                latency_p50_ms=tally.latencies.percentile(0.5),
                latency_p95_ms=tally.latencies.percentile(0.95),
                latency_p99_ms=tally.latencies.percentile(0.99),
            )
            for version, tally in sorted(self.recent.items())
        )


def prometheus(deployment: str, counters: Counters, ready: Iterable[int]) -> str:
    """Return the counts in Prometheus's text format."""
    lines = []
    for name, kind, field in (
        ("headway_requests_total", "counter", "requests"),
        ("headway_errors_total", "counter", "errors"),
        ("headway_missing_total", "counter", "missing"),
        ("headway_rejected_total", "counter", "rejected"),
    ):
        lines.append(f"# TYPE {name} {kind}")
        for version, tally in sorted(counters.total.items()):
            lines.append(f"{name}{_labels(deployment, version)} {getattr(tally, field)}")
    lines.append("# TYPE headway_latency_seconds histogram")
    for version, tally in sorted(counters.total.items()):
        for limit in _PROMETHEUS_MS:
            labels = _labels(deployment, version, f',le="{limit / 1000:g}"')
            lines.append(f"headway_latency_seconds_bucket{labels} {tally.latencies.below(limit)}")
        labels = _labels(deployment, version, ',le="+Inf"')
        lines.append(f"headway_latency_seconds_bucket{labels} {tally.requests}")
        labels = _labels(deployment, version)
        lines.append(f"headway_latency_seconds_sum{labels} {tally.latencies.sum_ms / 1000:.6f}")
        lines.append(f"headway_latency_seconds_count{labels} {tally.requests}")
    lines.append("# TYPE headway_version_ready gauge")
    lines.extend(f"headway_version_ready{_labels(deployment, version)} 1" for version in sorted(ready))
    return "\n".join(lines) + "\n"


def _labels(deployment: str, version: int, more: str = "") -> str:
    return f'{{deployment="{deployment}",version="{version}"{more}}}'
