"""Purges that are killed, meet each other, or meet a restore; what lives and refers to something keeps it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from fakes.databases import DATABASES, POSTGRES, clean_database
from fakes.site import Site, filled_site
from headway.app import App, open_app
from headway.auth.model import Principal, Reach, Role
from headway.clock import FixedClock, SystemClock
from headway.db import schema
from headway.db.reclaim import database_size, reclaim
from headway.errors import Conflict, NotFound, Refused
from headway.flow.purge import Asked, ask_purge, find_purge, would_go
from headway.flow.purging import work_off
from headway.flow.trash import list_trash, restore
from headway.registry.logged import LoggedModelStore
from headway.settings import Settings
from headway.tracking.model import Metric, RunStatus
from headway.tracking.store import RunStore

ADMIN = Principal(user="ada", role=Role.ADMIN)
ROWS = (schema.run, schema.metric, schema.text, schema.tail, schema.chunk)


@pytest.fixture(params=DATABASES)
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[App]:
    url = ""
    if request.param != "sqlite":
        url = POSTGRES
        with clean_database(request.param, tmp_path):
            pass
    opened = open_app(Settings(data=tmp_path / "data", auth="none", database=url))
    with opened.database.write() as tx:
        RunStore(tx).experiments.ensure_default()
    yield opened
    opened.close()


def make_runs(app: App, count: int, *, exp: str = "0", points: int = 3, size: int = 100) -> list[str]:
    """Ended runs with points, a param and a file each."""
    made = []
    for _ in range(count):
        with app.database.write() as tx:
            store = RunStore(tx, actor="ada", clock=app.clock)
            run = store.create_run(exp, params={"lr": "0.1"}, tags={"note": "x"})
            store.log_metrics(run, [Metric("loss", step / 7, step, step) for step in range(points)])
            store.finish(run, RunStatus.FINISHED)
        app.artifacts.put(f"{exp}/{run}/artifacts/model.bin", [b"x" * size])
        made.append(run)
    return made


def delete(app: App, runs: list[str]) -> None:
    with app.database.write() as tx:
        store = RunStore(tx, actor="ada", clock=app.clock)
        for run in runs:
            store.delete_run(run)


def counts(app: App) -> list[int]:
    with app.database.read() as tx:
        return [tx.execute(select(func.count()).select_from(table)).scalar_one() for table in ROWS]


def folders(app: App, exp: str = "0") -> set[str]:
    root = app.data / "artifacts" / exp
    return {each.name for each in root.iterdir()} if root.is_dir() else set()


WORKER = """
import sys
from pathlib import Path
from headway.app import open_app
from headway.flow.purging import work_off
from headway.settings import Settings
app = open_app(Settings(data=Path(sys.argv[1]), auth="none", database=sys.argv[2]))
print("began", flush=True)
work_off(app)
"""


def test_a_purge_that_is_killed_again_and_again_goes_on_where_it_was(app: App) -> None:
    kept = make_runs(app, 3)
    gone = make_runs(app, 260)
    before = counts(app)
    delete(app, gone)
    purge = ask_purge(app, Asked(names=()), ADMIN).purge
    assert purge is not None
    chance, interrupted = random.Random(7), 0
    for kill in range(5):
        argv = [sys.executable, "-c", WORKER, str(app.data), app.settings.database]
        worker = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert worker.stdout is not None
        assert worker.stdout.readline() == "began\n"
        if kill < 4:
            time.sleep(chance.uniform(0, 0.1))
            worker.send_signal(signal.SIGKILL)
        worker.communicate()
        assert set(kept) <= folders(app)
        with app.database.read() as tx:  # nobody sees anything of what is on its way out
            assert [run for run in gone if RunStore(tx).find(run)] == []
        interrupted += find_purge(app, purge.id).state == "running"
    assert interrupted >= 1
    assert folders(app) == set(kept)
    assert counts(app) == [count * 3 // 263 for count in before]
    done = find_purge(app, purge.id)
    assert (done.total, done.done) == (260, 260)
    with app.database.read() as tx:
        purged = select(func.count()).where(schema.event.c.to_state == "purged", schema.event.c.entity == "run")
        assert tx.execute(purged).scalar_one() == 260
        assert [RunStore(tx).get(run).metrics["loss"].value for run in kept] == [2 / 7] * 3


@pytest.mark.parametrize("stop_at", ["before the files", "between files and rows", "after the rows"])
def test_each_point_of_a_crash_is_resumed(app: App, monkeypatch: pytest.MonkeyPatch, stop_at: str) -> None:
    (gone,) = make_runs(app, 1)
    delete(app, [gone])
    purge = ask_purge(app, Asked(names=(gone,)), ADMIN).purge
    assert purge is not None
    if stop_at != "before the files":
        app.artifacts.delete(f"0/{gone}")
    if stop_at == "after the rows":
        with app.database.write() as tx:
            tx.execute(schema.run.delete().where(schema.run.c.uuid == gone))
    assert work_off(app) == 1
    assert find_purge(app, purge.id).state == "done"
    assert gone not in folders(app)


def test_two_purges_and_restores_at_once_share_the_trash_without_loss(app: App) -> None:
    runs = make_runs(app, 60)
    delete(app, runs)
    answers: list[int] = []
    restored: list[str] = []
    failures: list[BaseException] = []

    def purge_all() -> None:
        try:
            answers.append(ask_purge(app, Asked(names=()), ADMIN).total)
            work_off(app)
        except BaseException as error:  # noqa: BLE001  # shown by the test
            failures.append(error)

    def put_back() -> None:
        for run in runs[::3]:
            try:
                restore(app, run, ADMIN)
                restored.append(run)
            except (Conflict, NotFound):
                continue

    threads = [threading.Thread(target=work) for work in (put_back, purge_all, purge_all)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    work_off(app)
    assert failures == []
    assert sum(answers) + len(restored) == 60
    assert folders(app) == set(restored)
    with app.database.read() as tx:
        assert {run for run in runs if RunStore(tx).find(run)} == set(restored)


def test_what_is_being_purged_has_no_way_back(app: App) -> None:
    (run,) = make_runs(app, 1)
    delete(app, [run])
    assert would_go(app, Asked(names=(run,)), ADMIN).total == 1
    assert list_trash(app, ADMIN).total == 1
    ask_purge(app, Asked(names=(run,)), ADMIN)
    assert list_trash(app, ADMIN).total == 0
    with pytest.raises(Conflict, match="being deleted for good"):
        restore(app, run, ADMIN)
    with pytest.raises(Conflict, match="being deleted for good"):
        ask_purge(app, Asked(names=(run,)), ADMIN)
    with app.database.write() as tx, pytest.raises(NotFound):
        RunStore(tx).restore_run(run)


def test_a_hold_that_comes_after_the_marking_returns_it_whole(app: App) -> None:
    (run,) = make_runs(app, 1)
    delete(app, [run])
    answer = ask_purge(app, Asked(names=(run,)), ADMIN)
    with app.database.write() as tx:  # as one that was under way on another server while it was marked
        now = app.clock.now()
        tx.execute(schema.registered_model.insert().values(name="m", created_at=now, updated_at=now))
        source = f"0/{run}/artifacts"
        times = {"created_at": now, "updated_at": now, "lineage": {}}
        tx.execute(schema.model_version.insert().values(model="m", number=1, source_uri="", source=source, **times))
    assert work_off(app) == 0
    assert answer.purge is not None
    assert "version 1 of model m" in find_purge(app, answer.purge.id).notes[0]
    assert folders(app) == {run}
    assert list_trash(app, ADMIN).items[0].held != ""
    restore(app, run, ADMIN)
    with app.database.read() as tx:
        assert RunStore(tx).get(run).metrics["loss"].value == 2 / 7


def test_who_may_not_see_a_thing_does_not_learn_its_name_by_asking_to_delete_it(app: App) -> None:
    with app.database.write() as tx:
        exp = RunStore(tx).experiments.create("hidden", project="a")
        model = LoggedModelStore(tx).create(exp, name="hidden").id
    run = make_runs(app, 1, exp=exp)[0]
    stranger = Principal(user="bob", role=Role.NONE, reach=Reach(default=Role.NONE, projects={"b": Role.ADMIN}))
    for name in (run, run[:6], model, str(exp)):
        with pytest.raises(Conflict, match="not in the trash"):  # it is there
            restore(app, name, ADMIN)
        with pytest.raises(NotFound):
            restore(app, name, stranger)
        with pytest.raises(NotFound):
            ask_purge(app, Asked(names=(name,)), stranger)


def test_a_purge_is_for_those_who_have_the_role_in_the_thing_s_project(app: App) -> None:
    with app.database.write() as tx:
        exps = [RunStore(tx).experiments.create("e", project=project) for project in ("a", "b", "c")]
    runs = [make_runs(app, 1, exp=exp)[0] for exp in exps]
    delete(app, runs)
    roles = {"a": Role.MAINTAINER, "b": Role.VIEWER, "c": Role.NONE}
    someone = Principal(user="bob", role=Role.NONE, reach=Reach(default=Role.NONE, projects=roles))
    assert {each.id for each in list_trash(app, someone).items} == set(runs[:2])
    with pytest.raises(Refused):
        ask_purge(app, Asked(names=(runs[1],)), someone)
    with pytest.raises(NotFound):
        ask_purge(app, Asked(names=(runs[2],)), someone)
    with pytest.raises(NotFound):
        restore(app, runs[2], someone)
    assert ask_purge(app, Asked(names=()), someone).total == 1
    work_off(app)
    with app.database.read() as tx:
        assert [RunStore(tx).find(run) is None for run in runs] == [True, False, False]


def test_only_what_is_old_enough_goes(app: App) -> None:
    clock = FixedClock(SystemClock().now())
    app = replace(app, clock=clock)
    old, young = make_runs(app, 2)
    delete(app, [old])
    clock.advance(timedelta(days=10))
    delete(app, [young])
    clock.advance(timedelta(days=1))
    answer = would_go(app, Asked(older_than=timedelta(days=5)), ADMIN)
    assert [each.id for each in answer.going] == [old]


def test_a_baseline_a_released_model_and_a_live_job_hold_their_runs(tmp_path: Path) -> None:
    site: Site = filled_site(tmp_path)
    app = site.app
    base, released = site.runs
    with app.database.write() as tx:
        store = RunStore(tx, actor="ada")
        for run in site.runs:
            store.finish(run, RunStatus.FINISHED)
            store.delete_run(run)
        for job, run in zip(site.jobs, site.runs, strict=False):
            tx.execute(update(schema.task).where(schema.task.c.job_id == job.id).values(run_id=run))
    held = {each.id: each.reason for each in ask_purge(app, Asked(names=()), ADMIN).held}
    assert set(held) == {base, released}
    assert "baseline" in held[base]
    assert any(word in held[released] for word in ("version 1 of model flights", "released", "deployment"))
    app.close()


def test_the_database_file_gets_smaller(app: App) -> None:
    if not app.database.is_sqlite:
        assert "autovacuum" in reclaim(app.database, whole=True).how
        return
    gone = make_runs(app, 6, points=60_000, size=1)
    before = database_size(app.database)
    assert before > 8_000_000
    delete(app, gone)
    ask_purge(app, Asked(names=()), ADMIN)
    work_off(app)
    assert database_size(app.database) < before / 4
    assert reclaim(app.database).how == "unused pages were given back"


def test_a_database_of_an_older_version_is_written_anew_once(tmp_path: Path) -> None:
    import sqlite3

    from headway.db.connection import open_database

    path = tmp_path / "old.db"
    with sqlite3.connect(path) as old:
        old.execute("pragma journal_mode = wal")
        old.execute("create table t (b blob)")
        old.executemany("insert into t values (?)", [(os.urandom(10_000),) for _ in range(300)])
        old.commit()
        old.execute("delete from t")
        old.commit()
        old.execute("pragma wal_checkpoint(truncate)")
    old.close()
    database = open_database(f"sqlite:///{path}")
    assert "older version" in reclaim(database).how
    done = reclaim(database, whole=True)
    assert done.how == "the file was written anew"
    assert done.before > 3_000_000
    assert done.after < 200_000
    assert reclaim(database).how == "unused pages were given back"
    database.close()
