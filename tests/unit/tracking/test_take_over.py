"""Writing what moves in: once, as it was, and nothing that is another thing here."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from fakes.databases import sqlite_copy
from headway.db.connection import Database, open_database
from headway.errors import UsageError
from headway.tracking.fold import CHUNK_POINTS
from headway.tracking.moved import MovedExperiment, MovedIn, MovedRun, pack_history
from headway.tracking.store import RunStore
from headway.tracking.take_over import ReadyRun, count_runs, prepare_run, take_experiment, take_run

ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(sqlite_copy(tmp_path))
    with opened.write() as tx:
        RunStore(tx).experiments.ensure_default()
    yield opened
    opened.close()


def a_run(**more: object) -> MovedRun:
    points = [(1000 + step, step, float(step)) for step in range(300)] + [(5000, 300, math.nan)]
    given = {
        "run_id": ID,
        "name": "old",
        "user_id": "maria",
        "status": "FINISHED",
        "start_time": 1000,
        "end_time": 9000,
        "stage": "active",
        "params": {"lr": "0.1", "long": "x" * 7000},
        "tags": {"note": "日本"},
        "histories": {"loss": pack_history(points), "acc": pack_history([(1, 1, math.inf)])},
    }
    return MovedRun(**{**given, **more})  # type: ignore[arg-type]


def test_a_run_comes_in_whole_and_only_once(database: Database) -> None:
    for state in ("new", "same"):
        with database.write() as tx:
            assert take_run(RunStore(tx), "0", a_run()).state == state
    with database.read() as tx:
        store = RunStore(tx)
        run = store.get(ID)
        assert (run.info.status, run.info.start_time, run.info.end_time, run.info.user_id) == (
            "FINISHED",
            1000,
            9000,
            "maria",
        )
        assert run.params["long"] == "x" * 7000  # not cut as a logging client's would be
        assert math.isnan(run.metrics["loss"].value)
        assert run.metrics["acc"].value > 1e308
        assert len(store.history(ID, "loss")) == 301
        (here,) = count_runs(store.link, [ID, "absent"])
        assert (here.points, here.params, here.tags) == (302, 2, 2)


def test_what_a_run_lacks_is_added_and_what_it_has_stays(database: Database) -> None:
    first = a_run(status="RUNNING", end_time=None, histories={"loss": pack_history([(1, 0, 1.0)])})
    with database.write() as tx:
        take_run(RunStore(tx), "0", first)
        RunStore(tx).set_tags(ID, {"note": "ours"})
    more = a_run(histories={"loss": pack_history([(1, 0, 1.0), (2, 1, 0.5)])}, tags={"note": "theirs", "new": "1"})
    with database.write() as tx:
        assert take_run(RunStore(tx), "0", more).state == "added"
    with database.read() as tx:
        run = RunStore(tx).get(ID)
        assert (run.info.status, run.info.end_time) == ("FINISHED", 9000)
        assert (run.tags["note"], run.tags["new"]) == ("ours", "1")
        assert [each.value for each in RunStore(tx).history(ID, "loss")] == [1.0, 0.5]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"start_time": 1001}, "another run has this id"),
        ({"params": {"lr": "0.2"}}, "Changing param values is not allowed"),
    ],
)
def test_another_run_of_the_same_id_is_left_alone(database: Database, change: dict, why: str) -> None:
    with database.write() as tx:
        take_run(RunStore(tx), "0", a_run())
        before = RunStore(tx).get(ID)
        became = take_run(RunStore(tx), "0", replace(a_run(tags={"x": "y"}), **change))
        assert (became.state, why in became.why) == ("refused", True)
        assert RunStore(tx).get(ID) == before or math.isnan(before.metrics["loss"].value)
        assert "x" not in RunStore(tx).get(ID).tags


@pytest.mark.parametrize(
    "change",
    [
        {"run_id": "../../etc"},
        {"run_id": "a" * 33},
        {"status": "DONE"},
        {"stage": "gone"},
        {"start_time": -1},
        {"params": {"a/../b": "1"}},
        {"tags": {"t": "nul\0"}},
        {"name": "nul\0"},
        {"histories": {"m": b"123"}},
        {"histories": {"m": pack_history([(-5, 0, 1.0)])}},
        {"histories": {"/abs": pack_history([(5, 0, 1.0)])}},
    ],
)
def test_a_hostile_run_is_refused_and_leaves_nothing(database: Database, change: dict) -> None:
    with database.write() as tx:
        store = RunStore(tx)
        assert take_run(store, "0", a_run(**change)).state == "refused"
        assert take_run(store, "0", a_run()).state == "new"  # its neighbours in the batch come in
        assert store.link.one("select count(*) from run") == (1,)


def test_an_experiment_of_the_same_name_is_filled_and_not_changed(database: Database) -> None:
    moved = MovedExperiment(name="x", creation_time=5, last_update_time=6, tags={"a": "1"})
    with database.write() as tx:
        store = RunStore(tx)
        made, became = take_experiment(store, moved)
        assert (became.state, store.experiments.get(made).creation_time) == ("new", 5)
        again, became = take_experiment(store, replace(moved, tags={"a": "2", "b": "3"}, creation_time=7))
        assert (again, became.state, "a" in became.why) == (made, "same", True)
        assert store.experiments.get(made).tags == {"a": "1", "b": "3"}
        store.experiments.delete(made)
        with pytest.raises(UsageError, match="trash"):
            take_experiment(store, replace(moved, creation_time=8))


def test_a_long_history_is_packed_before_the_writer_s_turn_and_reads_the_same(database: Database) -> None:
    """Packing takes seconds, in which nothing else could be written."""
    points = [(1000 + step, step, float(step)) for step in range(2 * CHUNK_POINTS)]
    odd = [*points[:-1], (9_000_000, points[-1][1], math.nan)]
    run = a_run(histories={"loss": pack_history(points), "odd": pack_history(odd)})
    ready = prepare_run(run)
    assert isinstance(ready, ReadyRun) and [len(each.chunks) for each in ready.packed.values()] == [2, 2]
    with database.write() as tx:
        assert take_run(RunStore(tx), "0", ready).state == "new"
    with database.read() as tx:
        store = RunStore(tx)
        assert [(each.timestamp, each.step, each.value) for each in store.history(ID, "loss")] == points
        latest = store.get(ID).metrics
    assert (latest["loss"].step, latest["loss"].value) == (points[-1][1], points[-1][2])
    assert math.isnan(latest["odd"].value) and latest["odd"].timestamp == 9_000_000


def test_what_cannot_be_taken_is_said_before_the_writer_s_turn(database: Database) -> None:
    refused = prepare_run(a_run(run_id="../etc"))
    assert isinstance(refused, MovedIn) and refused.state == "refused"
    with database.write() as tx:
        assert take_run(RunStore(tx), "0", refused) is refused
