"""Releases through the database: what is saved survives a crash between any two steps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fakes.databases import sqlite_copy
from fakes.target import FakeTarget
from headway.clock import FixedClock
from headway.db import schema
from headway.db.connection import Database, open_database
from headway.db.migrate import migrate
from headway.errors import Conflict, NotFound, Refused
from headway.ids import new_id
from headway.projects.model import AnalysisRule, CanaryStep, DeploySpec, ModelTest
from headway.serving.model import Release, ReleaseState, Route
from headway.serving.reconcile import reconcile
from headway.serving.release import Candidate, approve, refuse, roll_back, step_release, stop_rollout
from headway.serving.rollout import Do
from headway.serving.rollout import Tested as StagingTest  # pytest collects what starts with Test
from headway.serving.store import DeploymentStore, ReleaseStore

SPEC = DeploySpec(
    steps=(CanaryStep(weight=10, pause=timedelta(seconds=30)), CanaryStep(weight=100)),
    analysis=(AnalysisRule(metric="error_rate", maximum=0.01),),
    approvals=1,
)
NAME = "demo-production"


class Server:
    """The loops of a server over one database; `restart` forgets everything that is not saved."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = FixedClock(datetime(2026, 11, 26, 12, tzinfo=UTC))
        self.target = FakeTarget()

    def restart(self) -> None:
        self.target = FakeTarget(self.target.world)

    def candidate(self, version: int, spec: DeploySpec = SPEC, source: str = "/m/good") -> Candidate:
        route = Route(model="adder", version=version, weight=0, source=source, digest=f"d{version}", env_path="/e")
        return Candidate(route=route, spec=spec)

    def add(self, version: int, **more: object) -> Release:
        plain = Release(
            id=new_id(),
            project="demo",
            repo_id="r",
            environment="production",
            model="adder",
            version=version,
            previous=None,
            command_id=new_id(),
            change=None,
            commit="abc",
            requested_by="ann",
            approved_by=(),
            state=ReleaseState.PENDING,
            reason="",
            step=0,
            stages=(),
            test_output="",
            version_no=1,
            created_at=self.clock.now(),
        )
        with self.database.write() as tx:
            return ReleaseStore(tx).add(replace(plain, **more), actor="ann")

    def get(self, release: Release) -> Release:
        with self.database.read() as tx:
            found = ReleaseStore(tx).get(release.id)
        assert found is not None
        return found

    def tick(self, release: Release, candidate: Candidate, *, tested: StagingTest | None = None) -> Do:
        with self.database.write() as tx:
            current = ReleaseStore(tx).get(release.id)
            assert current is not None
            _, action = step_release(tx, current, candidate, now=self.clock.now(), tested=tested)
        reconcile(self.database, {"local": self.target}, self.clock)
        self.clock.advance(timedelta(seconds=1))
        return action.do

    def run(self, release: Release, candidate: Candidate, *, restarting: bool = False) -> Release:
        """Tick to the end, approving by somebody and answering 50 requests a tick."""
        for _ in range(100):
            current = self.get(release)
            if current.state.is_final:
                return current
            if current.state is ReleaseState.WAITING and not current.approved_by:
                with self.database.write() as tx:
                    approve(tx, current, actor="bo", now=self.clock.now())
            self.tick(release, candidate)
            self.target.answer(NAME, candidate.route.version, 50)
            if restarting:
                self.restart()
        raise AssertionError(f"no end: {self.get(release)}")

    def shares(self) -> dict[int, int]:
        with self.database.read() as tx:
            kept = DeploymentStore(tx).get(NAME)
        return {route.version: route.weight for route in kept.deployment.routes} if kept else {}

    def served(self) -> Release:
        """A promoted first version."""
        return self.run(self.add(1), self.candidate(1))


POSTGRES = os.environ.get("HEADWAY_TEST_POSTGRES", "")
NEEDS_POSTGRES = pytest.mark.skipif(not POSTGRES, reason="HEADWAY_TEST_POSTGRES names no server")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=(pytest.mark.postgres, NEEDS_POSTGRES))])
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    database = open_database(POSTGRES if request.param == "postgres" else sqlite_copy(tmp_path))
    migrate(database)
    with database.write() as tx:
        for table in (schema.release, schema.deployment, schema.event):
            tx.execute(table.delete())
    yield Server(database)
    database.close()


@pytest.mark.parametrize("restarting", [False, True])
def test_a_good_version_goes_all_the_way_also_over_a_restart_after_every_step(
    server: Server, *, restarting: bool
) -> None:
    assert server.served().state is ReleaseState.PROMOTED
    assert server.shares() == {1: 100}

    release = server.run(server.add(2), server.candidate(2), restarting=restarting)

    assert release.state is ReleaseState.PROMOTED
    assert (release.previous, release.approved_by) == (1, ("bo",))
    assert [(stage.stage, stage.weight) for stage in release.stages] == [
        ("staging", 100),
        ("canary", 10),
        ("full", 100),
    ]
    assert server.shares() == {2: 100, 1: 0}
    with server.database.read() as tx:
        kept = DeploymentStore(tx).get(NAME)
    assert [route.version for route in kept.history] == [1, 2]


def test_a_canary_with_errors_is_rolled_back_within_two_checks(server: Server) -> None:
    server.served()
    release, candidate = server.add(2, approved_by=("bo",)), server.candidate(2)
    while server.get(release).state is not ReleaseState.CANARY:
        server.tick(release, candidate)
    assert server.shares() == {2: 10, 1: 90}

    server.target.answer(NAME, 2, 60, errors=30)
    done = [server.tick(release, candidate) for _ in range(4)]

    assert Do.ROLL_BACK in done[:2]
    ended = server.get(release)
    assert ended.state is ReleaseState.ROLLED_BACK
    assert "error rate 50 % (limit 1 %) at 10 % traffic" in ended.reason
    assert server.shares() == {1: 100}


def test_a_version_that_does_not_load_never_gets_traffic(server: Server) -> None:
    server.served()
    release = server.add(2, approved_by=("bo",))
    ended = server.run(release, server.candidate(2, source="/m/bad"))
    assert ended.state is ReleaseState.FAILED
    assert "the weights are damaged" in ended.reason
    assert server.shares() == {1: 100}


def test_a_version_that_fails_only_in_production_is_taken_out_again(server: Server) -> None:
    server.served()
    spec = replace(SPEC, staging=False)
    ended = server.run(server.add(2, approved_by=("bo",)), server.candidate(2, spec, source="/m/bad"))
    assert ended.state is ReleaseState.FAILED
    assert server.shares() == {1: 100}


def test_the_test_in_staging_decides(server: Server) -> None:
    spec = replace(SPEC, test=ModelTest(requests="*.json"))
    release, candidate = server.add(1), server.candidate(1, spec)
    while server.tick(release, candidate) is not Do.RUN_TEST:
        pass
    assert server.get(release).state is ReleaseState.STAGING
    server.tick(release, candidate, tested=StagingTest(passed=False, reason="2 of 3 requests", output="the table"))
    ended = server.get(release)
    assert (ended.state, ended.test_output) == (ReleaseState.FAILED, "the table")
    assert "2 of 3 requests" in ended.reason


def test_only_one_release_changes_an_environment_at_a_time(server: Server) -> None:
    server.served()
    first, second = server.add(2, approved_by=("bo",)), server.add(3, approved_by=("bo",))
    while server.get(first).state is not ReleaseState.CANARY:
        server.tick(first, server.candidate(2))
    for _ in range(5):
        server.tick(second, server.candidate(3))
    assert server.get(second).state is ReleaseState.STAGING
    assert server.run(first, server.candidate(2)).state is ReleaseState.PROMOTED
    ended = server.run(second, server.candidate(3))
    assert (ended.state, ended.previous) == (ReleaseState.PROMOTED, 2)


def test_rollback_after_a_promotion_is_one_step(server: Server) -> None:
    server.served()
    server.run(server.add(2), server.candidate(2))
    fresh = replace(_fresh(server), reason="asked by @dan")
    with server.database.write() as tx:
        started = roll_back(tx, fresh, actor="dan", now=server.clock.now())
    assert (started.version, started.previous, started.state) == (2, 1, ReleaseState.ROLLING_BACK)
    assert server.shares() == {1: 100, 2: 0}
    reconcile(server.database, {"local": server.target}, server.clock)
    ended = server.run(started, server.candidate(2))
    assert ended.state is ReleaseState.ROLLED_BACK
    assert server.shares() == {1: 100}
    with server.database.write() as tx, pytest.raises(NotFound, match="version 7"):
        roll_back(tx, replace(fresh, id=new_id(), command_id="x"), actor="dan", now=server.clock.now(), to_version=7)


def test_there_is_nothing_to_go_back_to_from_the_first_version(server: Server) -> None:
    server.served()
    fresh = _fresh(server)
    with server.database.write() as tx, pytest.raises(NotFound, match="an earlier version"):
        roll_back(tx, fresh, actor="dan", now=server.clock.now())


def test_a_rollout_under_way_can_be_stopped(server: Server) -> None:
    server.served()
    release, candidate = server.add(2, approved_by=("bo",)), server.candidate(2)
    while server.get(release).state is not ReleaseState.CANARY:
        server.tick(release, candidate)
    with server.database.write() as tx:
        stop_rollout(tx, server.get(release), candidate, actor="dan", reason="asked by @dan", now=server.clock.now())
    assert server.shares() == {1: 100}
    assert server.run(release, candidate).state is ReleaseState.ROLLED_BACK


def test_approving_and_refusing(server: Server) -> None:
    release = server.add(1)
    now = server.clock.now()
    with server.database.write() as tx:
        once = approve(tx, release, actor="bo", now=now)
        assert approve(tx, once, actor="bo", now=now).approved_by == ("bo",)
        ended = refuse(tx, once, actor="dan", reason="not today", now=now)
        assert (ended.state, ended.reason) == (ReleaseState.REFUSED, "not today")
        with pytest.raises(Refused, match="nothing to approve"):
            approve(tx, ended, actor="eve", now=now)


def test_two_writers_cannot_both_move_a_release_or_a_deployment(server: Server) -> None:
    server.served()
    release = server.add(2)
    with server.database.write() as tx:
        store = ReleaseStore(tx)
        now = server.clock.now()
        store.save(replace(release, reason="first"), before=release, actor="a", at=now)
        with pytest.raises(Conflict):
            store.save(replace(release, reason="second"), before=release, actor="b", at=now)
        kept = DeploymentStore(tx).get(NAME)
        DeploymentStore(tx).save(kept.deployment, repo_id="r", at=now, actor="a")
        with pytest.raises(Conflict):
            DeploymentStore(tx).save(kept.deployment, repo_id="r", at=now, actor="b")
        with pytest.raises(Conflict):
            DeploymentStore(tx).save(replace(kept.deployment, revision=0), repo_id="r", at=now, actor="b")


def test_every_change_of_state_is_an_event_and_a_path_in_the_state_graph(server: Server) -> None:
    server.served()
    release = server.run(server.add(2), server.candidate(2))
    with server.database.read() as tx:
        rows = tx.execute(
            schema.event.select().where(schema.event.c.entity == "release", schema.event.c.entity_id == release.id)
        ).all()
    states = [row.to_state for row in rows]
    assert [row.from_state for row in rows] == [None, *states[:-1]]
    assert states == ["pending", "staging", "waiting", "waiting", "loading", "canary", "canary", "promoted"]
    assert {row.actor for row in rows} == {"ann", "bo", "rollout"}


def test_the_same_command_gives_the_same_release(server: Server) -> None:
    first = server.add(1, command_id="c1")
    assert server.add(1, command_id="c1").id == first.id
    with server.database.read() as tx:
        assert [one.id for one in ReleaseStore(tx).unfinished()] == [first.id]


def test_a_target_that_is_not_here_is_said(server: Server) -> None:
    spec = replace(SPEC, target="kubernetes", staging=False, approvals=0)
    server.tick(server.add(1), server.candidate(1, spec))
    with server.database.read() as tx:
        kept = DeploymentStore(tx).get(NAME)
    assert kept.observed is not None
    assert "no target 'kubernetes'" in kept.observed.message


def _fresh(server: Server) -> Release:
    with server.database.read() as tx:
        kept = ReleaseStore(tx).find()[0]
    return replace(kept, id=new_id(), command_id=new_id(), stages=(), finished_at=None)
