"""Evidence, checks and the verdict."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from headway.projects.model import Severity


class Outcome(StrEnum):
    """The sum of all checks, best first."""

    PASS = "pass"  # noqa: S105  # an outcome, not a secret
    WARN = "warn"
    CANNOT_TELL = "cannot_tell"
    FAIL = "fail"

    @property
    def words(self) -> str:
        """The outcome as people read it."""
        return self.value.replace("_", " ")


class CheckState(StrEnum):
    """What one rule says."""

    PASSED = "passed"
    WARNED = "warned"
    FAILED = "failed"
    CANNOT_TELL = "cannot_tell"  # too few rows, or an interval on both sides of the limit
    MISSING = "missing"  # no evidence: counts as failed
    OVERRIDDEN = "overridden"


class Comparison(StrEnum):
    """The paired bootstrap's verdict on candidate against baseline."""

    BETTER = "better"
    WORSE = "worse"
    CANNOT_TELL = "cannot_tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An effect (candidate minus baseline, in the metric's own unit) with its interval."""

    effect: float
    low: float
    high: float
    confidence: float
    comparison: Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One rule applied to one number (or to one slice of it)."""

    id: str  # the rule's id, with "column=value" appended for a slice: what /override names
    metric: str
    state: CheckState
    severity: Severity
    limit: str  # for people: ">= 0.85", "no more than 0.01 worse"
    slice: str = ""  # "origin=JFK"
    candidate: float | None = None
    baseline: float | None = None
    change: float | None = None
    rows: int | None = None
    interval: Interval | None = None
    message: str = ""  # why, when it did not simply pass
    overridden_by: str = ""
    override_reason: str = ""
    judged: bool = True  # False: a slice with too few rows; shown, and without weight in the outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the checks say together; an empty verdict passes only when there are no rules and a run."""

    outcome: Outcome
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()
    withheld: str = ""  # why the checks, whatever they say, are not about the commit: such a verdict is never a pass

    @property
    def allows_merge(self) -> bool:
        """Whether the required status may be green: pass or warn, nothing else."""
        return self.outcome in (Outcome.PASS, Outcome.WARN) and not self.withheld

    def withhold(self, why: str) -> Verdict:
        """Return the verdict of a run that cannot speak for its commit: at best it cannot tell."""
        if not why:
            return self
        outcome = self.outcome if self.outcome is Outcome.FAIL else Outcome.CANNOT_TELL
        return replace(self, outcome=outcome, withheld=why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A maintainer's decision to accept one check, for one head commit."""

    check: str
    actor: str
    reason: str
    head_sha: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a side (candidate or baseline) has to show."""

    label: str  # "production (v7)", "main", "this change"
    metrics: dict[str, float] = field(default_factory=dict)
    predictions: str | None = None  # path of a CSV in the blob store's folder, readable
    problem: str = ""  # why it could not be read; non-empty = every check on it is MISSING
    unknown: str = ""  # why a metric that is absent may yet come; non-empty = a check of it cannot tell
