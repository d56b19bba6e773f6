"""Runs that somebody tracked elsewhere, as far as a tag says that they are of a commit: a claim, never more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from urllib.parse import quote, urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideRun:
    """One run of a foreign tracker, cut to what is shown and judged; every text in it is foreign."""

    run_id: str
    name: str
    status: str
    user: str
    start_time: int
    end_time: int | None
    url: str
    tag: str  # by which it says that it is of the commit
    metrics: dict[str, float] = field(default_factory=dict)  # finite ones
    params: dict[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> bool:
        """Whether it ended well: only then are its numbers whole."""
        return self.status == "FINISHED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What a project's own tracker says of one commit, and since when it says nothing."""

    host: str
    uri: str
    is_judged: bool  # gates may use it
    runs: tuple[OutsideRun, ...] = ()  # newest first
    answered_at: datetime | None = None  # when `runs` was read
    away_since: datetime | None = None  # None = it answered when it was asked last
    cause: str = ""
    taken: tuple[str, ...] = ()  # metrics of the first run that counts, where our own run has none

    @property
    def chosen(self) -> OutsideRun | None:
        """The run that counts: the one that ended last and well."""
        return next((run for run in self.runs if run.counts), None)

    @property
    def usable(self) -> dict[str, float]:
        """What gates may judge now: nothing that was read before the tracker went away."""
        if not self.is_judged or self.away_since is not None or self.chosen is None:
            return {}
        return self.chosen.metrics

    @property
    def unknown(self) -> str:
        """Why a metric that nobody has may still come; "" when it will not."""
        if not self.is_judged:
            return ""
        if self.away_since is not None:
            return f"{self.host} cannot be reached since {minute(self.away_since)}" + _because(self.cause)
        if self.chosen is None and any(run.status in ("RUNNING", "SCHEDULED") for run in self.runs):
            return f"a run in {self.host}, tagged with the commit, has not ended"
        return ""

    def taking(self, own: Iterable[str]) -> Outside:
        """Return the same with what it adds to our own run's metrics."""
        known = set(own)
        return replace(self, taken=tuple(sorted(name for name in self.usable if name not in known)))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a verdict must say of where its numbers are from."""
        if self.taken and self.chosen is not None:
            names = ", ".join(self.taken[:5]) + (f" and {len(self.taken) - 5} more" if len(self.taken) > 5 else "")
            run = self.chosen.name or self.chosen.run_id
            where = f"{names}: from {self.host}, run {run}, tagged with the commit"
            return (f"{where}; whoever may write to that server says so, Headway has not seen it trained",)
        return (self.unknown,) if self.unknown else ()


def _because(cause: str) -> str:
    return f": {cause}" if cause else ""


def minute(at: datetime) -> str:
    """Return a time as people read it in a sentence."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def host_of(uri: str) -> str:
    """Return what people call a tracker: its host, with the port where it is no usual one."""
    return urlsplit(uri).netloc


def run_url(uri: str, experiment_id: str, run_id: str) -> str:
    """Return the address of a run's page in MLflow's own pages."""
    return f"{uri}/#/experiments/{quote(experiment_id[:64], safe='')}/runs/{quote(run_id[:64], safe='')}"
