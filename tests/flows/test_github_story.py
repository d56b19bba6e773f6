"""The story at GitHub: webhooks in, one check and one comment out; the fake is judged by GitHub's own description."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fakes.databases import prepared
from fakes.github.sender import SECRET, Sender
from fakes.github.server import FakeGitHub, running
from fakes.github.world import APP_ID, APP_SLUG, NAME, FakeComment
from flows.conftest import age_heads, serving
from flows.test_story import CONFIG, train_script
from headway.app import App, open_app
from headway.commands.inbox import InboxStore
from headway.db import schema
from headway.flow.results import JobResults
from headway.forges.github.config import GitHubApp, GitHubConfig, save_config
from headway.forges.model import Repo
from headway.jobs.model import Job
from headway.jobs.store import JobStore
from headway.server import read_announcement
from headway.settings import Settings
from headway.worker import BUSY_TICK, Worker

DEADLINE = 120.0


@dataclass
class GitHubStage:
    """A fake GitHub and a Headway that is its App; the test ticks."""

    fake: FakeGitHub
    app: App
    worker: Worker
    repo: Repo
    sender: Sender

    def tick_until(self, done: Callable[[], Any], what: str) -> Any:
        ends = time.monotonic() + DEADLINE
        while True:
            self.sender.send_new()
            self.worker.tick()
            found = done()
            if found:
                return found
            assert time.monotonic() < ends, f"did not happen: {what}; comments {self.bodies()}"
            time.sleep(BUSY_TICK)

    def train(self, branch: str, base: float) -> int:
        self.fake.world.commit(branch, {"train.py": train_script(base)})
        number = self.fake.world.open_pull(branch).number
        self.settle()
        return number

    def settle(self) -> None:
        """Let what was told be read, and the clock pass the time in which a head is too fresh to be meant."""
        self.sender.send_new()
        for _ in range(3):
            self.worker.tick()
        self.fake.world.pass_time(15)
        age_heads(self.app)

    def bodies(self) -> list[str]:
        return [each.body for each in self.ours()]

    def ours(self, number: int | None = None) -> list[FakeComment]:
        found = self.fake.world.comments.values()
        return [each for each in found if each.app == APP_ID and number in (None, each.number)]

    def check(self, sha: str) -> dict[str, Any] | None:
        found = [each for each in self.fake.world.checks.values() if each["head_sha"] == sha]
        assert len(found) <= 1
        return found[0] if found else None

    def concluded(self, number: int) -> dict[str, Any]:
        sha = self.fake.world.head(self.fake.world.pulls[number])

        def done() -> dict[str, Any] | None:
            found = self.check(sha)
            return found if found and found["conclusion"] else None

        return self.tick_until(done, f"the check of change {number} concludes")

    def jobs(self, **filters: Any) -> list[Job]:
        with self.app.database.read() as tx:
            found = JobStore(tx).find(schema.job.c.repo_id == self.repo.id, limit=200)
        return [job for job in found if all(getattr(job, name) == value for name, value in filters.items())]


@pytest.fixture
def github(tmp_path: Path) -> Iterator[GitHubStage]:
    """One for each test: a merge of one would be the baseline that another's change is judged against."""
    with running(tmp_path / "github.git") as fake:
        data = prepared(tmp_path / "data")
        app_facts = GitHubApp(id=APP_ID, slug=APP_SLUG, private_key=fake.private_key)
        save_config(data / "github", GitHubConfig(api=fake.url, app=app_facts, webhook_secrets=(SECRET,)))
        fake.world.commit("main", {"headway.yaml": CONFIG, "train.py": train_script(0.5)})
        fake.world.grant("ada", "write")
        settings = Settings(data=data, port=0, catch_up_seconds=3600)
        app = open_app(settings, runs_attempts=True)
        assert app.github is not None
        repo = app.github.register_repo(NAME, by="test")
        worker = Worker(app)
        with serving(app, settings):
            sender = Sender(fake.world, str((read_announcement(settings.data) or {})["url"]))
            sender.sent = len(fake.world.deliveries)
            yield GitHubStage(fake=fake, app=app, worker=worker, repo=repo, sender=sender)
            sender.close()
        worker.close()
        app.close()
        assert fake.problems == []


def test_a_comment_becomes_one_check_and_one_report(github: GitHubStage) -> None:
    number = github.train("better", 0.7)
    sha = github.fake.world.head(github.fake.world.pulls[number])
    github.tick_until(lambda: github.check(sha), "a check asks for /train")
    said = github.fake.world.comment(number, "ada", "please\n\n/train")
    check = github.concluded(number)
    assert check["conclusion"] == "success", check
    github.tick_until(lambda: any("0.8" in each.body for each in github.ours(number)), "the report has the metric")
    assert len(github.ours(number)) == 1
    assert [content for _, content in said.reactions] == ["eyes"]

    merged = github.fake.world.merge(number, squash=True)
    (job,) = github.jobs(change=number)

    def is_baseline() -> bool:
        with github.app.database.read() as tx:
            found = JobResults(tx).latest_baseline(github.repo.id, "tiny")
        return found is not None and found.job_id == job.id

    github.tick_until(is_baseline, "the squashed merge has the change's result")
    assert merged.merge_commit_sha


def _baseline(github: GitHubStage) -> str:
    with github.app.database.read() as tx:
        found = JobResults(tx).latest_baseline(github.repo.id, "tiny")
    return found.job_id if found else ""


def test_a_rebase_is_recognised_and_why_tells_its_lineage(github: GitHubStage) -> None:
    number = github.train("rebased", 0.8)
    github.fake.world.comment(number, "ada", "/train")
    assert github.concluded(number)["conclusion"] == "success"
    (job,) = github.jobs(change=number)
    github.fake.world.merge(number, rebase=True)
    github.tick_until(lambda: _baseline(github) == job.id, "the rebased merge has the change's result")
    github.fake.world.comment(number, "ada", "/why")

    def lineage() -> str:
        return next((body for body in github.bodies() if "baseline of" in body and f"#{number}" in body), "")

    said = github.tick_until(lineage, "/why answers")
    assert job.commit in said
    assert f"#{job.number}" in said
    assert [each for each in github.jobs() if each.change is None] == [], "nothing was trained for it"


def test_a_merge_while_the_server_was_away_is_found(github: GitHubStage) -> None:
    number = github.train("away", 0.9)
    github.fake.world.comment(number, "ada", "/train")
    assert github.concluded(number)["conclusion"] == "success"
    (job,) = github.jobs(change=number)
    assert github.app.github is not None
    last_look = github.app.github.events_since(github.repo.id, "").cursor
    github.fake.world.merge(number)
    github.sender.sent = len(github.fake.world.deliveries)  # none of it comes in
    found = github.app.github.events_since(github.repo.id, last_look)
    with github.app.database.write() as tx:
        for event in (*found.events, *found.events):
            InboxStore(tx).add(event, forge="github", at=github.app.clock.now())
    github.tick_until(lambda: _baseline(github) == job.id, "looking has found the merge")


def test_a_merge_queue_is_answered_and_run_again_is_a_command(github: GitHubStage) -> None:
    number = github.train("queued", 0.95)
    github.fake.world.comment(number, "ada", "/train")
    pressed = github.concluded(number)
    (job,) = github.jobs(change=number)
    sha = github.fake.world.queue(number)

    def answered() -> dict[str, Any] | None:
        found = github.check(sha)
        return found if found and found["conclusion"] else None

    assert github.tick_until(answered, "the queue has its verdict")["conclusion"] == "success"
    assert [each.id for each in github.jobs() if each.commit == sha] == [], "the files were judged already"
    github.fake.world.press(pressed["id"], "rerequest")
    again = github.tick_until(lambda: [each for each in github.jobs(change=number) if each.id != job.id], "once more")
    assert [each.commit for each in again] == [job.commit]


def test_a_change_that_was_open_before_can_be_trained(github: GitHubStage) -> None:
    """Rule 12: its head was never told to us, and is known from when the repository was added."""
    github.fake.world.commit("older", {"train.py": train_script(1.5)})
    number = github.fake.world.open_pull("older").number
    github.sender.sent = len(github.fake.world.deliveries)  # it was there before we listened
    assert github.app.github is not None
    github.app.github.register_repo(NAME, by="test")
    github.settle()
    github.fake.world.comment(number, "ada", "/train")
    assert github.concluded(number)["conclusion"] == "success"


def test_a_push_while_it_trains_ends_it_and_nothing_of_it_stands_at_the_new_commit(github: GitHubStage) -> None:
    """Rule 16: the run is superseded, its check cancelled; the new commit has a check of its own that asks anew."""
    world = github.fake.world
    first = world.commit("slow", {"train.py": "import time\ntime.sleep(600)\n"})
    number = world.open_pull("slow").number
    github.settle()
    world.comment(number, "ada", "/train")

    def at_work() -> bool:
        found = github.check(first)
        return found is not None and found["status"] == "in_progress"

    github.tick_until(at_work, "it trains")
    second = world.commit("slow", {"train.py": train_script(0.9)})

    def ended() -> dict[str, Any] | None:
        found = github.check(first)
        return found if found and found["conclusion"] else None

    assert github.tick_until(ended, "its check ends")["conclusion"] == "cancelled"
    fresh = github.tick_until(lambda: github.check(second), "the new commit is asked for")
    assert (fresh["status"], fresh["conclusion"]) != ("completed", "success")
    (job,) = github.jobs(change=number)
    assert (job.commit, job.superseded_by) == (first, second)
