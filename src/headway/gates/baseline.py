"""Which result a change is compared with; pure over the results that exist."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from headway.gates.model import Evidence


class BaselineKind(StrEnum):
    """Where a result that could be the baseline comes from."""

    PRODUCTION = "production"  # the version that serves
    MAIN = "main"  # the last good run of the default branch
    RUN = "run"  # named by run:<id>
    MODEL = "model"  # named by model:<name>@<alias>


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineCandidate:
    """A result that a change may be compared with."""

    kind: BaselineKind
    evidence: Evidence  # its label is what people read: "production (v7)"
    name: str = ""  # "run:412", "model:churn@champion": as the rule names it
    run_id: str | None = None
    commit: str = ""
    commits_behind: int | None = None  # of the default branch; None = not known
    holdout_digest: str | None = None
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineChoice:
    """The chosen baseline, or none yet; a baseline that was named and is not there is a problem in its evidence."""

    evidence: Evidence | None
    candidate: BaselineCandidate | None = None
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What the report calls it."""
        return self.evidence.label if self.evidence else ""


def choose_baseline(
    wanted: str,
    candidates: Sequence[BaselineCandidate],
    *,
    holdout_digest: str | None = None,
) -> BaselineChoice:
    """Production, else the default branch, else none yet; a named one is itself or a problem, never another."""
    for kind in _kinds(wanted):
        found = [each for each in candidates if each.kind == kind and (kind in _UNNAMED or each.name == wanted)]
        if found:
            return _chosen(found[0], wanted, holdout_digest)
    if wanted in _ORDER:
        return BaselineChoice(evidence=None)
    # Falling back to another baseline would judge the change against something that nobody asked for.
    problem = f"the baseline {wanted} does not exist: name another under gates.baseline"
    return BaselineChoice(evidence=Evidence(label=wanted, problem=problem))


_UNNAMED = (BaselineKind.PRODUCTION, BaselineKind.MAIN)
_ORDER = {
    "production": (BaselineKind.PRODUCTION, BaselineKind.MAIN),
    "main": (BaselineKind.MAIN,),
}


def _kinds(wanted: str) -> tuple[BaselineKind, ...]:
    return _ORDER.get(wanted, (BaselineKind.RUN, BaselineKind.MODEL))


def _chosen(found: BaselineCandidate, wanted: str, holdout_digest: str | None) -> BaselineChoice:
    notes = []
    if wanted == "production" and found.kind is BaselineKind.MAIN:
        notes.append("nothing serves in production yet: compared with the last good run of the default branch")
    if found.commits_behind:
        commits = "1 commit" if found.commits_behind == 1 else f"{found.commits_behind:,} commits"
        notes.append(f"the baseline is {commits} behind the default branch")
    if holdout_digest and found.holdout_digest and holdout_digest != found.holdout_digest:
        notes.append("the hold-out has changed since the baseline was judged")
    return BaselineChoice(evidence=found.evidence, candidate=found, notes=tuple(notes))
