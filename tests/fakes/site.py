"""A server's data with something of everything, every text in it hostile; nothing runs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Connection, update
from starlette.applications import Starlette

from fakes.databases import prepared
from fakes.repository import Repository
from headway.app import App, open_app
from headway.auth.model import Role, TokenKind
from headway.auth.tokens import TokenStore
from headway.commands.model import Command, CommandState, Origin, Verb
from headway.commands.store import CommandStore
from headway.db import schema
from headway.environments.model import EnvKind, EnvSpec, Tier
from headway.flow.model import JobResult
from headway.flow.results import JobResults
from headway.forges.local import LocalForge
from headway.forges.model import Change, Repo, StatusState, WantedStatus
from headway.gates.model import Check, CheckState, Outcome, Verdict
from headway.ids import new_id
from headway.jobs import advance
from headway.jobs.model import Job
from headway.jobs.store import JobStore
from headway.pipelines.model import TaskSpec
from headway.planning.model import Action, Plan, PlannedTask
from headway.projects.model import DeploySpec, MetricSpec, ModelSpec, ProjectSpec, Severity
from headway.registry.model import Lineage
from headway.registry.store import RegistryStore
from headway.reports.model import CrashView, WhatChanged
from headway.serving.model import (
    Deployment,
    Observed,
    Release,
    ReleaseState,
    Route,
    StageRecord,
    VersionCounters,
)
from headway.serving.store import DeploymentStore, ReleaseStore
from headway.settings import Settings
from headway.tracking.model import Metric
from headway.tracking.store import RunStore
from headway.web.pages import web_routes

EVIL = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>{{7*7}}[a](javascript:alert(3))\u202e\x1b[31m"
# What must never stand in a page: the tags above as tags, and what a template would have made of the braces.
TRACES = ("<img src=x", "<script>alert", 'href="javascript:', "\u202e", "\x1b", ">49[")
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOST = "http://127.0.0.1:7474"


class Browser:
    """Asks an ASGI application one thing after the other, and keeps cookies."""

    def __init__(self, asgi: Starlette) -> None:
        self._asgi = asgi
        self.cookies = httpx.Cookies()

    def request(self, method: str, path: str, **given: Any) -> httpx.Response:
        return asyncio.run(self._request(method, path, **given))

    async def _request(self, method: str, path: str, **given: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self._asgi)
        async with httpx.AsyncClient(transport=transport, base_url=HOST, cookies=self.cookies) as client:
            answer = await client.request(method, path, **given)
            self.cookies = client.cookies
            return answer

    def get(self, path: str, **given: Any) -> httpx.Response:
        return self.request("GET", path, **given)

    def head(self, path: str) -> httpx.Response:
        return self.request("HEAD", path)

    def post(self, path: str, **given: Any) -> httpx.Response:
        return self.request("POST", path, **given)


@dataclass
class Site:
    """An app, its pages behind a client, and what was put into it."""

    app: App
    repository: Repository
    repo: Repo
    changes: list[Change]
    jobs: list[Job]
    runs: list[str]
    release: str = ""
    command: str = ""

    def client(self, role: Role | None = Role.ADMIN) -> Browser:
        """A browser that is logged in with a role; None = it is not."""
        client = Browser(Starlette(routes=web_routes(self.app)))
        if role is not None:
            answer = client.post("/login", data={"token": self.token(role)})
            assert answer.status_code == 303, answer.text
        return client

    def token(self, role: Role, *, kind: TokenKind = TokenKind.USER) -> str:
        with self.app.database.write() as tx:
            return TokenStore(tx).mint(kind, "ada", role=role, at=self.app.clock.now())

    @property
    def addresses(self) -> list[str]:
        """Every page of this site."""
        found = [
            "/",
            "/changes",
            "/changes?state=all",
            "/jobs",
            "/runs",
            "/models",
            "/deployments",
            "/events",
            "/why",
            "/trash",
            "/people",
        ]
        found += [f"/changes/{change.repo_id}/{change.number}" for change in self.changes]
        for job in self.jobs:
            found += [f"/jobs/{job.number}{rest}" for rest in ("", "/log", "/log.txt", "/curves.json")]
        if len(self.jobs) > 1:
            found.append(f"/jobs/{self.jobs[0].number}/compare/{self.jobs[1].number}")
        for run in self.runs:
            found += [f"/runs/{run}", f"/runs/{run}/curves.json"]
        if len(self.runs) > 1:
            found.append(f"/runs/{self.runs[0]}/compare/{self.runs[1]}?all=1")
        if self.release:
            found += [f"/releases/{self.release}", f"/commands/{self.command}", "/models/flights"]
            found += ["/deployments/flights-production", "/why?subject=flights@1"]
        return found


def empty_site(folder: Path, *, auth: str = "token", known: bool = True) -> Site:
    """A server that was just started, with one repository or none."""
    app = open_app(Settings(data=prepared(folder / "data"), port=7474, auth=auth))
    repository = Repository(folder / "repo")
    repo = Repo(forge="local", id="none", name="none", location="", default_branch="main")
    if known:
        forge = app.forges["local"]
        assert isinstance(forge, LocalForge)
        repo = forge.register_repo(repository.path, by="ada")
    return Site(app=app, repository=repository, repo=repo, changes=[], jobs=[], runs=[])


def filled_site(folder: Path, *, auth: str = "token") -> Site:
    """Three changes and their jobs (passed, crashed, running), runs with curves, a model, a deployment, a release."""
    site = empty_site(folder, auth=auth)
    forge = site.app.forges["local"]
    assert isinstance(forge, LocalForge)
    main = site.repository.commit("main", {"headway.yaml": "name: flights\nrun: python train.py\n", "train.py": "1\n"})
    for name in ("better", "broken", "slow"):
        site.repository.commit(name, {"train.py": f"{name}\n"})
        site.changes.append(forge.open_change(site.repo.id, name, title=f"{name} {EVIL}", author=EVIL))
    for change in site.changes:
        forge.add_comment(site.repo.id, change.number, author=EVIL, body=f"see this\n\n{EVIL}\n\n    /train\n")
        forge.deliver(
            WantedStatus(
                repo_id=site.repo.id,
                sha=change.head_sha,
                context="headway/flights",
                state=StatusState.SUCCESS if change.number == 1 else StatusState.FAILURE,
                title=EVIL,
            ),
        )
    _fill(site, main)
    return site


def _fill(site: Site, main: str) -> None:
    with site.app.database.write() as tx:
        site.runs = [_run(tx, index) for index in range(2)]
        passed, broken, slow = site.changes
        base = _job(tx, site, main, None, "succeeded", site.runs[0])
        good = _job(tx, site, passed.head_sha, passed.number, "succeeded", site.runs[1])
        bad = _job(tx, site, broken.head_sha, broken.number, "failed", None)
        running = _job(tx, site, slow.head_sha, slow.number, "running", None)
        site.jobs = [base, good, bad, running]
        results = JobResults(tx)
        results.save(_result(site, base, None), is_baseline=True)
        results.save(_result(site, good, base), is_baseline=False)
        results.save(_crashed(site, bad), is_baseline=False)
        _registered(tx, site, good)
        site.release = _released(tx, site, good)
        site.command = good.command_id


def _run(tx: Connection, index: int) -> str:
    store = RunStore(tx, actor="ada")
    experiment = store.experiments.get_or_create("flights").id
    run = store.create_run(
        experiment, name=f"run {index} {EVIL}", user_id=EVIL, tags={"note": EVIL}, params={"lr": EVIL}
    )
    store.log_metrics(run, [Metric("val_auc", 0.5 + step / 2000, 1_000 + step, step) for step in range(900)])
    store.log_metrics(run, [Metric(f"odd {index}", float("nan"), 1_000, 0)])
    return run


def _plan(site: Site, commit: str) -> Plan:
    env = EnvSpec(digest="e" * 64, kind=EnvKind.UV_LOCK, python="3.11", files=("uv.lock",))
    names = {"prepare": (), "train": ("prepare",)}
    tasks = [
        TaskSpec(name=name, argv=("python", EVIL), commit=commit, root="", env=env, code_digest=name, needs=needs)
        for name, needs in names.items()
    ]
    return Plan(
        id=f"{commit}plan",
        repo_id=site.repo.id,
        project=ProjectSpec(
            name="flights",
            root="",
            metrics=(MetricSpec(name="val_auc", primary=True),),
            model=ModelSpec(name="flights"),
        ),
        commit=commit,
        base_commit=commit,
        tree="t" * 40,
        tier=Tier.CHANGE,
        params={"note": EVIL},
        tasks=tuple(PlannedTask(spec=task, static_key=task.name, action=Action.RUN, why=EVIL) for task in tasks),
    )


def _job(tx: Connection, site: Site, commit: str, change: int | None, state: str, run: str | None) -> Job:
    command = Command(
        id=new_id(),
        verb=Verb.TRAIN,
        origin=Origin.COMMENT,
        repo_id=site.repo.id,
        actor=EVIL,
        at=AT,
        change=change,
        head_sha=commit,
        reason=EVIL,
        params={"note": EVIL},
        answer=EVIL,
        state=CommandState.EXECUTED,
    )
    CommandStore(tx).add(command)
    plan = _plan(site, commit)
    store = JobStore(tx)
    store.save_plan(plan, AT)
    new = advance.NewJob(plan=plan, command_id=command.id, change=change, branch=EVIL[:60], actor=EVIL)
    job_id = advance.create(tx, new, AT)
    ended = AT + timedelta(minutes=2) if state != "running" else None
    values = {"state": state, "reason": EVIL, "started_at": AT, "finished_at": ended, "settled_at": ended}
    tx.execute(update(schema.job).where(schema.job.c.id == job_id).values(**values))
    for task in store.tasks(job_id):
        own = {"succeeded": "succeeded", "failed": "failed", "running": "running"}[state]
        given = {"state": own, "reason": EVIL, "started_at": AT, "finished_at": ended, "attempts": 1}
        given["run_id"] = run if task.name == "train" else None
        tx.execute(update(schema.task).where(schema.task.c.id == task.id).values(**given))
        tx.execute(
            schema.attempt.insert().values(
                id=new_id(),
                task_id=task.id,
                number=1,
                fence=1,
                engine="local",
                handle=None,
                nonce=task.id,
                state=own,
                isolation=2,
                exit_code=0 if own == "succeeded" else None,
                reason=EVIL,
                directory="/nowhere",
                spec={},
                started_at=AT,
                finished_at=ended,
            ),
        )
    return store.get(job_id)


def _result(site: Site, job: Job, baseline: Job | None) -> JobResult:
    check = Check(
        id=f"val_auc {EVIL}",
        metric="val_auc",
        state=CheckState.PASSED,
        severity=Severity.FAIL,
        limit=EVIL,
        candidate=0.9,
        baseline=0.8,
        message=EVIL,
        slice=f"origin={EVIL}",
    )
    return JobResult(
        job_id=job.id,
        number=job.number,
        repo_id=site.repo.id,
        project="flights",
        branch="main",
        commit=job.commit,
        tree="t" * 40,
        tier=1,
        at=AT,
        params={"note": EVIL, "n": job.number},
        metrics={"val_auc": 0.8 + job.number / 100, EVIL: 1.0},
        runs={},
        packages={EVIL: EVIL},
        data={EVIL: EVIL},
        verdict=Verdict(outcome=Outcome.PASS, checks=(check,), notes=(EVIL,)),
        baseline_label=EVIL,
        baseline_job=baseline.id if baseline else None,
        baseline_metrics={"val_auc": 0.8} if baseline else {},
        changed=WhatChanged(files=(EVIL,), params={EVIL: (EVIL, EVIL)}, data={EVIL: ("", EVIL)}),
        isolation="L2",
        notes=(EVIL,),
    )


def _crashed(site: Site, job: Job) -> JobResult:
    return JobResult(
        job_id=job.id,
        number=job.number,
        repo_id=site.repo.id,
        project="flights",
        branch="main",
        commit=job.commit,
        tree="t" * 40,
        tier=1,
        at=AT,
        crash=CrashView(
            task="train", exit_code=3, reason=EVIL, attempt=1, attempts=2, seconds=2.5, tail=(EVIL, "last"), hint=EVIL
        ),
    )


def _registered(tx: Connection, site: Site, job: Job) -> None:
    store = RegistryStore(tx, site.app.clock)
    lineage = Lineage(
        run_id=site.runs[1],
        job_id=job.id,
        project="flights",
        repo_id=site.repo.id,
        commit=job.commit,
        change=job.change,
        actor=EVIL,
        data={EVIL: EVIL},
    )
    given = {"digest": "d" * 64, "env_digest": "e" * 64, "env_path": "/nowhere"}
    store.register_candidate("flights", source="models/flights", lineage=lineage, actor=EVIL, **given)
    store.update_model("flights", description=EVIL)
    store.set_alias("flights", "production", number=1, actor="ada")


def _released(tx: Connection, site: Site, job: Job) -> str:
    routes = (Route(model="flights", version=1, weight=100, source="s", digest="d", env_path="/nowhere"),)
    wanted = Deployment(
        name="flights-production",
        project="flights",
        environment="production",
        target="local",
        routes=routes,
        revision=0,
        spec=DeploySpec(),
    )
    store = DeploymentStore(tx)
    store.save(wanted, repo_id=site.repo.id, at=AT, actor="ada", reason=EVIL)
    counters = VersionCounters(
        version=1, requests=20, errors=1, missing=0, latency_p50_ms=1, latency_p95_ms=2, latency_p99_ms=3
    )
    seen = Observed(ready=True, url="http://127.0.0.1:1", revision=1, versions={1: f"failed: {EVIL}"}, message=EVIL)
    store.observe("flights-production", Observed(**{**_plain(seen), "counters": (counters,)}), AT)
    store.serves_all("flights-production", Route(**{**_plain(routes[0]), "version": 7}))
    release = Release(
        id=new_id(),
        project="flights",
        repo_id=site.repo.id,
        environment="production",
        model="flights",
        version=1,
        previous=None,
        command_id=new_id(),
        change=job.change,
        commit=job.commit,
        requested_by=EVIL,
        approved_by=(EVIL,),
        state=ReleaseState.WAITING,
        reason=EVIL,
        step=0,
        stages=(StageRecord(stage="staging", weight=0, since=AT, requests=3, result=f"failed: {EVIL}"),),
        test_output=f"{EVIL}\nsecond line",
        version_no=1,
        created_at=AT,
    )
    ReleaseStore(tx).add(release, actor=EVIL)
    return release.id


def _plain(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}
