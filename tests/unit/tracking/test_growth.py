"""Searches cost the same among eight times as many runs: counted in steps of the database's machine, not in seconds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.many_runs import Content, Filled, contents, fill
from fakes.search_plans import plans_of, steps_of
from fakes.search_shapes import SHAPES, Shape, filled_values
from headway.db.connection import Database, open_database
from headway.db.migrate import migrate
from headway.tracking.model import Metric, RunStatus
from headway.tracking.store import RunStore

FEW, MANY = 5000, 40_000
Sizes = dict[int, tuple[Database, Filled]]


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sizes]:
    root: Path = tmp_path_factory.mktemp("sizes")
    found: Sizes = {}
    for count in (FEW, MANY):
        database = open_database(f"sqlite:///{root / f'{count}.db'}")
        migrate(database)
        found[count] = (database, fill(database, count))
    yield found
    for database, _ in found.values():
        database.close()


@pytest.mark.parametrize("shape", [each for each in SHAPES if not each.is_walk], ids=lambda each: each.name)
def test_a_search_takes_as_many_steps_among_eight_times_as_many_runs(sizes: Sizes, shape: Shape) -> None:
    steps, found = {}, {}
    for count, (database, filled) in sizes.items():
        steps[count], found[count] = steps_of(database, shape.body(filled_values(filled)))
    assert 0 < found[MANY] <= 1.2 * found[FEW] or "no run" in shape.name
    # A few hundred steps are reading the keys; a walk of the runs would take eight times as many.
    assert steps[MANY] <= 2 * steps[FEW] + 500


@pytest.mark.parametrize("shape", SHAPES, ids=lambda each: each.name)
def test_no_search_reads_a_big_table_from_end_to_end(sizes: Sizes, shape: Shape) -> None:
    database, filled = sizes[MANY]
    told, bad = plans_of(database, shape.body(filled_values(filled)))
    assert told
    assert bad == []


def test_the_steps_tell_a_walk_from_an_index(sizes: Sizes) -> None:
    """The one order that no index has: the measure itself works."""
    walk = next(each for each in SHAPES if each.is_walk)
    steps = {
        count: steps_of(database, walk.body(filled_values(filled)))[0] for count, (database, filled) in sizes.items()
    }
    assert steps[MANY] > 6 * steps[FEW]


def test_the_store_would_have_written_the_same_rows(tmp_path: Path, sizes: Sizes) -> None:
    one = next(contents(FEW))
    mine = open_database(f"sqlite:///{tmp_path / 'one.db'}")
    migrate(mine)
    try:
        run_id = written(mine, one)
        filled, where = sizes[FEW]
        assert rows_of(mine, run_id) == rows_of(filled, run_named(filled, where.narrow, one.name))
    finally:
        mine.close()


def written(database: Database, content: Content) -> str:
    with database.write() as tx:
        store = RunStore(tx, actor="ada")
        exp = store.experiments.create("narrow")
        run = store.create_run(exp, name=content.name, user_id="ada", tags=content.tags, start_time=content.start)
        points = [Metric(key, value, content.start + 500, 0) for key, value in content.metrics.items()]
        store.log_batch(run, metrics=points, params=list(content.params.items()), tags=[])
        store.finish(run, RunStatus.FINISHED, end_time=content.start + 900)
        return run


def run_named(database: Database, exp: str, name: str) -> str:
    with database.read() as tx:
        found = RunStore(tx).search([exp], f"attributes.run_name = '{name}'", limit=2).items
    assert len(found) == 1
    return found[0].info.run_id


def rows_of(database: Database, run_id: str) -> dict[str, list[tuple[object, ...]]]:
    """Return what a run has in each table, with names for the numbers of keys, runs and experiments."""
    with database.read() as tx:
        link = RunStore(tx).link
        row = link.one("select id from run where uuid = ?", (run_id,))
        run = row[0] if row else -1
        named = "join key k on k.id = x.key where x.run = ? order by k.kind, k.name"
        return {
            "run": link.all(
                "select name, user_id, status, start_time, end_time, stage, version, job_id, deleted_time from run "
                "where id = ?",
                (run,),
            ),
            "metric": link.all(f"select k.kind, k.name, x.value, x.nan, x.ts, x.step from metric x {named}", (run,)),
            "text": link.all(f"select k.kind, k.name, x.value from text x {named}", (run,)),
            "tail": link.all("select n, length(data) from tail where run = ?", (run,)),
            "history": [
                (point.key, point.value, point.timestamp, point.step)
                for name in ("f1", "metric_3")
                for point in RunStore(tx).history(run_id, name)
            ],
            "event": link.all(
                "select entity, from_state, to_state, reason, actor from event where entity_id = ? order by seq",
                (run_id,),
            ),
        }
