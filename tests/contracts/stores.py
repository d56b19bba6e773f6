"""What the stores of work promise on whichever database; a subclass gives the `database`.

Tokens, secrets, inbox, commands, task results, registry, tracking, releases and the local forge have suites of their
own that run on both databases. Here: jobs, results, repositories, deployments, the outbox, and above all what happens
when several writers do the same thing at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, func, select, text

from fakes.jobs import AT, GOOD, launch_of, plan_with, queue
from headway.auth.secrets import SecretStore
from headway.commands.inbox import InboxStore
from headway.commands.model import Command, Origin, Verb
from headway.commands.store import CommandStore
from headway.db import schema
from headway.db.connection import Database
from headway.db.events import record
from headway.engines.base import Alive, Isolation
from headway.environments.model import Tier
from headway.errors import Conflict, HeadwayError, NotFound
from headway.flow.model import JobResult
from headway.flow.outbox import want
from headway.flow.results import JobResults
from headway.forges.model import BranchPushed, Repo, StatusState, WantedComment, WantedStatus
from headway.forges.repo_store import RepoStore
from headway.jobs import advance
from headway.jobs.model import JobState, TaskState
from headway.jobs.results import ResultStore
from headway.jobs.store import JobStore
from headway.planning.model import TaskResult
from headway.projects.model import DeploySpec
from headway.serving.model import Deployment, Observed, Route
from headway.serving.store import DeploymentStore

T = TypeVar("T")
WRITERS = 6


def at_once(database: Database, act: Callable[[Connection, int], T], writers: int = WRITERS) -> list[T | HeadwayError]:
    """Let several writers act at the same time, each in its own transaction; return what came of each."""
    line = threading.Barrier(writers)

    def one(number: int) -> T | HeadwayError:
        line.wait(30)
        try:
            with database.write() as tx:
                return act(tx, number)
        except HeadwayError as error:
            return error

    with ThreadPoolExecutor(writers) as pool:
        return list(pool.map(one, range(writers)))


class StoresContract:
    @pytest.fixture
    def database(self) -> Database:
        raise NotImplementedError

    # --- transactions ---

    def test_a_block_that_fails_leaves_nothing(self, database: Database) -> None:
        def fails(tx: Connection) -> None:
            record(tx, "job", "J", to_state="queued", at=AT, actor="ada")
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError), database.write() as tx:
            fails(tx)
        with database.read() as tx:
            assert tx.execute(select(func.count()).select_from(schema.event)).scalar() == 0

    def test_a_reader_keeps_one_picture_while_others_write(self, database: Database) -> None:
        count = select(func.count()).select_from(schema.event)
        with database.read() as reading:
            assert reading.execute(count).scalar() == 0
            with database.write() as tx:
                record(tx, "job", "J", to_state="queued", at=AT, actor="ada")
            assert reading.execute(count).scalar() == 0
        with database.read() as reading:
            assert reading.execute(count).scalar() == 1

    def test_what_a_writer_has_read_still_holds_when_it_writes(self, database: Database) -> None:
        with database.write() as tx:
            tx.execute(text("create table if not exists counted (n integer)"))
            tx.execute(text("insert into counted values (0)"))
        try:

            def count_up(tx: Connection, _number: int) -> None:
                seen = tx.execute(text("select n from counted")).scalar_one()
                tx.execute(text("update counted set n = :n"), {"n": seen + 1})

            at_once(database, count_up)
            at_once(database, count_up)
            with database.read() as tx:
                assert tx.execute(text("select n from counted")).scalar() == 2 * WRITERS
        finally:
            with database.write() as tx:
                tx.execute(text("drop table counted"))

    # --- jobs ---

    def test_jobs_queued_at_once_get_numbers_of_their_own(self, database: Database) -> None:
        plan = plan_with({"train": ()})
        jobs = at_once(database, lambda tx, number: queue(tx, plan, f"C{number}").number)
        assert sorted(jobs) == list(range(1, WRITERS + 1))  # type: ignore[type-var]

    def test_one_command_queues_one_job_however_often_it_comes_at_once(self, database: Database) -> None:
        plan = plan_with({"train": ()})
        assert len(set(at_once(database, lambda tx, _: queue(tx, plan, "C1").id))) == 1  # type: ignore[arg-type]

    def test_only_one_of_many_launches_a_task(self, database: Database) -> None:
        with database.write() as tx:
            job = queue(tx, plan_with({"train": ()}))
            advance.admit(tx, job, AT)
            advance.open_tasks(tx, JobStore(tx).tasks(job.id), AT)
            task = JobStore(tx).tasks(job.id)[0]

        def launch(tx: Connection, number: int) -> bool:
            return advance.launch(tx, task, launch_of(task, attempt_id=f"A{number}"), AT)

        assert sorted(at_once(database, launch)) == [False] * (WRITERS - 1) + [True]  # type: ignore[type-var]
        with database.read() as tx:
            assert len(JobStore(tx).live_attempts()) == 1

    def test_only_one_of_many_writes_what_an_engine_saw(self, database: Database) -> None:
        with database.write() as tx:
            job = queue(tx, plan_with({"train": ()}))
            advance.admit(tx, job, AT)
            advance.open_tasks(tx, JobStore(tx).tasks(job.id), AT)
            task = JobStore(tx).tasks(job.id)[0]
            advance.launch(tx, task, launch_of(task), AT)
            task, attempt = JobStore(tx).tasks(job.id)[0], JobStore(tx).live_attempts()[0]
        said = at_once(database, lambda tx, _: advance.observe(tx, task, attempt, GOOD, AT))
        assert sorted(said) == [False] * (WRITERS - 1) + [True]  # type: ignore[type-var]
        with database.read() as tx:
            assert JobStore(tx).task(task.id).state is TaskState.COLLECTING

    def test_the_database_itself_refuses_a_second_live_attempt(self, database: Database) -> None:
        with database.write() as tx:
            job = queue(tx, plan_with({"train": ()}))
            advance.admit(tx, job, AT)
            advance.open_tasks(tx, JobStore(tx).tasks(job.id), AT)
            task = JobStore(tx).tasks(job.id)[0]
            advance.launch(tx, task, launch_of(task), AT)
        second = {"id": "X", "task_id": task.id, "number": 2, "fence": 2, "engine": "local", "nonce": "n"}
        with pytest.raises(Exception, match=r"(?i)unique"), database.write() as tx:
            tx.execute(schema.attempt.insert().values(**second, state="running", directory="/x", spec={}))
        with database.write() as tx:  # one that has ended may stand beside it
            tx.execute(schema.attempt.insert().values(**second, state="lost", directory="/x", spec={}))

    def test_jobs_are_found_by_id_number_state_and_place(self, database: Database) -> None:
        plan = plan_with({"prepare": (), "train": ("prepare",)})
        with database.write() as tx:
            jobs = [queue(tx, plan, f"C{number}", at=AT + timedelta(seconds=number)) for number in range(3)]
            advance.admit(tx, jobs[0], AT)
            advance.refuse(tx, jobs[1], "no", AT)
        with database.read() as tx:
            store = JobStore(tx)
            assert store.get("3").id == store.get(jobs[2].id).id == jobs[2].id
            assert [job.number for job in store.find(schema.job.c.change == 7, limit=2)] == [3, 2]
            assert [job.number for job in store.find(limit=2, offset=2)] == [1]
            assert [(job.number, job.state) for job in store.unfinished()] == [
                (1, JobState.RUNNING),
                (3, JobState.QUEUED),
            ]
            assert [job.number for job in store.unsettled()] == [2]
            assert store.queue_position(store.get("3")) == 1
            assert store.plan(plan.id) == plan
            assert store.task_of_run("nobody's") is None
            for missing in (lambda: store.get("77"), lambda: store.task("x"), lambda: store.plan("x" * 64)):
                with pytest.raises(NotFound):
                    missing()

    def test_a_run_leads_to_the_task_that_ran_it(self, database: Database) -> None:
        with database.write() as tx:
            ids = []
            for command in ("C1", "C2"):
                job = queue(tx, plan_with({"train": ()}), command)
                advance.admit(tx, job, AT)
                advance.open_tasks(tx, JobStore(tx).tasks(job.id), AT)
                ids.append(JobStore(tx).tasks(job.id)[0])
            advance.launch(tx, ids[0], launch_of(ids[0], run_id="r1"), AT)
            advance.observe(tx, JobStore(tx).task(ids[0].id), JobStore(tx).live_attempts()[0],
                            Alive(isolation=Isolation.L2), AT)  # fmt: skip
            advance.reuse(tx, ids[1], AT, key="k", run_id="r1", outputs=(), reason="trained before")
            found = JobStore(tx).task_of_run("r1")
            assert found is not None
            assert found.id == ids[0].id

    def test_one_result_of_a_task_stands_and_the_others_are_repeats(self, database: Database) -> None:
        def save(tx: Connection, number: int) -> None:
            ResultStore(tx).save(
                TaskResult(key="k" * 64, tier=Tier.CHANGE, project="p", task="train", job_id=f"J{number}",
                           run_id=f"r{number}", outputs=(), metrics={"auc": number / 10}, seconds=1.0, commit="c",
                           finished_at=AT)
            )  # fmt: skip

        assert at_once(database, save) == [None] * WRITERS
        with database.read() as tx:
            noise = ResultStore(tx).noise("k" * 64, Tier.CHANGE)
            assert [(each.runs, each.low, each.high) for each in noise] == [(WRITERS, 0.0, (WRITERS - 1) / 10)]

    # --- results, outbox, inbox, commands, secrets, repositories ---

    def test_a_result_is_judged_again_in_place_and_may_become_the_baseline(self, database: Database) -> None:
        with database.write() as tx:
            jobs = [queue(tx, plan_with({"train": ()}), f"C{number}") for number in range(2)]
            results = [result_of(job.id, job.number) for job in jobs]
            store = JobResults(tx)
            assert store.get(jobs[0].id) is None
            assert store.latest_baseline("repo", "churn") is None
            for each in results:
                store.save(each, is_baseline=False)
            better = replace(results[0], metrics={"auc": 0.9})
            store.save(better, is_baseline=True)  # a second judgement does not decide about the baseline
            assert store.get(jobs[0].id) == better
            assert store.latest_baseline("repo", "churn") is None
            store.make_baseline(results[1], branch="main", actor="ada", at=AT + timedelta(hours=1))
            of_main = replace(results[1], branch="main")
            assert store.latest_baseline("repo", "churn") == of_main
            assert store.baseline_since("repo", "churn") == AT + timedelta(hours=1)
            assert [store.is_baseline(job.id) for job in jobs] == [False, True]
            assert store.of_jobs([job.id for job in jobs]) == {jobs[0].id: better, jobs[1].id: of_main}
            assert store.at_commit("repo", "churn", "c1") == of_main
            store.save(replace(of_main, metrics={"auc": 0.1}), is_baseline=False)
            assert store.baseline_since("repo", "churn") == AT + timedelta(hours=1)
            assert store.at_commit("repo", "churn", "other") is None

    def test_what_is_wanted_is_one_row_whoever_wants_it_first(self, database: Database) -> None:
        status = WantedStatus(repo_id="r", sha="s", context="headway/churn", state=StatusState.PENDING, title="queued")
        assert sorted(at_once(database, lambda tx, _: want(tx, status, AT))) == [False] * (WRITERS - 1) + [True]  # type: ignore[type-var]
        with database.write() as tx:
            assert want(tx, replace(status, title="running"), AT)
            assert not want(tx, replace(status, title="running"), AT)
            assert want(tx, WantedComment(repo_id="r", number=1, marker="<!-- m -->", body="b"), AT)
            rows = tx.execute(select(schema.outbox).order_by(schema.outbox.c.kind)).mappings().all()
        assert [(row["kind"], row["want_rev"], row["sent_rev"]) for row in rows] == [
            ("comment", 1, 0),
            ("status", 2, 0),
        ]
        assert rows[1]["want_body"]["title"] == "running"

    def test_a_happening_that_comes_by_many_doors_is_kept_once(self, database: Database) -> None:
        event = BranchPushed(delivery="d1", repo_id="r", branch="main", before_sha=None, after_sha="a", actor="ada")
        kept = at_once(database, lambda tx, _: InboxStore(tx).add(event, forge="local", at=AT))
        assert sum(each is not None for each in kept) == 1
        with database.read() as tx:
            assert [entry.event for entry in InboxStore(tx).next_new(at=AT)] == [event]

    def test_one_line_of_a_comment_is_one_command(self, database: Database) -> None:
        def add(tx: Connection, number: int) -> str:
            return CommandStore(tx).add(command_of(f"C{number}", comment_id="7")).id

        assert len(set(at_once(database, add))) == 1  # type: ignore[arg-type]
        with database.read() as tx:
            assert len(CommandStore(tx).of_change("repo", 7)) == 1

    def test_a_secret_set_by_many_at_once_has_one_of_their_values(self, database: Database) -> None:
        def set_it(tx: Connection, number: int) -> None:
            SecretStore(tx).set("repo", "KEY", value=f"v{number}", by="ada", at=AT)

        assert at_once(database, set_it) == [None] * WRITERS
        with database.read() as tx:
            assert SecretStore(tx).values_for("repo", ["KEY"])["KEY"] in {f"v{number}" for number in range(WRITERS)}

    def test_a_repository_added_by_many_is_there_once_and_keeps_its_cursor(self, database: Database) -> None:
        repo = Repo(forge="local", id="r1", name="flights", location="/srv/flights", default_branch="main")
        added = at_once(database, lambda tx, number: RepoStore(tx).add(repo, cursor=str(number), at=AT, by="ada"))
        assert added == [repo] * WRITERS
        with database.write() as tx:
            store = RepoStore(tx)
            store.set_cursor("r1", "99")
            renamed = replace(repo, name="departures")
            store.add(renamed, cursor="0", at=AT, by="ada")
            assert (store.list(), store.cursor("r1"), store.cursor("other")) == ((renamed,), "99", "")
            assert store.get("r1") == renamed
            with pytest.raises(NotFound):
                store.get("r2")

    # --- deployments ---

    def test_one_of_many_changes_a_deployment_and_the_others_are_told(self, database: Database) -> None:
        def save(revision: int) -> list[Any]:
            wanted = replace(DEPLOYMENT, revision=revision)
            return at_once(database, lambda tx, _: DeploymentStore(tx).save(wanted, repo_id="repo", at=AT, actor="ada"))

        for revision in (0, 1):
            told = save(revision)
            assert sum(isinstance(each, Conflict) for each in told) == WRITERS - 1
        with database.read() as tx:
            kept = DeploymentStore(tx).get("churn-staging")
            assert kept is not None
            assert (kept.deployment.revision, kept.observed, kept.history) == (2, None, ())

    def test_a_deployment_remembers_what_was_seen_and_what_served(self, database: Database) -> None:
        route = DEPLOYMENT.routes[0]
        with database.write() as tx:
            store = DeploymentStore(tx)
            store.save(DEPLOYMENT, repo_id="repo", at=AT, actor="ada")
            observed = Observed(ready=True, url="http://127.0.0.1:1", revision=1, versions={3: "ready"})
            store.observe("churn-staging", observed, AT)
            for version in (3, 4, 3):
                store.serves_all("churn-staging", replace(route, version=version))
            store.serves_all("nobody", route)
        with database.write() as tx:
            kept = DeploymentStore(tx).all()[0]
            assert kept.is_in_force
            assert (kept.observed, kept.observed_at) == (observed, AT)
            assert [each.version for each in kept.history] == [4, 3]
            DeploymentStore(tx).remove("churn-staging", at=AT, actor="ada")
            DeploymentStore(tx).remove("churn-staging", at=AT, actor="ada")
            assert DeploymentStore(tx).get("churn-staging") is None


DEPLOYMENT = Deployment(
    name="churn-staging",
    project="churn",
    environment="staging",
    target="local",
    routes=(Route(model="churn", version=3, weight=100, source="m", digest="d", env_path="/env"),),
    revision=0,
    spec=DeploySpec(),
)


def result_of(job_id: str, number: int) -> JobResult:
    return JobResult(
        job_id=job_id, number=number, repo_id="repo", project="churn", branch="topic", commit="c1", tree="t", tier=1,
        at=AT + timedelta(minutes=number), metrics={"auc": 0.8},
    )  # fmt: skip


def command_of(command_id: str, **more: Any) -> Command:
    given: dict[str, Any] = {
        "id": command_id, "verb": Verb.TRAIN, "origin": Origin.COMMENT, "repo_id": "repo", "project": None,
        "change": 7, "head_sha": "c1", "actor": "ada", "at": AT,
    }  # fmt: skip
    return Command(**{**given, **more})
