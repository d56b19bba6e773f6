"""What a release does next: pure, so that every path of it can be tried without a process or a clock.

A release is level-triggered: `decide` looks at its state and at what is observed, and names the smallest
next action; `advance` returns the release after it; `routes_for` says which routes that state wants. A crash
between any two of them is followed by the same decision again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from headway.projects.model import CanaryStep, DeploySpec
from headway.serving.judge import Health, judge
from headway.serving.model import Observed, Release, ReleaseState, Route, StageRecord, VersionCounters

LOAD_DEADLINE = timedelta(minutes=10)
"""A version that is neither ready nor failed after so long has failed."""
NO_DATA_DEADLINE = timedelta(minutes=30)
"""A canary step without enough answers so long after its pause has failed: no evidence is no success."""


class Do(StrEnum):
    """The actions, in the order of a good release, then the ways out."""

    NOTHING = "nothing"
    LOAD_IN_STAGING = "load_in_staging"
    RUN_TEST = "run_test"
    WAIT_FOR_APPROVAL = "wait_for_approval"
    LOAD_BESIDE = "load_beside"
    SET_WEIGHT = "set_weight"
    PROMOTE = "promote"
    ROLL_BACK = "roll_back"
    FINISH_ROLLBACK = "finish_rollback"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """The next action and why; `step` is the index of the canary step for SET_WEIGHT."""

    do: Do
    reason: str = ""
    step: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """How the team's own test went, as far as the rollout cares."""

    passed: bool
    reason: str = ""
    output: str = ""  # for people, Markdown


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Staging or production as it stands: what is seen, and which revision is wanted there."""

    observed: Observed | None = None
    revision: int = 0

    @property
    def is_in_force(self) -> bool:
        """Whether the newest routes are the ones that answer."""
        return self.observed is not None and self.observed.ready and self.observed.revision >= self.revision

    def state_of(self, version: int) -> str:
        """Return loading, ready, `failed: why`, or an empty text when nothing is known."""
        return "" if self.observed is None else self.observed.versions.get(version, "")

    def counters_of(self, version: int) -> VersionCounters | None:
        """Return what the version has answered under the routes in force."""
        if self.observed is None:
            return None
        return next((one for one in self.observed.counters if one.version == version), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that a decision looks at besides the release and its rules."""

    now: datetime
    staging: Place = Place()
    production: Place = Place()
    tested: Tested | None = None  # None = not run, or not finished
    busy_with: str = ""  # another release that is changing this environment


def decide(release: Release, spec: DeploySpec, facts: Facts) -> Action:  # noqa: PLR0911  # one return per state
    """Return the smallest next action."""
    match release.state:
        case ReleaseState.PENDING:
            return Action(do=Do.LOAD_IN_STAGING) if spec.staging else _after_staging(release, spec, facts)
        case ReleaseState.STAGING:
            return _in_staging(release, spec, facts)
        case ReleaseState.WAITING:
            return _after_staging(release, spec, facts)
        case ReleaseState.LOADING:
            return _loading(release, spec, facts)
        case ReleaseState.CANARY:
            return _canary(release, spec, facts)
        case ReleaseState.ROLLING_BACK if facts.production.is_in_force:
            return Action(do=Do.FINISH_ROLLBACK)
        case _:
            return Action(do=Do.NOTHING)


def _in_staging(release: Release, spec: DeploySpec, facts: Facts) -> Action:
    state = facts.staging.state_of(release.version)
    if state.startswith("failed"):
        return Action(do=Do.FAIL, reason=f"did not load in staging: {_why(state)}")
    if not facts.staging.is_in_force or state != "ready":
        if facts.now - _since(release) > LOAD_DEADLINE:
            return Action(do=Do.FAIL, reason=f"not ready in staging after {_minutes(LOAD_DEADLINE)}")
        return Action(do=Do.NOTHING, reason="loads in staging")
    if spec.test is not None and facts.tested is None:
        return Action(do=Do.RUN_TEST)
    if facts.tested is not None and not facts.tested.passed:
        return Action(do=Do.FAIL, reason=f"the project's test failed in staging: {facts.tested.reason}")
    return _after_staging(release, spec, facts)


def _after_staging(release: Release, spec: DeploySpec, facts: Facts) -> Action:
    missing = spec.approvals - len(release.approved_by)
    if missing > 0:
        if release.state is ReleaseState.WAITING:
            return Action(do=Do.NOTHING, reason=f"waits for {missing} approval{'s' * (missing > 1)}")
        return Action(do=Do.WAIT_FOR_APPROVAL)
    if facts.busy_with:
        return Action(do=Do.NOTHING, reason=f"waits for release {facts.busy_with}")
    if spec.target == "command":  # the team's script knows no loading without traffic
        return Action(do=Do.SET_WEIGHT, step=_first_step(release, spec))
    return Action(do=Do.LOAD_BESIDE)


def _loading(release: Release, spec: DeploySpec, facts: Facts) -> Action:
    state = facts.production.state_of(release.version)
    if state.startswith("failed"):
        return Action(do=Do.FAIL, reason=f"did not load in {release.environment}: {_why(state)}")
    if state == "ready":
        return Action(do=Do.SET_WEIGHT, step=_first_step(release, spec))
    if facts.now - _since(release) > LOAD_DEADLINE:
        return Action(do=Do.FAIL, reason=f"not ready in {release.environment} after {_minutes(LOAD_DEADLINE)}")
    return Action(do=Do.NOTHING, reason=f"loads in {release.environment}")


def _canary(release: Release, spec: DeploySpec, facts: Facts) -> Action:
    place = facts.production
    step = _step(spec, release.step)
    state = place.state_of(release.version)
    if state.startswith("failed"):
        return _bad(release, f"failed in {release.environment}: {_why(state)}")
    spent = facts.now - _since(release)
    if not place.is_in_force:
        if spent > LOAD_DEADLINE:
            return _bad(release, f"{step.weight} % did not come into force within {_minutes(LOAD_DEADLINE)}")
        return Action(do=Do.NOTHING, reason=f"brings {step.weight} % into force")
    is_last = release.step >= len(spec.steps) - 1 or step.weight >= 100
    if release.previous is None or (is_last and not step.pause):
        return Action(do=Do.PROMOTE)
    return _watch(release, spec, facts, step) or (
        Action(do=Do.PROMOTE) if is_last else Action(do=Do.SET_WEIGHT, step=release.step + 1)
    )


def _watch(release: Release, spec: DeploySpec, facts: Facts, step: CanaryStep) -> Action | None:
    """Return what keeps or ends this step; None when it has passed."""
    found = judge(spec, facts.production.counters_of(release.version))
    spent = facts.now - _since(release)
    if found.health is Health.BAD:
        return _bad(release, f"{found.reason} at {step.weight} % traffic")
    if spent < step.pause:
        return Action(do=Do.NOTHING, reason=f"watches {step.weight} %")
    if found.health is Health.GOOD:
        return None
    if spent > step.pause + NO_DATA_DEADLINE:
        return _bad(release, f"no clear evidence at {step.weight} % traffic: {found.reason}")
    return Action(do=Do.NOTHING, reason=f"waits for evidence: {found.reason}")


def _bad(release: Release, reason: str) -> Action:
    # Without a version to go back to there is nothing to roll back.
    return Action(do=Do.ROLL_BACK if release.previous is not None else Do.FAIL, reason=reason)


def advance(  # noqa: PLR0911  # one return per action
    release: Release, action: Action, spec: DeploySpec, facts: Facts
) -> Release:
    """Return the release after the action; nothing else happens here."""
    now = facts.now
    match action.do:
        case Do.LOAD_IN_STAGING:
            return _opened(release, ReleaseState.STAGING, StageRecord(stage="staging", weight=100, since=now))
        case Do.WAIT_FOR_APPROVAL:
            return replace(_closed(release, facts, "passed"), state=ReleaseState.WAITING)
        case Do.LOAD_BESIDE:
            loading = StageRecord(stage="load", weight=0, since=now)
            return _opened(_closed(release, facts, "passed"), ReleaseState.LOADING, loading)
        case Do.SET_WEIGHT:
            weight = _step(spec, action.step).weight if release.previous is not None else 100
            stage = StageRecord(stage="full" if weight >= 100 else "canary", weight=weight, since=now)
            moved = _opened(_closed(release, facts, "passed"), ReleaseState.CANARY, stage)
            return replace(moved, step=action.step)
        case Do.PROMOTE:
            return replace(_closed(release, facts, "passed"), state=ReleaseState.PROMOTED, finished_at=now)
        case Do.ROLL_BACK:
            closed = _closed(release, facts, f"failed: {action.reason}")
            return replace(closed, state=ReleaseState.ROLLING_BACK, reason=action.reason)
        case Do.FINISH_ROLLBACK:
            return replace(release, state=ReleaseState.ROLLED_BACK, finished_at=now)
        case Do.FAIL:
            closed = _closed(release, facts, f"failed: {action.reason}")
            return replace(closed, state=ReleaseState.FAILED, reason=action.reason, finished_at=now)
        case _:
            return release


def measured(release: Release, facts: Facts) -> Release:
    """Return the release with the open stage's numbers as they are now, for reports."""
    if not release.stages or release.stages[-1].result:
        return release
    return replace(release, stages=(*release.stages[:-1], _with_numbers(release, facts)))


def _with_numbers(release: Release, facts: Facts) -> StageRecord:
    stage = release.stages[-1]
    place = facts.staging if stage.stage == "staging" else facts.production
    counters = place.counters_of(release.version)
    if counters is None or stage.stage == "load":
        return stage
    return replace(
        stage,
        requests=counters.requests,
        error_rate=counters.errors / counters.requests if counters.requests else None,
        latency_p95_ms=counters.latency_p95_ms if counters.requests else None,
    )


def _closed(release: Release, facts: Facts, result: str) -> Release:
    changed = release if facts.tested is None else replace(release, test_output=facts.tested.output)
    if not changed.stages or changed.stages[-1].result:
        return changed
    last = replace(_with_numbers(changed, facts), result=result)
    if last.stage == "load" and result == "passed":
        return replace(changed, stages=changed.stages[:-1])  # of no interest once it went well
    return replace(changed, stages=(*changed.stages[:-1], last))


def _opened(release: Release, state: ReleaseState, stage: StageRecord) -> Release:
    return replace(release, state=state, stages=(*release.stages, stage))


def routes_for(
    release: Release, spec: DeploySpec, current: tuple[Route, ...], *, candidate: Route, previous: Route | None
) -> tuple[Route, ...]:
    """Return the routes that the release's state wants in its environment; `current` where it wants no change.

    The first route is the one that the change is about. After a promotion the earlier version stays
    loaded without traffic, so that going back is one flip.
    """
    back = () if previous is None else (replace(previous, weight=100),)
    match release.state:
        case ReleaseState.LOADING:
            return (replace(candidate, weight=0), *back)
        case ReleaseState.CANARY:
            weight = _step(spec, release.step).weight if previous is not None else 100
            rest = () if previous is None else (replace(previous, weight=100 - weight),)
            return (replace(candidate, weight=weight), *rest)
        case ReleaseState.PROMOTED:
            warm = () if previous is None else (replace(previous, weight=0),)
            return (replace(candidate, weight=100), *warm)
        case ReleaseState.ROLLING_BACK | ReleaseState.ROLLED_BACK:
            return back or current
        case ReleaseState.FAILED if any(route.version == release.version for route in current):
            return back
        case _:
            return current


def _first_step(release: Release, spec: DeploySpec) -> int:
    # The first version ever has nobody to share the traffic with.
    return 0 if release.previous is not None else max(len(spec.steps) - 1, 0)


def _step(spec: DeploySpec, index: int) -> CanaryStep:
    return spec.steps[min(index, len(spec.steps) - 1)] if spec.steps else CanaryStep(weight=100)


def _since(release: Release) -> datetime:
    return release.stages[-1].since if release.stages else release.created_at


def _why(state: str) -> str:
    return state.removeprefix("failed").removeprefix(":").strip()


def _minutes(span: timedelta) -> str:
    return f"{span.total_seconds() / 60:g} min"
