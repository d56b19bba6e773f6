"""Somebody pushes at every single request: what runs, is granted, released or approved is the commit that was meant.

Rules 12 to 18 of the forge door. Each command is played once to count the requests that it makes, then once more for
each of them (every third, but for `make test-faults`) with a push exactly before it. Nothing is trained: a job that
stands queued is all that this needs.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from fakes.github.sender import SECRET
from fakes.github.server import FakeGitHub, running
from fakes.github.world import APP_ID, APP_SLUG, NAME
from flows.conftest import age_heads
from headway.app import App, open_app
from headway.commands.inbox import InboxStore
from headway.commands.model import Command, CommandState
from headway.commands.store import CommandStore
from headway.db import schema
from headway.flow import dispatch, intake
from headway.flow.background import Background
from headway.flow.model import JobResult, ModelSource
from headway.flow.results import JobResults
from headway.forges.github import budget
from headway.forges.github.config import GitHubApp, GitHubConfig, save_config
from headway.forges.github.webhook import sign
from headway.forges.model import Repo
from headway.gates.model import Check, CheckState, Outcome, Verdict
from headway.jobs.model import Job
from headway.jobs.store import JobStore
from headway.projects.model import Severity
from headway.serving.model import ReleaseState
from headway.serving.store import ReleaseStore
from headway.settings import Settings
from headway.tracking.store import RunStore

CONFIG = """\
name: tiny
run: python train.py
metrics: {score: {goal: maximize}}
model: {name: tiny}
deploy: {environment: production, approval: {required: 1}}
"""


class Inline(Background):
    """Everything at once and in order: each request happens where the test counts it."""

    def run(self, name: str, work: Callable[[], None]) -> bool:
        work()
        return True

    def is_due(self, name: str, every: float) -> bool:
        return not name.startswith("listen:")


@dataclass
class Theatre:
    """A fake GitHub and the two loops that read and obey; the test says who pushes when."""

    fake: FakeGitHub
    app: App
    repo: Repo
    background: Inline
    sent: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)

    def tell(self) -> None:
        """Take in every webhook that the world has sent since, and do what it asks."""
        waiting, self.sent = self.fake.world.deliveries[self.sent :], len(self.fake.world.deliveries)
        assert self.app.github is not None
        for each in waiting:
            headers = {
                "x-github-event": each.event,
                "x-github-delivery": each.guid,
                "x-hub-signature-256": sign(each.body, SECRET),
            }
            event = self.app.github.parse_webhook(headers, each.body)
            if event is not None:
                with self.app.database.write() as tx:
                    InboxStore(tx).add(event, forge="github", at=self.app.clock.now())
        intake.step(self.app, self.background)
        dispatch.step(self.app, self.background)
        with self.app.database.read() as tx:
            failed = tx.execute(select(schema.inbox.c.error).where(schema.inbox.c.state == "new")).scalars().all()
        assert failed == [], "every delivery is read at once"

    def open(self, name: str, *, from_fork: bool) -> tuple[int, str]:
        sha = self.fake.world.commit(name, {"train.py": f"print({name!r})\n"})
        number = self.fake.world.open_pull(name, author="mallory" if from_fork else "ada", from_fork=from_fork).number
        self.tell()
        age_heads(self.app)
        self.fake.world.pass_time(15)
        return number, sha

    def jobs(self, number: int) -> list[Job]:
        with self.app.database.read() as tx:
            return JobStore(tx).find(schema.job.c.repo_id == self.repo.id, schema.job.c.change == number)

    def commands(self, number: int) -> tuple[Command, ...]:
        with self.app.database.read() as tx:
            return CommandStore(tx).of_change(self.repo.id, number)

    def granted(self, number: int) -> list[str]:
        table = schema.fork_grant.c
        with self.app.database.read() as tx:
            return list(tx.execute(select(table.head_sha).where(table.change == number)).scalars())

    def releases(self, number: int) -> list[Any]:
        with self.app.database.read() as tx:
            return ReleaseStore(tx).find(schema.release.c.change == number)

    def said(self, number: int) -> list[str]:
        """What we want to stand under a change."""
        with self.app.database.read() as tx:
            query = select(schema.outbox.c.want_body).where(schema.outbox.c.kind == "comment")
            return [body["body"] for body in tx.execute(query).scalars() if body["number"] == number]

    def trained(self, number: int) -> Job:
        """Train a change without training: its job has ended well and made a model."""
        self.fake.world.comment(number, "ada", "/train")
        self.tell()
        assert self.jobs(number), (self.said(number), self.commands(number))
        (job,) = self.jobs(number)
        now, run = (
            self.app.clock.now(),
            job.id.lower()[:26].ljust(32, "0").translate(str.maketrans("ghjkmnpqrstvwxyz", "0" * 16)),
        )
        self.app.artifacts.put(f"models/{run}/MLmodel", iter([b"flavors: {}\n"]))
        check = Check(
            id="score",
            metric="score",
            state=CheckState.PASSED,
            severity=Severity.FAIL,
            limit="",
            candidate=0.9,
            baseline=None,
            message="",
        )
        ended = {"state": "succeeded", "started_at": now, "finished_at": now, "settled_at": now}
        with self.app.database.write() as tx:
            runs = RunStore(tx, actor="headway", clock=self.app.clock)
            experiment = runs.experiments.get_or_create("tiny").id
            runs.create_run(experiment, name="run", user_id="ada", tags={}, job_id=job.id, run_id=run)
            tx.execute(update(schema.task).where(schema.task.c.job_id == job.id).values(state="succeeded"))
            tx.execute(update(schema.job).where(schema.job.c.id == job.id).values(**ended))
            result = JobResult(
                job_id=job.id,
                number=job.number,
                repo_id=job.repo_id,
                project=job.project,
                branch=job.branch,
                commit=job.commit,
                tree=JobStore(tx).plan(job.plan_id).tree,
                tier=job.tier,
                at=now,
                metrics={"score": 0.9},
                verdict=Verdict(outcome=Outcome.PASS, checks=(check,)),
                model=ModelSource(key=f"models/{run}", run_id=run),
            )
            JobResults(tx).save(result, is_baseline=False)
            return JobStore(tx).get(job.id)

    def waiting_release(self, number: int, sha: str) -> None:
        self.trained(number)
        self.fake.world.comment(number, "ada", f"/deploy @{sha}")
        self.tell()
        (release,) = self.releases(number)
        with self.app.database.write() as tx:
            waits = replace(release, state=ReleaseState.WAITING)
            ReleaseStore(tx).save(waits, before=release, actor="headway", at=self.app.clock.now())


@pytest.fixture(scope="module")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    folder: Path = tmp_path_factory.mktemp("moved")
    # A hundred stories in a minute: more than we would ever ask of the real one.
    patched = pytest.MonkeyPatch()
    patched.setattr(budget, "POINTS_HELD", 1_000_000)
    with running(folder / "github.git") as fake:
        data = folder / "data"
        facts = GitHubApp(id=APP_ID, slug=APP_SLUG, private_key=fake.private_key)
        save_config(data / "github", GitHubConfig(api=fake.url, app=facts, webhook_secrets=(SECRET,)))
        fake.world.commit("main", {"headway.yaml": CONFIG, "train.py": "print()\n"})
        for name in ("ada", "bob"):
            fake.world.grant(name, "maintain")
        app = open_app(Settings(data=data))
        assert app.github is not None
        repo = app.github.register_repo(NAME, by="test")
        background = Inline(threads=1)
        yield Theatre(fake, app, repo, background, sent=len(fake.world.deliveries))
        background.close()
        app.close()
        assert fake.problems == []
    patched.undo()


# What is written, by whom; whether the change is a fork's, and what must be there before.
ACTS: dict[str, tuple[str, str, bool, str]] = {
    "train": ("ada", "/train", False, ""),
    "train-sha": ("ada", "/train @{sha}", False, ""),
    "grant": ("bob", "/approve @{sha}", True, ""),
    "fork-train": ("ada", "/train @{sha}", True, "granted"),
    "deploy": ("ada", "/deploy @{sha}", False, "trained"),
    "approve": ("bob", "/approve", False, "waiting"),
}


def _ready(theatre: Theatre, name: str, act: str) -> tuple[int, str]:
    _, _, from_fork, needs = ACTS[act]
    number, sha = theatre.open(name, from_fork=from_fork)
    if needs == "granted":
        theatre.fake.world.comment(number, "bob", f"/approve @{sha}")
        theatre.tell()
    elif needs == "trained":
        theatre.trained(number)
    elif needs == "waiting":
        theatre.waiting_release(number, sha)
    theatre.fake.world.pass_time(15)
    return number, sha


def _play(theatre: Theatre, act: str, *, before: int | None) -> int:
    """Play one act with a push before the request of that number, and return how many requests it made."""
    name = f"{act}-{before}"
    number, meant = _ready(theatre, name, act)
    earlier = {job.id for job in theatre.jobs(number)}, len(theatre.said(number)), len(theatre.commands(number))
    made = 0

    def push(_method: str, _path: str) -> None:
        nonlocal made
        made += 1
        if made == before:
            theatre.fake.world.commit(name, {"train.py": "steal()\n"}, actor="mallory")

    who, text, _, _ = ACTS[act]
    theatre.fake.world.comment(number, who, text.format(sha=meant))
    theatre.fake.before = push
    theatre.tell()
    theatre.fake.before = None
    count = made
    theatre.tell()  # the push, as GitHub tells of it
    _check(theatre, act, number, meant, earlier=earlier, has_moved=before is not None)
    return count


def _check(
    theatre: Theatre, act: str, number: int, meant: str, *, earlier: tuple[set[str], int, int], has_moved: bool
) -> None:
    old, said, given = earlier
    fresh = [job for job in theatre.jobs(number) if job.id not in old]
    assert {job.commit for job in fresh} <= {meant}
    assert {release.commit for release in theatre.releases(number)} <= {meant}
    assert set(theatre.granted(number)) <= {meant}
    commands = theatre.commands(number)[given:]
    assert all(each.state in (CommandState.EXECUTED, CommandState.REFUSED) for each in commands)
    assert "steal" not in "".join(theatre.said(number))
    done = [each for each in commands if each.state is CommandState.EXECUTED]
    if has_moved:
        # Whatever was begun for the older commit is ended by the push, and an approval is void.
        assert [job for job in fresh if job.desired == "run"] == []
        assert [release.approved_by for release in theatre.releases(number) if release.approved_by] == []
    elif act == "approve":
        assert [release.approved_by for release in theatre.releases(number)] == [("bob",)], theatre.said(number)
    assert done or len(theatre.said(number)) > said, "neither done nor answered"
    theatre.outcomes["done, then superseded" if done and has_moved else "done" if done else "refused"] += 1


@pytest.mark.parametrize("act", ACTS)
def test_the_commit_that_was_meant_or_none(
    theatre: Theatre, act: str, record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    theatre.outcomes.clear()
    count = _play(theatre, act, before=None)
    assert theatre.outcomes == {"done": 1}
    assert count >= 2
    is_thorough = bool(os.environ.get("HEADWAY_ALL_FAULTS"))
    # Each act begins at another request, and none leaves the first out: there every act can still be refused.
    numbers = range(1, count + 1) if is_thorough else sorted({1, *range(1 + list(ACTS).index(act) % 3, count + 1, 3)})
    for number in numbers:
        _play(theatre, act, before=number)
    assert sum(theatre.outcomes.values()) == len(numbers) + 1
    record_property("interleavings", len(numbers))
    if is_thorough:
        with capsys.disabled():
            print(f"{act}: {count} interleavings hold: {dict(theatre.outcomes)}")  # noqa: T201  # the measurement
    assert theatre.outcomes["refused"] > 0
