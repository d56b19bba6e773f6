"""Each decision of a release, without a process or a clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from headway.projects.model import AnalysisRule, CanaryStep, DeploySpec, ModelTest
from headway.serving.model import Observed, Release, ReleaseState, Route, StageRecord, VersionCounters
from headway.serving.rollout import (
    LOAD_DEADLINE,
    NO_DATA_DEADLINE,
    Action,
    Do,
    Facts,
    Place,
    advance,
    decide,
    measured,
    routes_for,
)
from headway.serving.rollout import (
    Tested as StagingTest,  # pytest collects what starts with Test
)

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
SPEC = DeploySpec(
    steps=(
        CanaryStep(weight=10, pause=timedelta(minutes=30)),
        CanaryStep(weight=50, pause=timedelta(hours=1)),
        CanaryStep(weight=100),
    ),
    analysis=(AnalysisRule(metric="error_rate", maximum=0.01), AnalysisRule(metric="latency_p95_ms", maximum=60)),
    approvals=1,
)


def release(state: ReleaseState, *, since: timedelta = timedelta(0), stage: str = "", **more: object) -> Release:
    names = {ReleaseState.STAGING: "staging", ReleaseState.LOADING: "load", ReleaseState.CANARY: "canary"}
    name = stage or names.get(state, "")
    plain = Release(
        id="01RELEASE",
        project="demo",
        repo_id="r",
        environment="production",
        model="adder",
        version=2,
        previous=1,
        command_id="c",
        change=7,
        commit="abc",
        requested_by="ann",
        approved_by=(),
        state=state,
        reason="",
        step=0,
        stages=(StageRecord(stage=name, weight=10, since=NOW - since),) if name else (),
        test_output="",
        version_no=1,
        created_at=NOW - since,
    )
    return replace(plain, **more)


def place(state: str = "ready", *, revision: int = 5, seen: int = 5, **counted: float) -> Place:
    plain = {"requests": 0, "errors": 0, "missing": 0, "latency_p50_ms": 1, "latency_p95_ms": 2, "latency_p99_ms": 3}
    counters = (VersionCounters(version=2, **{**plain, **counted}),) if counted else ()
    observed = Observed(ready=True, url="u", revision=seen, versions={1: "ready", 2: state}, counters=counters)
    return Place(observed=observed, revision=revision)


def facts(**more: object) -> Facts:
    return Facts(now=NOW, **more)


PENDING, STAGING, WAITING = ReleaseState.PENDING, ReleaseState.STAGING, ReleaseState.WAITING
LOADING, CANARY, BACK = ReleaseState.LOADING, ReleaseState.CANARY, ReleaseState.ROLLING_BACK
TEST = replace(SPEC, test=ModelTest(requests="tests/*.json"))
GOOD = StagingTest(passed=True, output="ok")
LATE = LOAD_DEADLINE + timedelta(seconds=1)
HALF_HOUR = timedelta(minutes=30)


@pytest.mark.parametrize(
    ("now_is", "spec", "seen", "do"),
    [
        (release(PENDING), SPEC, facts(), Do.LOAD_IN_STAGING),
        (release(PENDING), replace(SPEC, staging=False), facts(), Do.WAIT_FOR_APPROVAL),
        (release(PENDING), replace(SPEC, staging=False, approvals=0), facts(), Do.LOAD_BESIDE),
        (release(STAGING), SPEC, facts(), Do.NOTHING),
        (release(STAGING), SPEC, facts(staging=place("loading")), Do.NOTHING),
        (release(STAGING), SPEC, facts(staging=place(seen=4)), Do.NOTHING),
        (release(STAGING, since=LATE), SPEC, facts(staging=place("loading")), Do.FAIL),
        (release(STAGING), SPEC, facts(staging=place("failed: no weights")), Do.FAIL),
        (release(STAGING), TEST, facts(staging=place()), Do.RUN_TEST),
        (release(STAGING), TEST, facts(staging=place(), tested=GOOD), Do.WAIT_FOR_APPROVAL),
        (release(STAGING), TEST, facts(staging=place(), tested=StagingTest(passed=False)), Do.FAIL),
        (release(STAGING), SPEC, facts(staging=place()), Do.WAIT_FOR_APPROVAL),
        (release(STAGING, approved_by=("bo",)), SPEC, facts(staging=place()), Do.LOAD_BESIDE),
        (release(WAITING), SPEC, facts(), Do.NOTHING),
        (release(WAITING, approved_by=("bo",)), SPEC, facts(), Do.LOAD_BESIDE),
        (release(WAITING, approved_by=("bo",)), SPEC, facts(busy_with="other"), Do.NOTHING),
        (release(WAITING, approved_by=("bo",)), replace(SPEC, approvals=2), facts(), Do.NOTHING),
        (release(WAITING, approved_by=("bo",)), replace(SPEC, target="command"), facts(), Do.SET_WEIGHT),
        (release(LOADING), SPEC, facts(production=place("loading")), Do.NOTHING),
        (release(LOADING), SPEC, facts(production=place()), Do.SET_WEIGHT),
        (release(LOADING), SPEC, facts(production=place("failed: damaged")), Do.FAIL),
        (release(LOADING, since=LATE), SPEC, facts(production=place("loading")), Do.FAIL),
        (release(CANARY), SPEC, facts(production=place(seen=4)), Do.NOTHING),
        (release(CANARY, since=LATE), SPEC, facts(production=place(seen=4)), Do.ROLL_BACK),
        (release(CANARY), SPEC, facts(production=place(requests=500)), Do.NOTHING),
        (release(CANARY, since=HALF_HOUR), SPEC, facts(production=place(requests=500)), Do.SET_WEIGHT),
        (release(CANARY, since=HALF_HOUR), SPEC, facts(production=place(requests=19)), Do.NOTHING),
        (release(CANARY, since=HALF_HOUR), SPEC, facts(production=place()), Do.NOTHING),
        (release(CANARY, since=HALF_HOUR + NO_DATA_DEADLINE + LATE), SPEC, facts(production=place()), Do.ROLL_BACK),
        (release(CANARY), SPEC, facts(production=place(requests=200, errors=20)), Do.ROLL_BACK),
        (release(CANARY), SPEC, facts(production=place(requests=200, latency_p95_ms=61)), Do.ROLL_BACK),
        (release(CANARY), SPEC, facts(production=place("failed: crashed 5 times")), Do.ROLL_BACK),
        (release(CANARY, step=1, since=timedelta(hours=1)), SPEC, facts(production=place(requests=99)), Do.SET_WEIGHT),
        (release(CANARY, step=2), SPEC, facts(production=place()), Do.PROMOTE),
        (release(CANARY, step=2), SPEC, facts(production=place(seen=4)), Do.NOTHING),
        (release(CANARY, step=2, previous=None), SPEC, facts(production=place("failed: x")), Do.FAIL),
        (release(BACK), SPEC, facts(production=place(seen=4)), Do.NOTHING),
        (release(BACK), SPEC, facts(production=place()), Do.FINISH_ROLLBACK),
        (release(ReleaseState.PROMOTED), SPEC, facts(production=place("failed: x")), Do.NOTHING),
        (release(ReleaseState.ROLLED_BACK), SPEC, facts(production=place()), Do.NOTHING),
    ],
)
def test_each_state(now_is: Release, spec: DeploySpec, seen: Facts, do: Do) -> None:
    assert decide(now_is, spec, seen).do is do


def test_a_last_step_with_a_pause_is_judged_too() -> None:
    spec = replace(SPEC, steps=(CanaryStep(weight=100, pause=timedelta(minutes=5)),))
    under_way = release(CANARY, since=timedelta(minutes=6))
    assert decide(under_way, spec, facts(production=place(requests=100))).do is Do.PROMOTE
    assert decide(under_way, spec, facts(production=place(requests=100, errors=50))).do is Do.ROLL_BACK


def test_without_rules_time_alone_moves_a_canary() -> None:
    spec = replace(SPEC, analysis=())
    assert decide(release(CANARY, since=HALF_HOUR), spec, facts(production=place())).do is Do.SET_WEIGHT


def test_missing_answers_are_judged_like_errors() -> None:
    spec = replace(SPEC, analysis=(AnalysisRule(metric="missing_rate", maximum=0.0),))
    found = decide(release(CANARY), spec, facts(production=place(requests=20, missing=20)))
    assert (found.do, found.reason) == (Do.ROLL_BACK, "missing answers 100 % (limit 0 %) at 10 % traffic")


def test_the_first_version_ever_gets_everything_at_once() -> None:
    first = release(LOADING, previous=None)
    action = decide(first, SPEC, facts(production=place()))
    assert (action.do, action.step) == (Do.SET_WEIGHT, 2)
    after = advance(first, action, SPEC, facts(production=place()))
    assert after.stages[-1].weight == 100
    assert routes_for(after, SPEC, (), candidate=ROUTE_2, previous=None) == (replace(ROUTE_2, weight=100),)


ROUTE_1 = Route(model="adder", version=1, weight=100, source="/1", digest="d1", env_path="/e")
ROUTE_2 = Route(model="adder", version=2, weight=0, source="/2", digest="d2", env_path="/e")


@pytest.mark.parametrize(
    ("state", "step", "current", "shares"),
    [
        (PENDING, 0, (ROUTE_1,), [(1, 100)]),
        (WAITING, 0, (ROUTE_1,), [(1, 100)]),
        (LOADING, 0, (ROUTE_1,), [(2, 0), (1, 100)]),
        (CANARY, 0, (ROUTE_1,), [(2, 10), (1, 90)]),
        (CANARY, 1, (ROUTE_1,), [(2, 50), (1, 50)]),
        (CANARY, 2, (ROUTE_1,), [(2, 100), (1, 0)]),
        (ReleaseState.PROMOTED, 2, (ROUTE_1,), [(2, 100), (1, 0)]),
        (BACK, 1, (ROUTE_2, ROUTE_1), [(1, 100)]),
        (ReleaseState.FAILED, 0, (ROUTE_2, ROUTE_1), [(1, 100)]),
        (ReleaseState.FAILED, 0, (ROUTE_1,), [(1, 100)]),
        (ReleaseState.REFUSED, 0, (ROUTE_1,), [(1, 100)]),
    ],
)
def test_the_routes_that_a_state_wants(
    state: ReleaseState, step: int, current: tuple[Route, ...], shares: list[tuple[int, int]]
) -> None:
    wanted = routes_for(release(state, step=step), SPEC, current, candidate=ROUTE_2, previous=ROUTE_1)
    assert [(route.version, route.weight) for route in wanted] == shares


def test_a_whole_good_release_leaves_its_stages_for_the_report() -> None:
    now = NOW
    going = release(PENDING, approved_by=("bo",))
    ready = place(requests=400, errors=1, latency_p95_ms=25)
    seen: list[Do] = []
    while not going.state.is_final:
        world = Facts(now=now, staging=ready, production=ready, tested=GOOD)
        action = decide(going, TEST, world)
        seen.append(action.do)
        going = advance(going, action, TEST, world)
        now += timedelta(minutes=31)
    assert [do for do in seen if do is not Do.NOTHING] == [
        Do.LOAD_IN_STAGING,
        Do.LOAD_BESIDE,
        Do.SET_WEIGHT,
        Do.SET_WEIGHT,
        Do.SET_WEIGHT,
        Do.PROMOTE,
    ]
    assert [(stage.stage, stage.weight, stage.result) for stage in going.stages] == [
        ("staging", 100, "passed"),
        ("canary", 10, "passed"),
        ("canary", 50, "passed"),
        ("full", 100, "passed"),
    ]
    assert (going.stages[1].requests, going.stages[1].error_rate, going.stages[1].latency_p95_ms) == (400, 1 / 400, 25)
    assert going.test_output == "ok"
    assert going.finished_at is not None


def test_a_rollback_says_why_in_the_release_and_in_its_stage() -> None:
    world = facts(production=place(requests=1000, errors=31))
    action = decide(release(CANARY), SPEC, world)
    assert action == Action(do=Do.ROLL_BACK, reason="error rate 3.1 % (limit 1 %) at 10 % traffic")
    after = advance(release(CANARY), action, SPEC, world)
    assert (after.state, after.reason) == (BACK, action.reason)
    assert after.stages[-1].result == f"failed: {action.reason}"
    ended = advance(after, Action(do=Do.FINISH_ROLLBACK), SPEC, world)
    assert ended.state is ReleaseState.ROLLED_BACK


def test_a_report_sees_the_numbers_of_the_open_stage() -> None:
    shown = measured(release(CANARY), facts(production=place(requests=10, errors=1)))
    assert (shown.stages[-1].requests, shown.stages[-1].error_rate) == (10, 0.1)
    assert release(CANARY).stages[-1].requests == 0
