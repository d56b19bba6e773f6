"""An app on real SQLite and real git, with jobs put where a test wants them; nothing runs by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from fakes.databases import prepared
from fakes.repository import Repository
from headway.app import App, open_app
from headway.auth.model import Role, TokenKind
from headway.auth.tokens import TokenStore
from headway.commands.model import Command, CommandState, Origin, Verb
from headway.commands.store import CommandStore
from headway.db import schema
from headway.flow import train
from headway.flow.background import Background
from headway.flow.model import JobResult
from headway.flow.results import JobResults
from headway.forges.local import LocalForge, os_user
from headway.forges.model import Change, Repo
from headway.gates.model import Check, CheckState, Outcome, Verdict
from headway.ids import new_id
from headway.jobs.model import Job
from headway.jobs.store import JobStore
from headway.projects.model import Severity
from headway.settings import Settings

CONFIG = """\
name: flights
run: python train.py
metrics: {auc: {goal: maximize}}
"""
EVIL = "<img src=x onerror=alert(1)>`|@everyone [a](javascript:b)\x1b[31m"


class HandClock:
    """A clock that stands until it is moved."""

    def __init__(self, at: datetime) -> None:
        self._at = at

    def now(self) -> datetime:
        return self._at

    def forward(self, seconds: float) -> None:
        self._at += timedelta(seconds=seconds)


class Story:
    """One server's data and one repository, with the verbs that tests of the flow need."""

    def __init__(self, folder: Path, *, config: str = CONFIG, **settings: Any) -> None:
        opened = open_app(Settings(data=prepared(folder / "data"), **settings))
        self.clock = HandClock(opened.clock.now())
        forge = LocalForge(opened.database, self.clock)
        self.app: App = replace(opened, clock=self.clock, forges={"local": forge})
        self.forge = forge
        self.background = Background(threads=2)
        self.repository = Repository(folder / "repo")
        self.repository.commit("main", {"headway.yaml": config, "train.py": "1\n"})
        self.repo: Repo = forge.register_repo(self.repository.path)

    def close(self) -> None:
        self.background.close()
        self.app.close()

    def token(self, role: Role, *, user: str = "", kind: TokenKind = TokenKind.USER, **given: Any) -> str:
        with self.app.database.write() as tx:
            return TokenStore(tx).mint(kind, user or os_user(), role=role, at=self.clock.now(), **given)

    def change(self, name: str = "idea", *, from_fork: bool = False, **files: str) -> Change:
        self.repository.commit(name, {"train.py": f"{name}\n", **files})
        return self.forge.open_change(self.repo.id, name, from_fork=from_fork)

    def command(self, verb: Verb, change: Change | None = None, **given: Any) -> Command:
        """Record a command by this machine's user."""
        values: dict[str, Any] = {
            "id": new_id(),
            "verb": verb,
            "origin": Origin.CLI,
            "repo_id": self.repo.id,
            "actor": os_user(),
            "at": self.clock.now(),
            "change": None if change is None else change.number,
            "head_sha": self.repository.head() if change is None else change.head_sha,
            "branch": "main" if change is None else "",
        }
        command = Command(**values | given)
        with self.app.database.write() as tx:
            return CommandStore(tx).add(command)

    def queued(self, change: Change | None = None, **given: Any) -> Job:
        """Queue a job as `/train` does."""
        command = self.command(Verb.TRAIN, change, **given)
        train.train(self.app, command)
        with self.app.database.write() as tx:
            ended, before = CommandState.EXECUTED, (CommandState.ACCEPTED,)
            CommandStore(tx).move(command.id, to=ended, of=before, actor=command.actor, at=self.clock.now())
            return JobStore(tx).find(schema.job.c.command_id == command.id)[0]

    def ended(self, change: Change | None = None, *, is_good: bool = True, auc: float = 0.9, **given: Any) -> Job:
        """Queue a job, and end and judge it without running anything."""
        job = self.queued(change, **given)
        now = self.clock.now()
        values = {"state": "succeeded", "started_at": now, "finished_at": now, "settled_at": now}
        with self.app.database.write() as tx:
            tx.execute(update(schema.task).where(schema.task.c.job_id == job.id).values(state="succeeded"))
            tx.execute(update(schema.job).where(schema.job.c.id == job.id).values(**values))
            tree = JobStore(tx).plan(job.plan_id).tree
            result = replace(self.result(job, is_good=is_good, auc=auc), tree=tree)
            JobResults(tx).save(result, is_baseline=False)
            return JobStore(tx).get(job.id)

    def result(self, job: Job, *, is_good: bool = True, auc: float = 0.9) -> JobResult:
        check = Check(
            id="auc",
            metric="auc",
            state=CheckState.PASSED if is_good else CheckState.FAILED,
            severity=Severity.FAIL,
            limit=">= 0.8",
            candidate=auc,
            baseline=None,
            message="",
        )
        return JobResult(
            job_id=job.id,
            number=job.number,
            repo_id=job.repo_id,
            project=job.project,
            branch=job.branch,
            commit=job.commit,
            tree="",
            tier=job.tier,
            at=self.clock.now(),
            metrics={"auc": auc},
            verdict=Verdict(outcome=Outcome.PASS if is_good else Outcome.FAIL, checks=(check,)),
        )

    def outbox(self, kind: str) -> list[dict[str, Any]]:
        """What is wanted at the forge, of one kind."""
        with self.app.database.read() as tx:
            query = select(schema.outbox.c.want_body).where(schema.outbox.c.kind == kind)
            return list(tx.execute(query).scalars())

    def answer(self, command: Command) -> Command:
        with self.app.database.read() as tx:
            return CommandStore(tx).get(command.id)
