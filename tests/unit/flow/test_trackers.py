from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes.story import Story
from fakes.wire import LiveWire, live_wire
from headway.db import schema
from headway.flow import deliver, intake, settle, trackers
from headway.flow.model import JobResult
from headway.flow.results import JobResults
from headway.forges.model import Change
from headway.gates import judge as judging
from headway.gates.model import CheckState, Outcome
from headway.jobs.model import Job, JobState
from headway.jobs.store import JobStore
from headway.tracking.model import Metric, RunStatus
from headway.tracking.outside_store import OutsideStore
from headway.tracking.store import RunStore
from headway.tracking.watch_list import WatchList

CONFIG = """\
name: flights
run: python train.py
metrics: {auc: {goal: maximize}}
gates: [{metric: auc, min: 0.8}]
tracking: {uri: "URI", experiment: elsewhere}
"""


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[LiveWire]:
    """Somebody else's MLflow server: our own wire, on a database of its own."""
    (tmp_path / "peer").mkdir()
    with live_wire(tmp_path / "peer") as wire:
        yield wire


@pytest.fixture
def story(tmp_path: Path, peer: LiveWire) -> Iterator[Story]:
    made = Story(tmp_path, config=CONFIG.replace("URI", peer.uri), tracker_hosts="127.0.0.1")
    yield made
    made.close()


def log(peer: LiveWire, commit: str, *, auc: float = 0.9, end: bool = True, tag: str = "headway.commit") -> str:
    """A run that somebody trained elsewhere."""
    with peer.database.write() as tx:
        store = RunStore(tx)
        experiment = store.experiments.get_or_create("elsewhere").id
        tags = {tag: commit, "mlflow.runName": "notebook"}
        run = store.create_run(experiment, name="notebook", user_id="maria", tags=tags, params={"lr": "0.1"})
        store.log_metrics(run, [Metric("auc", auc, 1_000, 1)])
        if end:
            store.finish(run, RunStatus.FINISHED)
        return run


def move(story: Story, *, seconds: float = 11.0) -> None:
    """Let all that follows happen, as the worker's ticks would."""
    story.clock.forward(seconds)
    for _ in range(3):
        intake.step(story.app, story.background)
        trackers.ask(story.app, story.repo.id, "flights")
        settle.step(story.app, story.background)
        until = time.monotonic() + 30
        while story.background.is_busy and time.monotonic() < until:
            time.sleep(0.01)
        deliver.step(story.app, story.background)


def jobs(story: Story, commit: str) -> list[Job]:
    with story.app.database.read() as tx:
        return [job for job in JobStore(tx).find() if job.commit == commit]


def judged(story: Story, commit: str) -> JobResult:
    (job,) = jobs(story, commit)
    with story.app.database.read() as tx:
        found = JobResults(tx).get(job.id)
    assert found is not None
    return found


def comment(story: Story, change: Change) -> str:
    shown = story.forge.show(story.repo.id, change.number)
    return next(each.body for each in shown.comments if each.is_ours)


def gone(story: Story, address: str = "http://127.0.0.1:1") -> None:
    """The tracker is away from now on: nobody listens there."""
    with story.app.database.write() as tx:
        store = OutsideStore(tx)
        for look in store.live(story.repo.id, "flights"):
            WatchList(tx).renamed(story.repo.id, "flights", replace(look.tracking, uri=address))


class TestTaggedRuns:
    def test_a_run_trained_elsewhere_is_the_commits_job_and_is_judged(self, story: Story, peer: LiveWire) -> None:
        change = story.change()
        run = log(peer, change.head_sha)
        move(story)
        result = judged(story, change.head_sha)
        assert result.verdict is not None
        assert (result.verdict.outcome, result.metrics) == (Outcome.PASS, {"auc": 0.9})
        assert result.outside is not None
        assert result.outside.chosen is not None
        assert (result.outside.chosen.run_id, result.outside.taken) == (run, ("auc",))
        (job,) = jobs(story, change.head_sha)
        assert (job.state, job.change) == (JobState.SUCCEEDED, change.number)
        assert "tagged with the commit" in job.reason
        said = comment(story, change)
        assert "tagged with the commit" in said
        assert "127.0.0.1" in said

    def test_a_gate_blocks_by_its_metric(self, story: Story, peer: LiveWire) -> None:
        change = story.change()
        log(peer, change.head_sha, auc=0.7, tag="mlflow.source.git.commit")
        move(story)
        verdict = judged(story, change.head_sha).verdict
        assert verdict is not None
        assert verdict.outcome is Outcome.FAIL
        assert "127.0.0.1" in " ".join(verdict.notes)

    def test_the_run_that_ended_last_counts_and_a_better_one_mends(self, story: Story, peer: LiveWire) -> None:
        change = story.change()
        log(peer, change.head_sha, auc=0.7)
        move(story)
        log(peer, change.head_sha, auc=0.95)
        move(story)
        result = judged(story, change.head_sha)
        assert result.verdict is not None
        assert (result.verdict.outcome, result.metrics["auc"]) == (Outcome.PASS, 0.95)
        assert len(jobs(story, change.head_sha)) == 1

    def test_a_word_that_is_given_while_it_is_judged_again_is_not_lost(
        self, story: Story, peer: LiveWire, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        change = story.change()
        log(peer, change.head_sha, auc=0.7)
        move(story)
        verdict, (job,) = judged(story, change.head_sha).verdict, jobs(story, change.head_sha)
        assert verdict is not None
        assert verdict.outcome is Outcome.FAIL
        said: list[str] = []
        judge = judging.judge

        def judge_slowly(*arguments: Any, **named: Any) -> Any:
            found = judge(*arguments, **named)
            if not said:  # a maintainer accepts it just now
                said.append(verdict.checks[0].id)
                with story.app.database.write() as tx:
                    plan = JobStore(tx).plan(job.plan_id)
                    row = {"repo_id": job.repo_id, "change": change.number, "project": "flights", "check": said[0]}
                    row |= {"head_sha": job.commit, "base_sha": plan.base_commit, "actor": "ada", "reason": "known"}
                    tx.execute(schema.override.insert().values(**row, at=story.clock.now()))
            return found

        monkeypatch.setattr("headway.flow.settle.judge", judge_slowly)
        log(peer, change.head_sha, auc=0.75)
        move(story)
        result = judged(story, change.head_sha)
        assert said
        assert result.verdict is not None
        assert (result.metrics["auc"], result.verdict.outcome is Outcome.FAIL) == (0.75, False)

    def test_a_tag_that_is_said_goes_before_what_mlflow_found(self, story: Story, peer: LiveWire) -> None:
        change = story.change()
        run = log(peer, change.head_sha, tag="mlflow.source.git.commit")
        with peer.database.write() as tx:
            RunStore(tx).set_tags(run, {"headway.commit": "f" * 40})
        move(story)
        assert jobs(story, change.head_sha) == []

    @pytest.mark.parametrize("tag", ["headway.run_id"])
    def test_copies_of_our_own_runs_are_no_evidence(self, story: Story, peer: LiveWire, tag: str) -> None:
        change = story.change()
        run = log(peer, change.head_sha)
        with peer.database.write() as tx:
            RunStore(tx).set_tags(run, {tag: "a" * 32})
        move(story)
        assert jobs(story, change.head_sha) == []

    def test_a_fork_is_never_judged_by_a_tag(self, story: Story, peer: LiveWire) -> None:
        change = story.change(from_fork=True)
        log(peer, change.head_sha)
        move(story)
        assert jobs(story, change.head_sha) == []
        with story.app.database.read() as tx:
            assert OutsideStore(tx).look(story.repo.id, "flights", change.head_sha) is None

    def test_a_run_that_has_not_ended_waits(self, story: Story, peer: LiveWire) -> None:
        change = story.change()
        run = log(peer, change.head_sha, end=False)
        move(story)
        assert jobs(story, change.head_sha) == []
        with peer.database.write() as tx:
            RunStore(tx).finish(run, RunStatus.FINISHED)
        move(story)
        assert judged(story, change.head_sha).metrics == {"auc": 0.9}

    def test_main_s_tagged_run_is_the_baseline(self, story: Story, peer: LiveWire) -> None:
        change = story.change()
        log(peer, change.base_sha, auc=0.85)
        move(story)
        log(peer, change.head_sha, auc=0.9)
        move(story)
        result = judged(story, change.head_sha)
        assert result.baseline_metrics == {"auc": 0.85}
        assert "127.0.0.1" in result.baseline_label


class TestBesideOurOwn:
    def test_our_own_number_stands_and_only_gaps_are_filled(self, story: Story, peer: LiveWire) -> None:
        change = story.change()
        job = story.queued(change)
        end(story, job, auc=0.82)
        log(peer, change.head_sha, auc=0.99)
        move(story)
        result = judged(story, change.head_sha)
        assert result.metrics["auc"] == 0.82
        assert result.outside is not None
        assert result.outside.taken == ()
        assert len(result.outside.runs) == 1

    def test_shown_only_is_never_judged(self, story: Story, peer: LiveWire) -> None:
        text = CONFIG.replace("URI", peer.uri).replace("elsewhere}", "elsewhere, gates: false}")
        story.repository.commit("main", {"headway.yaml": text})
        change = story.change()
        log(peer, change.head_sha)
        move(story)
        assert jobs(story, change.head_sha) == []
        end(story, story.queued(change), auc=None)
        move(story)
        result = judged(story, change.head_sha)
        assert result.verdict is not None
        assert result.verdict.outcome is Outcome.FAIL
        assert result.outside is not None
        assert len(result.outside.runs) == 1


class TestAway:
    def test_nothing_passes_while_it_is_away_and_it_mends_itself(self, story: Story, peer: LiveWire) -> None:
        change = story.change()
        move(story)
        gone(story)
        job = story.queued(change)
        end(story, job, auc=None)
        log(peer, change.head_sha)
        move(story)
        verdict = judged(story, change.head_sha).verdict
        assert verdict is not None
        (check,) = verdict.checks
        assert (verdict.outcome, check.state) == (Outcome.CANNOT_TELL, CheckState.CANNOT_TELL)
        assert "cannot be reached since" in check.message
        assert "cannot be reached since" in comment(story, change)
        gone(story, peer.uri)
        move(story, seconds=120)
        again = judged(story, change.head_sha)
        assert again.verdict is not None
        assert (again.verdict.outcome, again.metrics) == (Outcome.PASS, {"auc": 0.9})
        assert "cannot be reached" not in comment(story, change)

    def test_what_was_judged_stands_when_it_goes_away_later(self, story: Story, peer: LiveWire) -> None:
        change = story.change()
        log(peer, change.head_sha)
        move(story)
        gone(story)
        move(story, seconds=60)
        result = judged(story, change.head_sha)
        assert result.verdict is not None
        assert result.verdict.outcome is Outcome.PASS
        assert "cannot be reached since" in comment(story, change)

    def test_a_missing_secret_is_told_and_nothing_passes(self, story: Story, peer: LiveWire) -> None:
        text = CONFIG.replace("URI", peer.uri).replace("elsewhere}", "elsewhere, token: TRACKER_TOKEN}")
        story.repository.commit("main", {"headway.yaml": text})
        change = story.change()
        end(story, story.queued(change), auc=None)
        move(story)
        verdict = judged(story, change.head_sha).verdict
        assert verdict is not None
        assert verdict.outcome is Outcome.CANNOT_TELL
        assert "no secret TRACKER_TOKEN" in verdict.checks[0].message


def end(story: Story, job: Job, *, auc: float | None) -> None:
    """End a job as if its step had run, and had logged that."""
    from sqlalchemy import update

    from headway.db import schema

    now = story.clock.now()
    with story.app.database.write() as tx:
        runs = RunStore(tx)
        experiment = runs.experiments.get_or_create("flights").id
        run = runs.create_run(experiment, name="ours", user_id="ada", job_id=job.id)
        if auc is not None:
            runs.log_metrics(run, [Metric("auc", auc, 1_000, 1)])
        runs.finish(run, RunStatus.FINISHED)
        values = {"state": "succeeded", "run_id": run}
        tx.execute(update(schema.task).where(schema.task.c.job_id == job.id).values(**values))
        ended = {"state": "succeeded", "started_at": now, "finished_at": now}
        tx.execute(update(schema.job).where(schema.job.c.id == job.id).values(**ended))
