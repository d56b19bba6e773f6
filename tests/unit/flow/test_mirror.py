from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import update

from fakes.story import Story
from fakes.wire import LiveWire, live_wire
from headway.db import schema
from headway.flow import mirror, settle
from headway.flow.settle import settle as settle_job
from headway.jobs.model import Job
from headway.tracking.mirror_store import Mirrored, MirrorStore
from headway.tracking.model import PARENT_TAG, Metric, Run, RunStatus
from headway.tracking.peer.writer import PeerWriter
from headway.tracking.store import RunStore

CONFIG = """\
name: flights
run: python train.py
metrics: {auc: {goal: maximize}}
tracking: {uri: "URI", mode: log, experiment: copies}
"""
POINTS = [Metric("loss", 1 / (step + 1), 1_000 + step, step) for step in range(2_500)]
NAN = Metric("odd", math.nan, 1_000, 0)


class Killed(BaseException):
    """The worker dies here."""


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[LiveWire]:
    (tmp_path / "peer").mkdir()
    with live_wire(tmp_path / "peer") as wire:
        yield wire


@pytest.fixture
def story(tmp_path: Path, peer: LiveWire) -> Iterator[Story]:
    made = Story(tmp_path, config=CONFIG.replace("URI", peer.uri), tracker_hosts="127.0.0.1")
    yield made
    made.close()


def ended(story: Story, *, from_fork: bool = False) -> tuple[Job, str, str]:
    """A job whose step has logged a run with a child, settled."""
    change = story.change(from_fork=from_fork)
    if from_fork:
        values = {"actor": "ada", "at": story.clock.now()}
        with story.app.database.write() as tx:
            row = {"repo_id": story.repo.id, "change": change.number, "head_sha": change.head_sha}
            tx.execute(schema.fork_grant.insert().values(**row, **values))
    job = story.queued(change)
    now = story.clock.now()
    with story.app.database.write() as tx:
        runs = RunStore(tx)
        experiment = runs.experiments.get_or_create("flights").id
        run = runs.create_run(
            experiment, name="ours", user_id="ada", job_id=job.id, tags={"team": "red"}, params={"lr": "0.1"}
        )
        runs.log_metrics(run, [*POINTS, NAN, Metric("auc", 0.9, 1_000, 1)])
        child = runs.create_run(experiment, name="fold", user_id="ada", tags={PARENT_TAG: run})
        for each in (child, run):
            runs.finish(each, RunStatus.FINISHED)
        tx.execute(update(schema.task).where(schema.task.c.job_id == job.id).values(state="succeeded", run_id=run))
        values = {"state": "failed", "started_at": now, "finished_at": now}
        tx.execute(update(schema.job).where(schema.job.c.id == job.id).values(**values))
    settle_job(story.app, job.id)
    return job, run, child


def visit(story: Story, *, seconds: float = 1.0) -> None:
    story.clock.forward(seconds)
    mirror.visit(story.app, story.repo.id, "flights")


def copies(peer: LiveWire) -> list[Run]:
    with peer.database.read() as tx:
        store = RunStore(tx)
        found = [each for each in store.experiments.all(("active",)) if each.name == "copies"]
        return list(store.search([each.id for each in found]).items) if found else []


def history(peer: LiveWire, run: Run, key: str) -> list[tuple[int, int, float]]:
    with peer.database.read() as tx:
        return [(each.timestamp, each.step, each.value) for each in RunStore(tx).history(run.info.run_id, key)]


def rows(story: Story, job: Job) -> list[Mirrored]:
    with story.app.database.read() as tx:
        return MirrorStore(tx).of_job(job.id)


def assert_whole(story: Story, peer: LiveWire, run: str, child: str) -> None:
    found = {each.tags["headway.run_id"]: each for each in copies(peer)}
    assert len(copies(peer)) == 2
    copy = found[run]
    assert (copy.info.status, copy.info.name, copy.params) == (RunStatus.FINISHED, "ours", {"lr": "0.1"})
    assert copy.tags["team"] == "red"
    assert history(peer, copy, "loss") == [(each.timestamp, each.step, each.value) for each in POINTS]
    assert [(at, step) for at, step, value in history(peer, copy, "odd") if math.isnan(value)] == [(1_000, 0)]
    assert found[child].tags[PARENT_TAG] == copy.info.run_id
    with story.app.database.read() as tx:
        ours = RunStore(tx).get(run)
    assert (copy.info.start_time, copy.info.end_time) == (ours.info.start_time, ours.info.end_time)


def test_an_ended_run_arrives_whole_and_once(story: Story, peer: LiveWire) -> None:
    job, run, child = ended(story)
    assert [each.state for each in rows(story, job)] == ["waiting", "waiting"]
    visit(story)
    assert [each.state for each in rows(story, job)] == ["done", "done"]
    visit(story)
    assert_whole(story, peer, run, child)


@pytest.mark.parametrize("kills", range(7))
def test_a_kill_anywhere_leaves_no_double(
    story: Story, peer: LiveWire, monkeypatch: pytest.MonkeyPatch, kills: int
) -> None:
    """The worker dies after the server has taken the request, before anything of it is noted here."""
    job, run, child = ended(story)
    count = 0

    def dying(name: str) -> Any:
        real = getattr(PeerWriter, name)

        def method(self: PeerWriter, *given: Any, **named: Any) -> Any:
            nonlocal count
            answer = real(self, *given, **named)
            count += 1
            if count == kills + 1:
                raise Killed
            return answer

        return method

    with monkeypatch.context() as patch:
        for name in ("experiment", "create_run", "points", "pairs", "finish"):
            patch.setattr(PeerWriter, name, dying(name))
        with pytest.raises(Killed):
            visit(story)
    for _ in range(4):
        visit(story, seconds=60)
    assert [each.state for each in rows(story, job)] == ["done", "done"]
    assert_whole(story, peer, run, child)


def test_a_request_that_was_cut_off_may_still_arrive(
    story: Story, peer: LiveWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, run, child = ended(story)

    def cut(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(PeerWriter, "create_run", cut)
        with pytest.raises(Killed):
            visit(story)
    visit(story)
    assert copies(peer) == [], "not made a second time while the first may be on its way"
    assert "may still arrive" in " ".join(each.cause for each in rows(story, job))
    for _ in range(3):
        visit(story, seconds=60)
    assert_whole(story, peer, run, child)


def test_it_waits_for_a_server_that_is_away_and_says_since_when(story: Story, peer: LiveWire) -> None:
    job, run, child = ended(story)
    tracking = replace(rows(story, job)[0].tracking, uri="http://127.0.0.1:1")
    _lead_to(story, job, tracking)
    began = story.clock.now()
    for _ in range(3):
        visit(story, seconds=60)
    (first, second) = rows(story, job)
    assert (first.state, second.state) == ("waiting", "waiting")
    assert first.away_since is not None
    assert (first.away_since - began).total_seconds() <= 60
    assert "does not answer" in first.cause
    _lead_to(story, job, replace(tracking, uri=peer.uri))
    visit(story, seconds=600)
    assert_whole(story, peer, run, child)
    assert [each.cause for each in rows(story, job)] == ["", ""]


def _lead_to(story: Story, job: Job, tracking: Any) -> None:
    with story.app.database.write() as tx:
        where = schema.mirror.c.job_id == job.id
        tx.execute(update(schema.mirror).where(where).values(tracking=msgspec.to_builtins(tracking)))


def test_a_fork_s_runs_are_not_copied(story: Story, peer: LiveWire) -> None:
    job, _, _ = ended(story, from_fork=True)
    assert rows(story, job) == []


def test_a_run_that_was_deleted_here_is_not_copied(story: Story, peer: LiveWire) -> None:
    job, run, _ = ended(story)
    with story.app.database.write() as tx:
        RunStore(tx).delete_run(run)
    visit(story)
    assert {each.run_id: each.state for each in rows(story, job)}[run] == "refused"


def test_only_allowed_hosts_are_written_to(story: Story, peer: LiveWire) -> None:
    story.app = replace(story.app, settings=replace(story.app.settings, tracker_hosts="mlflow.example"))
    job, _, _ = ended(story)
    visit(story)
    assert copies(peer) == []
    assert "not among the trackers" in " ".join(each.cause for each in rows(story, job))
    assert settle.step(story.app, story.background) is False
