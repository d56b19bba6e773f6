from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from fakes.databases import DATABASES, clean_database
from headway.db import schema
from headway.db.connection import Database
from headway.environments.model import EnvKind, EnvSpec, Tier
from headway.errors import Refused
from headway.jobs.results import ResultStore
from headway.pipelines.model import TaskSpec
from headway.planning.keys import exact_keys
from headway.planning.model import OutputFile, Plan, TaskResult
from headway.planning.noise import Noise
from headway.planning.plan import History, make_plan
from headway.projects.model import ProjectSpec

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ENV = EnvSpec(digest="e" * 64, kind=EnvKind.UV_LOCK, python="3.11")
PREPARE = TaskSpec(
    name="prepare",
    argv=("python", "p.py"),
    commit="c1",
    root="",
    env=ENV,
    code_digest="k",
    outputs=("f",),
    timeout=timedelta(hours=2),
    params={"lr": 0.1, "n": 3, "fast": True, "kind": "tree"},
)
TRAIN = replace(PREPARE, name="train", needs=("prepare",), inputs=("f",), outputs=("m",))


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each kind."""
    with clean_database(request.param, tmp_path) as opened:
        yield opened


@pytest.fixture
def tx(database: Database) -> Iterator[Connection]:
    with database.write() as connection:
        yield connection


def result(key: str = "k" * 64, **more: Any) -> TaskResult:
    given: dict[str, Any] = {
        "tier": Tier.CHANGE,
        "project": "churn",
        "task": "train",
        "job_id": "J1",
        "run_id": "r1",
        "outputs": (OutputFile(path="f", digest="1", size=1),),
        "metrics": {"auc": 0.8},
        "seconds": 10.0,
        "commit": "c1",
        "finished_at": AT,
        "branch": "topic",
    }
    return TaskResult(key=key, **{**given, **more})


def save_job(tx: Connection, job_id: str, number: int, plan: Plan | None = None, *, repo: str = "repo") -> None:
    plan_id = plan.id if plan else "none"
    if plan is not None:
        tx.execute(
            schema.plan.insert().values(id=plan_id, repo_id=repo, project="churn", commit="c1", body=plan, made_at=AT)
        )
    tx.execute(
        schema.job.insert().values(
            id=job_id, number=number, repo_id=repo, project="churn", plan_id=plan_id, command_id=job_id, commit="c1",
            branch="topic", tier=1, actor="ada", engine="local", state="succeeded", desired="run", queued_at=AT,
        )
    )  # fmt: skip


def save_task(tx: Connection, job_id: str, name: str, key: str, state: str) -> None:
    tx.execute(
        schema.task.insert().values(
            id=f"{job_id}-{name}",
            job_id=job_id,
            name=name,
            position=0,
            needs=[],
            state=state,
            exact_key=key,
            outputs=[],
        )
    )


def plan_of(*tasks: TaskSpec) -> Plan:
    return make_plan(
        ProjectSpec(name="churn", root=""),
        tasks,
        repo_id="repo",
        commit="c1",
        base_commit="c0",
        tree="t",
        tier=Tier.CHANGE,
        params={},
        history=History(),
    )


def test_a_lower_tier_finds_what_a_higher_one_made_and_never_the_other_way(tx: Connection) -> None:
    """Rule 22: caches are keyed by trust."""
    store = ResultStore(tx)
    store.save(result())
    assert store.find("k" * 64, Tier.CHANGE) == result()
    assert store.find("k" * 64, Tier.FORK) == result()
    assert store.find("k" * 64, Tier.MAIN) is None
    assert store.find("x" * 64, Tier.FORK) is None
    main = result(tier=Tier.MAIN, job_id="J2")
    store.save(main)
    assert store.find("k" * 64, Tier.FORK) == main


def test_promotion_makes_it_main_and_is_recorded_once(tx: Connection) -> None:
    store = ResultStore(tx)
    save_job(tx, "J1", 1)
    store.save(result())
    assert store.promote("J1", Tier.MAIN, actor="ada", at=AT) == 1
    assert store.promote("J1", Tier.MAIN, actor="ada", at=AT) == 0
    assert store.find("k" * 64, Tier.MAIN) == result(tier=Tier.MAIN)
    events = tx.execute(select(schema.event)).mappings().all()
    assert [(each["entity_id"], each["to_state"], each["actor"]) for each in events] == [
        ("J1", "results promoted to main", "ada")
    ]


def test_what_a_job_reused_is_promoted_with_it(tx: Connection) -> None:
    store = ResultStore(tx)
    for number in (1, 2):
        save_job(tx, f"J{number}", number)
    store.save(result("a" * 64, job_id="J1", task="prepare"))
    store.save(result("b" * 64, job_id="J2"))
    store.save(result("c" * 64, job_id="J1", task="other"))
    save_task(tx, "J2", "prepare", "a" * 64, "reused")
    save_task(tx, "J2", "train", "b" * 64, "succeeded")
    save_task(tx, "J2", "other", "c" * 64, "failed")
    assert store.promote("J2", Tier.MAIN, actor="ada", at=AT) == 2
    assert store.find("a" * 64, Tier.MAIN) is not None
    assert store.find("c" * 64, Tier.MAIN) is None


def test_results_of_a_fork_are_never_promoted(tx: Connection) -> None:
    store = ResultStore(tx)
    save_job(tx, "J1", 1)
    store.save(result(tier=Tier.FORK))
    with pytest.raises(Refused, match="never promoted"):
        store.promote("J1", Tier.MAIN, actor="ada", at=AT)
    with pytest.raises(Refused):
        store.promote("J1", Tier.CHANGE, actor="ada", at=AT)


def test_a_rerun_with_other_numbers_is_noise_with_its_size(tx: Connection) -> None:
    store = ResultStore(tx)
    store.save(result())
    assert store.noise("k" * 64, Tier.CHANGE) == ()
    second = result(job_id="J2", run_id="r2", metrics={"auc": 0.83})
    store.save(second)
    store.save(second)
    store.save(result(job_id="J3", run_id="r3", metrics={"auc": 0.81}))
    assert store.noise("k" * 64, Tier.CHANGE) == (Noise(metric="auc", runs=3, low=0.8, high=0.83),)
    assert store.noise("k" * 64, Tier.MAIN) == ()
    # The first stays the answer: equal questions get equal answers.
    assert store.find("k" * 64, Tier.CHANGE) == result()
    assert store.promote("J1", Tier.MAIN, actor="ada", at=AT) == 1
    assert store.noise("k" * 64, Tier.CHANGE)[0].runs == 3


def test_the_newest_come_first_and_other_repositories_do_not_count(tx: Connection) -> None:
    store = ResultStore(tx)
    for number in range(1, 5):
        save_job(tx, f"J{number}", number, repo="other" if number == 4 else "repo")
        finished = AT + timedelta(minutes=number)
        store.save(result(str(number) * 64, job_id=f"J{number}", finished_at=finished, seconds=float(number)))
    store.promote("J2", Tier.MAIN, actor="ada", at=AT)
    assert [each.seconds for each in store.recent("repo", "churn", "train")] == [3.0, 2.0, 1.0]
    assert [each.seconds for each in store.recent("repo", "churn", "train", limit=1)] == [3.0]
    assert store.recent("repo", "churn", "prepare") == []


def test_the_last_success_comes_with_its_specification_and_times(tx: Connection) -> None:
    store = ResultStore(tx)
    old = replace(TRAIN, params={"lr": 0.05})
    save_job(tx, "J1", 11, plan_of(PREPARE, old))
    save_job(tx, "J2", 12, plan_of(PREPARE, TRAIN))
    store.save(result("1" * 64, job_id="J1", branch="main", seconds=10.0))
    store.save(result("2" * 64, job_id="J2", finished_at=AT + timedelta(hours=1), seconds=30.0))
    newest = store.earlier("repo", "churn", ["train", "prepare"])
    assert set(newest) == {"train"}
    assert newest["train"].spec == TRAIN
    assert (newest["train"].job_number, newest["train"].exact_key, newest["train"].seconds) == (
        12,
        "2" * 64,
        (30.0, 10.0),
    )
    on_main = store.earlier("repo", "churn", ["train"], branch="main")["train"]
    assert (on_main.job_number, on_main.spec, on_main.branch) == (11, old, "main")
    assert store.job_numbers(["J1", "J2", "J3"]) == {"J1": 11, "J2": 12}


def test_reused_outputs_lead_to_the_keys_of_what_follows(tx: Connection) -> None:
    store = ResultStore(tx)
    first = exact_keys([PREPARE, TRAIN], {})["prepare"]
    prepared = result(first, task="prepare")
    second = exact_keys([PREPARE, TRAIN], {first: prepared})["train"]
    store.save(prepared)
    assert store.find_for([PREPARE, TRAIN], Tier.CHANGE) == {first: prepared}
    store.save(result(second))
    assert set(store.find_for([PREPARE, TRAIN], Tier.CHANGE)) == {first, second}
    assert store.find_for([PREPARE, TRAIN], Tier.MAIN) == {}


def test_what_lost_its_outputs_is_forgotten(tx: Connection) -> None:
    store = ResultStore(tx)
    store.save(result())
    assert store.forget(["k" * 64, "x" * 64]) == 1
    assert store.find("k" * 64, Tier.FORK) is None
