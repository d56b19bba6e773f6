"""A whole Headway in a folder: local forge, local engine, SQLite; ticked by the test itself."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from sqlalchemy import select

from fakes.databases import prepared
from headway.api.mlflow.app import MlflowWire
from headway.app import App, open_app
from headway.commands.grammar import parse_comment
from headway.commands.model import Command, Origin
from headway.commands.store import CommandStore
from headway.db import schema
from headway.flow.joblogs import read_logs
from headway.flow.model import JobResult
from headway.flow.results import JobResults
from headway.forges.local import LocalForge
from headway.forges.model import Change, Repo
from headway.ids import new_id
from headway.jobs.model import Attempt, Job, Task
from headway.jobs.store import JobStore
from headway.server import Front, Site, _announce, _listen, _uvicorn_config
from headway.settings import Settings
from headway.tracking.writer import Writer
from headway.worker import BUSY_TICK, Worker

DEADLINE = 120.0


def git(folder: Path, *arguments: str) -> str:
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "maria",
        "GIT_AUTHOR_EMAIL": "maria@example.com",
        "GIT_COMMITTER_NAME": "maria",
        "GIT_COMMITTER_EMAIL": "maria@example.com",
    }
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"git {arguments}: {done.stderr}"
    return done.stdout.strip()


@dataclass
class Stage:
    """One repository and one Headway; every method says what a person would do."""

    app: App
    worker: Worker
    folder: Path
    repo: Repo
    user: str
    seen: list[str] = field(default_factory=list)

    @property
    def forge(self) -> LocalForge:
        forge = self.app.forges["local"]
        assert isinstance(forge, LocalForge)
        return forge

    def write(self, files: dict[str, str], *, branch: str | None = None, message: str = "change") -> str:
        if branch is not None:
            exists = branch in git(self.folder, "branch", "--format=%(refname:short)").split()
            git(self.folder, "checkout", "-q", *([] if exists else ["-b"]), branch)
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        git(self.folder, "add", "-A")
        git(self.folder, "commit", "-q", "-m", message)
        sha = git(self.folder, "rev-parse", "HEAD")
        if branch is not None:
            git(self.folder, "checkout", "-q", "main")
        return sha

    def open(self, branch: str) -> Change:
        return self.forge.open_change(self.repo.id, branch, author=self.user)

    def comment(self, change: Change, body: str) -> None:
        self.forge.add_comment(self.repo.id, change.number, author=self.user, body=body)

    def command(self, text: str, *, change: int | None = None, branch: str = "main") -> Command:
        (parsed,) = parse_comment(text, {})
        sha = git(self.folder, "rev-parse", branch)
        command = Command(
            id=new_id(),
            verb=parsed.verb,
            origin=Origin.CLI,
            repo_id=self.repo.id,
            actor=self.user,
            at=self.app.clock.now(),
            project=parsed.project,
            change=change,
            head_sha=sha,
            branch=branch,
            arguments=parsed.arguments,
            params=parsed.params,
            reason=parsed.reason,
            dry_run=parsed.dry_run,
        )
        with self.app.database.write() as tx:
            return CommandStore(tx).add(command)

    def tick_until(self, done: Callable[[], Any], *, what: str = "", deadline: float = DEADLINE) -> Any:
        ends = time.monotonic() + deadline
        while True:
            self.worker.tick()
            found = done()
            if found:
                return found
            if time.monotonic() > ends:
                raise AssertionError(f"did not happen in {deadline:.0f} s: {what}; jobs {self.jobs()}")
            time.sleep(BUSY_TICK)  # a tick costs as much as the test's own work: the server's pace is enough

    def jobs(self, **filters: Any) -> list[Job]:
        with self.app.database.read() as tx:
            found = JobStore(tx).find(schema.job.c.repo_id == self.repo.id, limit=200)
        return [job for job in found if all(getattr(job, name) == value for name, value in filters.items())]

    def settled(self, count: int, **filters: Any) -> list[Job]:
        """Tick until so many jobs are settled and everything has been delivered; newest first."""
        return self.tick_until(
            lambda: (jobs := [job for job in self.jobs(**filters) if job.settled_at]) and len(jobs) >= count and jobs,
            what=f"{count} settled jobs {filters}",
        )

    def result(self, job: Job) -> JobResult:
        with self.app.database.read() as tx:
            found = JobResults(tx).get(job.id)
        assert found is not None
        return found

    def report(self, change: Change) -> str:
        """The living comment, once everything wanted stands."""
        for _ in range(5):
            self.worker.tick()
        shown = self.forge.show(self.repo.id, change.number)
        return next((each.body for each in shown.comments if each.is_ours and "headway:report" in each.body), "")

    def answers(self, change: Change) -> list[str]:
        for _ in range(3):
            self.worker.tick()
        shown = self.forge.show(self.repo.id, change.number)
        return [each.body for each in shown.comments if each.is_ours and "headway:report" not in each.body]

    def expect_status(self, change: Change, project: str, wanted: str) -> None:
        self.tick_until(lambda: self.status(change, project) == wanted, what=f"status {wanted}")

    def status(self, change: Change, project: str) -> str:
        for each in self.forge.statuses(self.repo.id, self.forge.get_change(self.repo.id, change.number).head_sha):
            if each.context == f"headway/{project}":
                return each.state.value
        return "absent"

    def tasks(self, job: Job) -> dict[str, Task]:
        with self.app.database.read() as tx:
            return {task.name: task for task in JobStore(tx).tasks(job.id)}

    def attempts(self, job: Job) -> list[Attempt]:
        with self.app.database.read() as tx:
            store = JobStore(tx)
            return store.attempts(task.id for task in store.tasks(job.id))

    def log(self, job: Job) -> str:
        """What a person reads of the job's log."""
        page = read_logs(self.app, job, task=None, cursor="", limit=100_000)
        return "\n".join(page.lines)

    def assert_ended(self, job: Job) -> None:
        """Nothing of it is left open: every state final, runs closed, tokens dead."""
        assert job.state.is_final
        assert job.settled_at is not None
        assert all(task.state.is_final for task in self.tasks(job).values())
        attempts = self.attempts(job)
        assert all(attempt.finished_at is not None for attempt in attempts)
        with self.app.database.read() as tx:
            open_runs = select(schema.run.c.uuid).where(
                schema.run.c.job_id == job.id,
                schema.run.c.status.in_(("RUNNING", "SCHEDULED")),
                schema.run.c.stage == "active",
            )
            living = select(schema.token.c.id).where(
                schema.token.c.attempt_id.in_([attempt.id for attempt in attempts]), ~schema.token.c.revoked
            )
            assert tx.execute(open_runs).all() == []
            assert tx.execute(living).all() == []


def propose_files(stage: Stage, branch: str, files: dict[str, str], *comments: str) -> Change:
    """A change with these files, and what is said on it."""
    stage.write(files, branch=branch)
    change = stage.open(branch)
    for each in comments:
        stage.comment(change, each)
    return change


def age_heads(app: App) -> None:
    """Make every known head of a change an hour older: which came after which still stands."""
    heads = schema.change_head
    with app.database.write() as tx:
        for row in tx.execute(select(heads)).all():
            same = (heads.c.repo_id == row.repo_id, heads.c.number == row.number, heads.c.sha == row.sha)
            tx.execute(heads.update().where(*same).values(first_seen_at=row.first_seen_at - timedelta(hours=1)))


@contextlib.contextmanager
def serving(app: App, settings: Settings) -> Iterator[None]:
    """The server's socket in a thread: attempts' doors speak to it."""
    listening = _listen(settings)
    writer = Writer(app.database)
    writer.start()
    port = int(listening.getsockname()[1])
    wire = MlflowWire(app.database, writer, app.artifacts, app.authenticator)
    front = Front(settings, wire, Site(lambda: app, None), port)
    server = uvicorn.Server(_uvicorn_config(front))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    _announce(settings, port)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=15)
        writer.stop()
        listening.close()


@dataclass(frozen=True)
class House:
    """One running Headway, and room for as many repositories as tests want."""

    app: App
    worker: Worker

    def new_stage(self, folder: Path) -> Stage:
        """A new repository with one commit, made known to this Headway."""
        folder.mkdir(parents=True)
        git(folder, "init", "-q", "-b", "main")
        (folder / "README.md").write_text("# a project\n")
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", "start")
        forge = self.app.forges["local"]
        assert isinstance(forge, LocalForge)
        return Stage(app=self.app, worker=self.worker, folder=folder, repo=forge.register_repo(folder), user=_user())


@contextlib.contextmanager
def open_house(settings: Settings) -> Iterator[House]:
    """Run a Headway on these settings: its server in a thread, its worker ticked by the test."""
    prepared(settings.data)
    app = open_app(settings, runs_attempts=True)
    worker = Worker(app)
    with serving(app, settings):
        yield House(app=app, worker=worker)
    worker.close()
    app.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with open_house(Settings(data=tmp_path / "data", port=0)) as house:
        yield house.new_stage(tmp_path / "repo")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A Headway that all tests of a file share: what each needs of its own is a repository."""
    data = tmp_path_factory.mktemp("house") / "data"
    with open_house(Settings(data=data, port=0, slots=3, attempt_disk_mb=24, log_limit_mb=1)) as opened:
        yield opened


@pytest.fixture
def scene(house: House, tmp_path: Path) -> Stage:
    """A repository of this test's own in the shared Headway."""
    return house.new_stage(tmp_path / "repo")


def _user() -> str:
    from headway.forges.os_user import os_user

    return os_user()


__all__ = ["House", "Stage", "git", "open_house"]
