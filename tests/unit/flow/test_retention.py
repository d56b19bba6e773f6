"""Rules end runs and empty the trash by themselves, in two steps, and never what is still referred to."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select

from fakes.databases import prepared
from fakes.repository import Repository
from fakes.site import filled_site
from headway.app import App, open_app
from headway.auth.model import Principal, Role, TokenKind
from headway.auth.tokens import TokenStore
from headway.clock import FixedClock, SystemClock
from headway.db import schema
from headway.db.events import record
from headway.flow.background import Background
from headway.flow.ballast import FILE as BALLAST
from headway.flow.ballast import keep_ballast
from headway.flow.cleaning import Upkeep, apply_rules, is_due
from headway.flow.deliver import ALL
from headway.flow.keeping import KeepRules, key_of, refresh
from headway.flow.purge import Asked, ask_purge
from headway.flow.purging import work_off
from headway.flow.retention import retain, would_retain
from headway.flow.space import measure, read_space
from headway.flow.trimming import drop_contents, orphan_contents, trim_files, trim_rows
from headway.forges.local import LocalForge
from headway.projects.model import RetentionSpec
from headway.settings import Settings
from headway.tracking.model import RunStatus
from headway.tracking.store import RunStore

ADMIN = Principal(user="ada", role=Role.ADMIN)
DAY = timedelta(days=1)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    opened = open_app(Settings(data=prepared(tmp_path / "data"), auth="none"))
    yield replace(opened, clock=FixedClock(SystemClock().now()))
    opened.close()


def make_run(app: App, experiment: str = "mine", *, tags: dict[str, str] | None = None, ends: bool = True) -> str:
    assert isinstance(app.clock, FixedClock)
    app.clock.advance(timedelta(seconds=1))
    with app.database.write() as tx:
        store = RunStore(tx, actor="ada", clock=app.clock)
        run = store.create_run(store.experiments.get_or_create(experiment).id, tags=tags)
        if ends:
            store.finish(run, RunStatus.FINISHED)
    return run


def advance(app: App, by: timedelta) -> None:
    assert isinstance(app.clock, FixedClock)
    app.clock.advance(by)


def stages(app: App, runs: list[str]) -> list[str]:
    with app.database.read() as tx:
        return [found.info.stage if (found := RunStore(tx).find(run)) else "gone" for run in runs]


def rules(**spec: int | timedelta | None) -> KeepRules:
    return KeepRules(trash=30 * DAY, projects={key_of("", "mine"): RetentionSpec(**spec)})  # type: ignore[arg-type]  # by name


def test_without_rules_nothing_ends_by_itself(app: App) -> None:
    runs = [make_run(app) for _ in range(3)]
    advance(app, 3650 * DAY)
    assert retain(app, KeepRules(trash=30 * DAY)).runs == ()
    assert stages(app, runs) == ["active"] * 3


def test_a_run_stays_while_any_rule_keeps_it(app: App) -> None:
    old = [make_run(app) for _ in range(4)]
    tagged = make_run(app, tags={"keep": "yes"})
    untagged = make_run(app, tags={"keep": "false"})
    open_run = make_run(app, ends=False)
    elsewhere = make_run(app, "other")
    advance(app, 100 * DAY)
    young = [make_run(app) for _ in range(2)]
    both = rules(keep_last=5, keep_days=50)
    seen = would_retain(app, both)
    # The last five are the two young ones, the open one and the two tagged ones.
    assert {each.run_id for each in seen.runs} == set(old)
    assert stages(app, old) == ["active"] * 4
    retain(app, rules(keep_last=2, keep_days=50))
    assert stages(app, old) == ["deleted"] * 4
    assert stages(app, [tagged, open_run, elsewhere, *young]) == ["active"] * 5
    assert stages(app, [untagged]) == ["deleted"]
    with app.database.read() as tx:
        query = select(schema.event).where(schema.event.c.entity_id == old[0], schema.event.c.to_state == "deleted")
        event = tx.execute(query).one()
    assert (event.detail, event.reason.split(":")[0]) == ({"cause": "retention"}, "retention")


def test_the_trash_is_emptied_after_its_time_with_the_cause_in_the_record(app: App) -> None:
    runs = [make_run(app) for _ in range(3)]
    with app.database.write() as tx:
        RunStore(tx, actor="ada", clock=app.clock).delete_run(runs[0])
    advance(app, 29 * DAY)
    assert retain(app, KeepRules(trash=30 * DAY)).trash == ()
    advance(app, 2 * DAY)
    assert [each.id for each in would_retain(app, KeepRules(trash=30 * DAY)).trash] == [runs[0]]
    assert would_retain(app, KeepRules(trash=None)).trash == ()
    assert would_retain(app, rules(trash=90 * DAY)).trash == ()
    done = retain(app, KeepRules(trash=30 * DAY))
    assert len(done.purges) == 1
    work_off(app)
    assert stages(app, runs) == ["gone", "active", "active"]
    with app.database.read() as tx:
        query = select(schema.event).where(schema.event.c.entity_id == runs[0], schema.event.c.to_state == "purged")
        assert tx.execute(query).one().reason == "retention"


def test_rules_come_from_the_default_branch_and_never_from_a_change(tmp_path: Path) -> None:
    app = open_app(Settings(data=tmp_path / "data", auth="none", trash_days=7))
    repository = Repository(tmp_path / "repo")
    text = "name: flights\nrun: python train.py\nretention: {{trash: {}, runs: {{keep_last: {}}}}}\n"
    repository.commit("main", {"headway.yaml": text.format("60d", 9), "train.py": "1\n"})
    forge = app.forges["local"]
    assert isinstance(forge, LocalForge)
    forge.register_repo(repository.path, by="ada")
    repository.commit("evil", {"headway.yaml": text.format("1s", 1)})
    found = refresh(app)
    (spec,) = found.projects.values()
    (name,) = found.projects
    assert (spec.trash, spec.keep_last) == (60 * DAY, 9)
    assert found.trash_for(*name.split("/")) == 60 * DAY
    assert found.trash_for("", "anything") == 7 * DAY
    # What cannot be read keeps everything.
    repository.commit("main", {"headway.yaml": "name: [\n"})
    (kept,) = refresh(app).projects.values()
    assert not kept.ends_runs
    app.close()


def test_a_result_that_reuse_would_want_holds_until_it_may_be_forgotten(tmp_path: Path) -> None:
    site = filled_site(tmp_path)
    app = site.app
    with app.database.write() as tx:
        store = RunStore(tx, actor="ada")
        run = store.create_run(store.experiments.get_or_create("flights").id)
        store.finish(run, RunStatus.FINISHED)
        store.delete_run(run)
        row = {"key": "k", "tier": 0, "project": "flights", "task": "train", "job_id": site.jobs[2].id, "run_id": run}
        tx.execute(insert(schema.task_result).values(**row, body={}, finished_at=app.clock.now()))
    held = ask_purge(app, Asked(names=(run,)), ADMIN)
    assert held.purge is None
    assert "reused" in held.held[0].reason
    assert "--forget-results" in held.held[0].hint
    assert ask_purge(app, Asked(names=(run,), forget_results=True), ADMIN).total == 1
    work_off(app)
    assert stages(app, [run]) == ["gone"]
    with app.database.read() as tx:
        assert tx.execute(select(func.count()).select_from(schema.task_result)).scalar_one() == 0
    app.close()


# --- what grows for ever ----------------------------------------------------------------------------


def test_spent_rows_go_and_the_audit_stays(app: App) -> None:
    now = app.clock.now()
    old = now - 200 * DAY
    with app.database.write() as tx:
        for at in (old, now):
            record(tx, "task", "t", to_state="running", at=at, actor="headway")
            record(tx, "release", "r", to_state="approved", at=at, actor="ada")
            record(tx, "run", "x", to_state="deleted", at=at, actor="ada")
            record(tx, "run", "x", to_state="FINISHED", at=at, actor="ada")
        shared = {"repo_id": "r", "want_body": {}, "want_rev": 1}
        for name, sent, at in (("sent-old", 1, old), ("unsent-old", 0, old), ("sent-new", 1, now)):
            row = {"coalesce_key": name, "kind": "comment", "sent_rev": sent, "next_at": at}
            tx.execute(insert(schema.outbox).values(**shared, **row))
        last = tx.execute(select(func.max(schema.event.c.seq))).scalar_one()
        mark = {"coalesce_key": ALL, "kind": "told", "next_at": old, "told_at": old, "told_seq": last}
        tx.execute(insert(schema.outbox).values(**{**shared, "want_rev": 0}, **mark))
        for at, ends in ((old, old + DAY), (old, None), (now, now + DAY)):
            TokenStore(tx).mint(TokenKind.USER, "ada", role=Role.VIEWER, at=at, expires_at=ends)
        for number, (at, state) in enumerate(((old, "done"), (old, "ignored"), (old, "new"), (now, "done"))):
            told = {"forge": "local", "repo_id": "r", "delivery_id": str(number), "body_key": str(number)}
            rest = {"event": "branch_pushed", "body": {}, "received_at": at, "state": state}
            tx.execute(insert(schema.inbox).values(**told, **rest))
        # What is live, waited for or young stays: only the old head and the one that was never asked about go.
        looks = (("head", True, old), ("left", False, old), ("never", False, None), ("young", False, now))
        for commit, live, at in looks:
            row = {"repo_id": "r", "project": "p", "commit": commit, "tracking": {}, "runs": [], "live": live}
            tx.execute(insert(schema.tracker_look).values(**row, answered_at=at))
        row |= {"commit": "waited-for", "wanted_at": now, "answered_at": old}
        tx.execute(insert(schema.tracker_look).values(**row))
    assert trim_rows(app) == {"inbox": 2, "outbox": 1, "events": 2, "tokens": 1, "looks": 2}
    with app.database.read() as tx:
        assert set(tx.execute(select(schema.outbox.c.coalesce_key)).scalars()) == {"unsent-old", "sent-new", ALL}
        audit = select(func.count()).where(schema.event.c.at == old, schema.event.c.actor == "ada")
        assert tx.execute(audit.where(schema.event.c.entity.in_(("release", "run")))).scalar_one() == 2
        left = set(tx.execute(select(schema.tracker_look.c.commit)).scalars())
        assert left == {"head", "young", "waited-for"}
    assert set(trim_rows(app).values()) == {0}


def test_an_output_that_nothing_names_goes_and_one_that_is_named_again_stays(app: App) -> None:
    digests = [app.contents.put(f"sha256/{c * 2}/{c * 64}", [c.encode()]) and c * 64 for c in "ab"]
    assert orphan_contents(app) == []  # they may be in the making
    old = time.time() - 7 * 3600
    for each in digests:
        os.utime(app.data / "contents" / "sha256" / each[:2] / each, (old, old))
    began = app.clock.now()
    assert sorted(orphan_contents(app)) == sorted(digests)
    with app.database.write() as tx:
        body = {"result": {"outputs": [{"digest": digests[0]}]}}
        row = {"key": "k", "tier": 0, "project": "p", "task": "t", "job_id": "j", "run_id": "r"}
        tx.execute(insert(schema.task_result).values(**row, body=body, finished_at=app.clock.now()))
    assert drop_contents(app, digests, since=began) == 1
    assert [each.key[-1] for each in app.contents.list("sha256/aa")] == ["a"]
    assert app.contents.stat(f"sha256/bb/{digests[1]}") is None


def test_space_is_measured_once_and_read_from_what_was_kept(app: App) -> None:
    run = make_run(app)
    with app.database.read() as tx:
        exp = RunStore(tx).info(run).experiment_id
    app.artifacts.put(f"{exp}/{run}/artifacts/big.bin", [b"x" * 5_000])
    app.artifacts.put(f"{exp}/models/m-{'0' * 32}/artifacts/MLmodel", [b"y" * 100])
    app.artifacts.put("loose/file.bin", [b"z" * 7])
    (app.data / "checkouts" / "c").mkdir(parents=True)
    (app.data / "checkouts" / "c" / "f").write_bytes(b"1" * 11)
    found = read_space(app, ADMIN)
    assert (found.kinds["artifacts"], found.kinds["checkouts"], found.other) == (5_107, 11, 107)
    assert [(each.name, each.artifacts) for each in found.experiments if each.artifacts] == [("mine", 5_000)]
    assert [(each.run_id, each.artifacts) for each in found.runs] == [(run, 5_000)]
    assert found.disk_free > 0
    with app.database.write() as tx:
        RunStore(tx, actor="ada").delete_run(run)
    assert read_space(app, ADMIN).in_trash == 0
    assert measure(app).in_trash == 5_000
    assert read_space(app, ADMIN).at >= found.at


def test_old_checkouts_and_notes_go_and_those_in_use_stay(app: App) -> None:
    removed = []

    def remove(path: Path) -> int:
        removed.append(path.name)
        shutil.rmtree(path, ignore_errors=True)
        return 1

    for folder in ("checkouts/aaaa", "checkouts/bbbb"):
        (app.data / folder).mkdir(parents=True)
    os.utime(app.data / "checkouts" / "aaaa", (0, 0))
    assert trim_files(app, remove) == 1
    assert removed == ["aaaa"]


def test_the_worker_purges_by_itself_and_does_the_rest_once_in_a_while(app: App) -> None:
    run = make_run(app)
    with app.database.write() as tx:
        RunStore(tx, actor="ada").delete_run(run)
    ask_purge(app, Asked(names=(run,)), ADMIN)
    upkeep, background = Upkeep(), Background(threads=1)
    assert upkeep.step(app, background)
    until = time.monotonic() + 60
    while upkeep.step(app, background) and time.monotonic() < until:
        time.sleep(0.05)
    assert stages(app, [run]) == ["gone"]
    background.close()
    assert not is_due(app, "x", 3600)  # a new server: not at once
    advance(app, timedelta(hours=2))
    assert is_due(app, "x", 3600)


def test_the_hour_s_rules_end_when_nothing_is_left(app: App) -> None:
    run = make_run(app)
    with app.database.write() as tx:
        RunStore(tx, actor="ada", clock=app.clock).delete_run(run)
    advance(app, 31 * DAY)
    apply_rules(app)
    work_off(app)
    assert stages(app, [run]) == ["gone"]


def test_a_run_that_was_abandoned_while_running_goes_after_a_day(app: App) -> None:
    run = make_run(app, ends=False)
    with app.database.write() as tx:
        RunStore(tx, actor="ada", clock=app.clock).delete_run(run)
    assert ask_purge(app, Asked(names=(run,)), ADMIN).held_total == 1
    advance(app, timedelta(hours=25))
    assert ask_purge(app, Asked(names=(run,)), ADMIN).total == 1


def test_room_is_kept_back_for_a_full_disk(app: App) -> None:
    keep_ballast(app)
    assert (app.data / BALLAST).stat().st_size > 200_000
