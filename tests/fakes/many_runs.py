"""A great many finished runs at once: the rows that the store would write for them, in bulk.

Writing a million runs through the store takes a quarter of an hour of CPU; their rows, built with the store's own
packing and keys and put in with the indexes away, take two minutes. A test holds one such run against one that the
store itself wrote.
"""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Index, text

from headway.db import schema
from headway.tracking.model import NAME_TAG, KeyKind
from headway.tracking.points import pack_tail
from headway.tracking.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from headway.db.connection import Database

START = 1_700_000_000_000
METRICS = ("f1", *(f"metric_{index}" for index in range(9)))
PARAMS = ("model", *(f"param_{index}" for index in range(9)))
TAGS = ("team", "stage", "commit")
WIDE_RUNS = 100
WIDE_KEYS = 1000

Row = tuple[Any, ...]

_COLUMNS = {
    "run": ("id", "uuid", "exp", "name", "user_id", "status", "start_time", "end_time", "stage", "version"),
    "metric": ("run", "key", "value", "nan", "ts", "step"),
    "text": ("run", "key", "value"),
    "tail": ("run", "n", "data"),
    "event": ("entity", "entity_id", "from_state", "to_state", "reason", "actor", "at"),
}
_SLICE = 5000  # runs in one transaction
_LARGE = 20_000  # from here on the indexes are made afterwards
_BIG_INDEXES = ("ix_metric_value", "ix_text_value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """Where the runs are."""

    narrow: str  # the experiment of many runs of 10 metrics, 10 params and 3 tags
    wide: str  # the experiment of a few runs of 1,000 distinct metrics each
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What one run is and logged."""

    name: str
    start: int
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]


def contents(count: int, *, seed: int = 1) -> Iterator[Content]:
    """Yield `count` runs, the same ones at each call; their f1 is spread evenly over 0 to 1, in a random order."""
    rng = random.Random(seed)
    ranks = list(range(count))
    rng.shuffle(ranks)
    for index, rank in enumerate(ranks):
        yield Content(
            name=f"run-{index}",
            start=START + index * 1000,
            tags={
                "team": rng.choice(("vision", "nlp", "ads")),
                "stage": rng.choice(("dev", "prod")),
                "commit": f"{rng.getrandbits(64):016x}",
            },
            params={"model": rng.choice("abcde"), **{key: f"{rng.random():.6f}" for key in PARAMS[1:]}},
            metrics={"f1": (rank + 0.5) / count, **{key: rng.random() for key in METRICS[1:]}},
        )


def wide_contents() -> Iterator[Content]:
    """Yield the runs of the experiment with 1,000 keys."""
    rng = random.Random(2)
    for index in range(WIDE_RUNS):
        yield Content(
            name=f"wide-{index}",
            start=START + index * 1000,
            tags={},
            params={},
            metrics={f"layer_{key}/norm": rng.random() for key in range(WIDE_KEYS)},
        )


def fill(database: Database, count: int, *, tell: Callable[[int], None] = lambda _: None) -> Filled:
    """Put `count` runs, and the wide ones, into an empty database with the schema; `tell` hears how many are in."""
    with database.write() as tx:
        store = RunStore(tx)
        store.experiments.ensure_default()
        narrow, wide = (store.experiments.create(name) for name in ("narrow", "wide"))
    indexes = _big_indexes() if count >= _LARGE else ()
    with database.write() as tx:
        for index in indexes:
            index.drop(tx)
        if indexes and database.is_sqlite:
            tx.exec_driver_sql("PRAGMA cache_size = -400000")
    done = 0
    for exp, runs in ((narrow, contents(count)), (wide, wide_contents())):
        done = _put_all(database, int(exp), runs, done, tell)
    with database.write() as tx:
        for index in indexes:
            index.create(tx)
        if not database.is_sqlite:
            tx.exec_driver_sql("select setval(pg_get_serial_sequence('run', 'id'), (select max(id) from run))")
    _settle(database)
    return Filled(narrow=narrow, wide=wide, runs=count)


def _big_indexes() -> tuple[Index, ...]:
    tables = (schema.metric, schema.text)
    return tuple(each for table in tables for each in table.indexes if each.name in _BIG_INDEXES)


def _put_all(database: Database, exp: int, runs: Iterator[Content], done: int, tell: Callable[[int], None]) -> int:
    keys: dict[tuple[KeyKind, str], int] = {}
    rows: dict[str, list[Row]] = {table: [] for table in _COLUMNS}
    waiting = 0
    for content in runs:
        if not keys:
            keys = _intern(database, exp, content)
        done += 1
        waiting += 1
        _add(rows, done, exp, keys=keys, content=content)
        if waiting == _SLICE or len(rows["metric"]) > 20 * _SLICE:
            _put(database, rows)
            waiting = 0
            tell(done)
    _put(database, rows)
    return done


def _intern(database: Database, exp: int, content: Content) -> dict[tuple[KeyKind, str], int]:
    wanted = [
        *((KeyKind.TAG, name) for name in (*content.tags, NAME_TAG)),
        *((KeyKind.PARAM, name) for name in content.params),
        *((KeyKind.METRIC, name) for name in content.metrics),
    ]
    with database.write() as tx:
        store = RunStore(tx)
        return {(kind, name): store.memory.keys.intern(store.link, exp, kind=kind, name=name) for kind, name in wanted}


def _add(
    rows: dict[str, list[Row]], run: int, exp: int, *, keys: dict[tuple[KeyKind, str], int], content: Content
) -> None:
    uid, start, end = uuid.UUID(int=run, version=4).hex, content.start, content.start + 900
    rows["run"].append((run, uid, exp, content.name, "ada", "FINISHED", start, end, "active", 2))
    ids = [keys[KeyKind.METRIC, name] for name in content.metrics]
    values = list(content.metrics.values())
    rows["metric"] += [(run, id_, value, False, start + 500, 0) for id_, value in zip(ids, values, strict=True)]
    count = len(ids)
    rows["tail"].append((run, count, pack_tail(ids, [start + 500] * count, [0] * count, values)))
    rows["text"] += [(run, keys[KeyKind.TAG, name], value) for name, value in content.tags.items()]
    rows["text"].append((run, keys[KeyKind.TAG, NAME_TAG], content.name))
    rows["text"] += [(run, keys[KeyKind.PARAM, name], value) for name, value in content.params.items()]
    rows["event"].append(("run", uid, None, "RUNNING", "", "ada", start))
    rows["event"].append(("run", uid, "RUNNING", "FINISHED", "", "ada", end))


def _put(database: Database, rows: dict[str, list[Row]]) -> None:
    with database.write() as tx:
        raw: Any = tx.connection.driver_connection
        for table, waiting in rows.items():
            (_insert if database.is_sqlite else _copy)(raw, table, waiting)
            waiting.clear()


def _insert(raw: Any, table: str, rows: Sequence[Row]) -> None:
    columns = _COLUMNS[table]
    marks = ", ".join("?" * len(columns))
    raw.executemany(f'insert into "{table}" ({", ".join(columns)}) values ({marks})', rows)


def _copy(raw: Any, table: str, rows: Sequence[Row]) -> None:
    with raw.cursor() as cursor, cursor.copy(f'copy "{table}" ({", ".join(_COLUMNS[table])}) from stdin') as copy:
        for row in rows:
            copy.write_row(row)


def _settle(database: Database) -> None:
    """Do what each database does by itself in the minutes after so many writes."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if database.is_sqlite:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.exec_driver_sql("PRAGMA cache_size = -2000")
        else:
            connection.execute(text("vacuum analyze"))
