"""The search in SQL against a plain evaluator in Python, over generated filters, orders and page sizes."""

import contextlib
import functools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headway.db.connection import Database, open_database
from headway.db.migrate import migrate
from headway.errors import UsageError
from headway.tracking import find
from headway.tracking.find import Query, find_runs
from headway.tracking.model import Dataset, DatasetInput, Metric, Run, RunStatus, Tag
from headway.tracking.search import Clause, Order, parse_filter, parse_order
from headway.tracking.store import RunStore

NAN = float("nan")
VALUES = (None, -1.5, 0.0, 0.5, 0.5, 2.0, NAN)
TEXTS = (None, "", "a", "A", "ab", "a%b", "a_b", "b'c", "é", "É")
NAMES = ("m", "a b", "x.y/z")
STATUSES = (RunStatus.RUNNING, RunStatus.FINISHED, RunStatus.FAILED)


@dataclass(frozen=True, slots=True)
class Flock:
    """Not printed whole: Hypothesis warns of a long one, which would hide what really failed."""

    database: Database
    runs: list[Run] = field(repr=False)


@pytest.fixture(scope="module")
def flock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flock]:
    root: Path = tmp_path_factory.mktemp("flock")
    database = open_database(f"sqlite:///{root / 'f.db'}")
    migrate(database)
    runs = []
    with database.write() as tx:
        store = RunStore(tx)
        store.experiments.ensure_default()
        exps = ["0", store.experiments.create("other")]
        for i in range(60):
            run = store.create_run(exps[i % 2], name=f"r{i % 7}", user_id=TEXTS[i % 10] or "", start_time=1000 + i // 3)
            for j, name in enumerate(NAMES):
                value, text = VALUES[(i * 3 + j) % 7], TEXTS[(i * 7 + j) % 10]
                if value is not None:
                    store.log_metrics(run, [Metric(name, value, 1)])
                if text is not None:
                    store.log_params(run, {name: text})
                    store.set_tags(run, {name: text.upper()})
            if i % 4 == 0:
                data = Dataset(name=f"d{i % 8}", digest="x", source_type="s", source="s")
                store.log_inputs(
                    run, [DatasetInput(dataset=data, tags=(Tag(key="mlflow.data.context", value="train"),))]
                )
            if i % 5 == 0:
                store.finish(run, STATUSES[i % 3], end_time=2000 + i)
            runs.append(store.get(run))
    yield Flock(database, runs)
    database.close()


# --- the evaluator ---


def like(pattern: str, text: str, *, is_exact: bool) -> bool:
    if not is_exact:
        pattern, text = pattern.lower(), text.lower()
    regex = "".join({"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in pattern)
    return re.fullmatch(regex, text, re.DOTALL) is not None


def compare(have: Any, op: str, want: Any) -> bool:
    if isinstance(have, float) and math.isnan(have):
        return op == "!="
    return {
        "=": lambda: have == want,
        "!=": lambda: have != want,
        ">": lambda: have > want,
        ">=": lambda: have >= want,
        "<": lambda: have < want,
        "<=": lambda: have <= want,
        "LIKE": lambda: like(want, have, is_exact=True),
        "ILIKE": lambda: like(want, have, is_exact=False),
        "IN": lambda: have in want,
        "NOT IN": lambda: have not in want,
    }[op]()


def value_of(run: Run, entity: str, key: str) -> Any:
    if entity == "metric":
        return run.metrics[key].value if key in run.metrics else None
    if entity == "parameter":
        return run.params.get(key)
    if entity == "tag":
        return run.tags.get(key)
    return getattr(run.info, {"run_name": "name"}.get(key, key))


def matches(run: Run, clause: Clause) -> bool:
    if clause.entity == "dataset":
        have = [
            {"name": each.dataset.name, "digest": each.dataset.digest, "context": each.tags[0].value}[clause.key]
            for each in run.datasets
        ]
        return any(compare(each, clause.op, clause.value) for each in have)
    found = value_of(run, clause.entity, clause.key)
    if clause.op in ("IS NULL", "IS NOT NULL"):
        return (found is None) == (clause.op == "IS NULL")
    return found is not None and compare(found, clause.op, clause.value)


def before(a: Run, b: Run, orders: tuple[Order, ...]) -> int:
    for order in orders:
        ranks = []
        for run in (a, b):
            found = value_of(run, order.entity, order.key)
            is_nan = isinstance(found, float) and math.isnan(found)
            ranks.append((2, 0) if found is None else (1, 0) if is_nan else (0, found))
        (rank_a, value_a), (rank_b, value_b) = ranks
        if rank_a != rank_b:
            return -1 if rank_a < rank_b else 1
        if value_a != value_b:
            is_before = value_a < value_b
            return -1 if is_before == order.is_ascending else 1
    key_a, key_b = (-a.info.start_time, a.info.run_id), (-b.info.start_time, b.info.run_id)
    return -1 if key_a < key_b else 1


# --- what is generated ---

number = st.sampled_from([-1.5, 0.0, 0.25, 0.5, 2.0, 1e300])
words = st.sampled_from([text for text in TEXTS if text is not None] + ["%", "a%", "_", "%b", "A%B", "nothing"])
numeric_ops = st.sampled_from(["=", "!=", ">", ">=", "<", "<="])
text_ops = st.sampled_from(["=", "!=", "LIKE", "ILIKE"])
keys = st.sampled_from([*NAMES, "unknown"])
clauses = st.one_of(
    st.builds(Clause, st.just("metric"), keys, numeric_ops, number),
    st.builds(Clause, st.sampled_from(["parameter", "tag"]), keys, text_ops, words),
    st.builds(
        Clause, st.sampled_from(["parameter", "tag"]), keys, st.sampled_from(["IS NULL", "IS NOT NULL"]), st.none()
    ),
    st.builds(Clause, st.just("attribute"), st.sampled_from(["run_name", "user_id", "status"]), text_ops, words),
    st.builds(
        Clause, st.just("attribute"), st.sampled_from(["start_time", "end_time"]), numeric_ops, st.integers(995, 2060)
    ),
    st.builds(
        Clause,
        st.just("dataset"),
        st.sampled_from(["name", "context"]),
        text_ops,
        st.sampled_from(["d0", "d%", "train", "x"]),
    ),
    st.builds(Clause, st.just("dataset"), st.just("name"), st.sampled_from(["IN", "NOT IN"]), st.just(("d0", "d9"))),
)
orders = st.lists(
    st.one_of(
        st.builds(Order, st.sampled_from(["metric", "parameter", "tag"]), keys, st.booleans()),
        st.builds(
            Order,
            st.just("attribute"),
            st.sampled_from(["start_time", "end_time", "run_name", "status"]),
            st.booleans(),
        ),
    ),
    max_size=3,
    unique_by=lambda order: (order.entity, order.key),
)


def spelled(clause: Clause) -> str:
    head = f"{clause.entity}.`{clause.key}` {clause.op}"
    if clause.value is None:
        return head
    if isinstance(clause.value, tuple):
        return head + " (" + ", ".join(f"'{each}'" for each in clause.value) + ")"
    if isinstance(clause.value, str):
        quote = '"' if "'" in clause.value else "'"
        return f"{head} {quote}{clause.value}{quote}"
    return f"{head} {clause.value!r}"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(clauses, max_size=3),
    orders,
    st.sampled_from([1, 7, 1000]),
    st.sampled_from([(0,), (0, 1), (1, 0, 99)]),
    st.sampled_from([0, 1000]),  # where runs are few, experiments are not merged
)
def test_sql_finds_what_python_finds(  # each is generated
    flock: Flock,
    wanted: list[Clause],
    sort: list[Order],
    limit: int,
    exps: tuple[int, ...],
    runs_for_a_walk: int,
) -> None:
    database, runs = flock.database, flock.runs
    text = " and ".join(spelled(clause) for clause in wanted)
    assert parse_filter(text) == tuple(wanted)
    spoken = [f"{order.entity}.`{order.key}` {'ASC' if order.is_ascending else 'DESC'}" for order in sort]
    assert [parse_order(each) for each in spoken] == sort
    expected = [
        run for run in runs if int(run.info.experiment_id) in exps and all(matches(run, clause) for clause in wanted)
    ]
    expected.sort(key=functools.cmp_to_key(lambda a, b: before(a, b, tuple(sort))))
    found: list[str] = []
    token = ""
    with database.read() as tx, pytest.MonkeyPatch.context() as patched:
        patched.setattr(find, "_RUNS_FOR_A_WALK", runs_for_a_walk)
        store = RunStore(tx)
        while True:
            query = Query(
                exps=exps, stages=("active",), clauses=tuple(wanted), orders=tuple(sort), limit=limit, token=token
            )
            ids, token = find_runs(store.link, query)
            rows = dict(store.link.each("select id, uuid from run where id in (??)", ids))  # type: ignore[arg-type]  # pairs
            found += [rows[id_] for id_ in ids]
            if not token:
                break
    assert found == [run.info.run_id for run in expected]


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from(list("metricsparmtg.` '\"\\%_=<>!()-,;0123456789eANDORLIKE\0é\ud800")), max_size=60))
def test_no_text_breaks_the_parser(text: str) -> None:
    for parse in (parse_filter, parse_order):
        with contextlib.suppress(UsageError):
            parse(text)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.text(max_size=60), st.binary(max_size=60).map(lambda raw: raw.hex())))
def test_no_page_token_breaks_the_search(flock: Flock, token: str) -> None:
    with flock.database.read() as tx, contextlib.suppress(UsageError):
        find_runs(RunStore(tx).link, Query(exps=(0,), stages=("active",), token=token))
