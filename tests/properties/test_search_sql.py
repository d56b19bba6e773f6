"""Searches of experiments, models, versions and logged models against plain evaluators in Python, and page tokens."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from headway.api.mlflow import registry_search
from headway.db.connection import open_database
from headway.db.migrate import migrate
from headway.errors import UsageError
from headway.registry.logged import LoggedModelStore
from headway.registry.search import LOGGED, MODELS, VERSIONS, search_logged, search_models, search_versions
from headway.registry.store import RegistryStore
from headway.tracking import find, offsets
from headway.tracking.listing import search_experiments
from headway.tracking.model import Tag
from headway.tracking.search import EXPERIMENTS, Clause, Grammar, parse_filter, parse_order
from headway.tracking.store import RunStore

TEXTS = ("", "a", "A", "ab", "a%b", "a_b", "b'c", "a\\", "aab", "none")
TEXT_OPS = ["=", "!=", "LIKE", "ILIKE"]
PATTERNS = (*TEXTS, "%", "a%", "_", "%b", "A%", "%a%b%", "a\\%", "%_", "alph%", "%O%", "s3%1")


def like(pattern: str, text: str) -> bool:
    """LIKE by the textbook: the set of places that a prefix of the pattern can reach."""
    places = {0}
    for letter in pattern:
        if letter == "%":
            places = set(range(min(places), len(text) + 1)) if places else set()
        else:
            places = {at + 1 for at in places if at < len(text) and letter in ("_", text[at])}
    return len(text) in places


def compare(have: Any, op: str, want: Any) -> bool:
    tests: dict[str, Callable[[], bool]] = {
        "=": lambda: have == want,
        "!=": lambda: have != want,
        ">": lambda: have > want,
        ">=": lambda: have >= want,
        "<": lambda: have < want,
        "<=": lambda: have <= want,
        "LIKE": lambda: like(want, have),
        "ILIKE": lambda: like(want.lower(), have.lower()),
        "IN": lambda: have in want,
        "NOT IN": lambda: have not in want,
    }
    return tests[op]()


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of thing: how it is searched, and what an evaluator reads from it."""

    grammar: Grammar
    find: Callable[[Connection, str, list[str]], Sequence[Any]]
    key: Callable[[Any], Any]  # what it is told apart by
    texts: dict[str, str]  # attribute -> Python's name
    numbers: dict[str, str]
    orders: dict[str, str]
    pairs: dict[str, str]  # entity -> Python's name


def _models(tx: Connection, text: str, orders: list[str]) -> Sequence[Any]:
    return search_models(tx, parse_filter(text, MODELS), [parse_order(each, MODELS) for each in orders], limit=99)


def _versions(tx: Connection, text: str, orders: list[str]) -> Sequence[Any]:
    return search_versions(tx, parse_filter(text, VERSIONS), [parse_order(each, VERSIONS) for each in orders], limit=99)


def _logged(tx: Connection, text: str, orders: list[str]) -> Sequence[Any]:
    wanted = [(parse_order(each, LOGGED), "", "") for each in orders]
    return search_logged(tx, [0], parse_filter(text, LOGGED), wanted, limit=99)


def _experiments(tx: Connection, text: str, orders: list[str]) -> Sequence[Any]:
    found: list[Any] = []
    token = ""
    while True:  # two by two, so that the pages are looked at as well
        page = search_experiments(
            RunStore(tx).experiments,
            stages=("active",),
            max_results=2,
            filter_text=text,
            order_by=orders,
            token=token,
        )
        found += page.items
        token = page.next_token
        if not token:
            return found


KINDS = {
    "experiments": Kind(
        grammar=EXPERIMENTS,
        find=_experiments,
        key=lambda each: each.id,
        texts={"name": "name"},
        numbers={"creation_time": "creation_time", "last_update_time": "last_update_time"},
        orders={"name": "name", "creation_time": "creation_time"},
        pairs={"tag": "tags"},
    ),
    "models": Kind(
        grammar=MODELS,
        find=_models,
        key=lambda each: each.name,
        texts={"name": "name"},
        numbers={},
        orders={"name": "name", "last_updated_timestamp": "updated_at"},
        pairs={"tag": "tags"},
    ),
    "versions": Kind(
        grammar=VERSIONS,
        find=_versions,
        key=lambda each: (each.model, each.number),
        texts={"name": "model", "source_path": "source_uri"},
        numbers={"version_number": "number"},
        orders={"name": "model", "version_number": "number"},
        pairs={"tag": "tags"},
    ),
    "logged models": Kind(
        grammar=LOGGED,
        find=_logged,
        key=lambda each: each.id,
        texts={"name": "name", "model_type": "model_type"},
        numbers={"creation_timestamp": "creation_time"},
        orders={"name": "name", "model_type": "model_type"},
        pairs={"tag": "tags", "parameter": "params"},
    ),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    database = open_database(f"sqlite:///{tmp_path_factory.mktemp('world') / 'w.db'}")
    migrate(database)
    with database.write() as tx:
        store, registry, logged = RunStore(tx), RegistryStore(tx), LoggedModelStore(tx)
        store.experiments.ensure_default()
        for i, name in enumerate(("one", "One", "two a", "a%b", "none")):
            store.experiments.create(name, tags=[Tag(key="t", value=TEXTS[i + 1])] if i % 2 else [])
        for i, name in enumerate(("alpha", "Alpha", "b%", "gamma", "a_b")):
            registry.create_model(name, tags={"t": TEXTS[i + 1]} if i else {})
            for j in range(i % 3):
                tags = {"t": TEXTS[i + j + 1]} if (i + j) % 2 else {}
                registry.create_version(name, source="", source_uri=f"s3://b/{i % 2}/{j}", tags=tags)
        for i, text in enumerate(TEXTS):
            params = {"p": text} if i % 3 else {}
            logged.create("0", name=f"m{i % 4}", model_type=TEXTS[i * 3 % 10], params=params, tags={"t": TEXTS[-i]})
    with database.read() as tx:
        yield tx
    database.close()


@st.composite
def clauses(draw: st.DrawFn, kind: Kind) -> Clause:
    words = st.sampled_from(PATTERNS)
    names, owners, ops = st.sampled_from([*kind.texts]), st.sampled_from([*kind.pairs]), st.sampled_from(TEXT_OPS)
    keys = st.sampled_from(["t", "p", "unknown"])
    choices = [
        st.builds(Clause, st.just("attribute"), names, ops, words),
        st.builds(Clause, owners, keys, ops, words),
        st.builds(Clause, owners, keys, st.sampled_from(["IS NULL", "IS NOT NULL"]), st.none()),
    ]
    if kind.numbers:
        numeric = st.sampled_from(["=", "!=", ">", ">=", "<", "<="])
        number = st.sampled_from([-1, 0, 1, 2, 3, 10**12, 10**15])
        choices.append(st.builds(Clause, st.just("attribute"), st.sampled_from([*kind.numbers]), numeric, number))
    if kind.grammar is not EXPERIMENTS:
        lists = st.sampled_from([("alpha", "m1"), ("a_b",), ("none", "x")])
        choices.append(
            st.builds(Clause, st.just("attribute"), st.just("name"), st.sampled_from(["IN", "NOT IN"]), lists)
        )
    return draw(st.one_of(choices))


def spelled(clause: Clause) -> str:
    entity = "param" if clause.entity == "parameter" else clause.entity
    head = f"{entity}.`{clause.key}` {clause.op}"
    if clause.value is None:
        return head
    if isinstance(clause.value, tuple):
        return head + " (" + ", ".join(f"'{each}'" for each in clause.value) + ")"
    if isinstance(clause.value, str):
        quote = '"' if "'" in clause.value or clause.value.endswith("\\") else "'"
        return f"{head} {quote}{clause.value}{quote}"
    return f"{head} {clause.value!r}"


def matches(kind: Kind, thing: Any, clause: Clause) -> bool:
    if clause.entity in kind.pairs:
        have = getattr(thing, kind.pairs[clause.entity]).get(clause.key)
    else:
        have = getattr(thing, {**kind.texts, **kind.numbers}[clause.key])
    if clause.op in ("IS NULL", "IS NOT NULL"):
        return (have is None) == (clause.op == "IS NULL")
    return have is not None and compare(have, clause.op, clause.value)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("name", KINDS)
def test_a_search_finds_what_python_finds(world: Connection, name: str, data: st.DataObject) -> None:
    kind = KINDS[name]
    wanted = data.draw(st.lists(clauses(kind), max_size=3))
    order = data.draw(st.one_of(st.none(), st.tuples(st.sampled_from([*kind.orders]), st.booleans())))
    text = " and ".join(spelled(clause) for clause in wanted)
    assert parse_filter(text, kind.grammar) == tuple(wanted)
    spoken = [] if order is None else [f"attribute.`{order[0]}` {'ASC' if order[1] else 'DESC'}"]
    found = kind.find(world, text, spoken)
    everything = kind.find(world, "", [])
    expected = [each for each in everything if all(matches(kind, each, clause) for clause in wanted)]
    assert sorted(map(kind.key, found)) == sorted(map(kind.key, expected))
    if order is None:  # as they lie without a filter
        assert list(map(kind.key, found)) == list(map(kind.key, expected))
    else:
        values = [getattr(each, kind.orders[order[0]]) for each in found]
        assert values == sorted(values, reverse=not order[1])


# --- page tokens ---

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["offset", "x"]), inner, max_size=2),
    max_leaves=6,
)
tokens = st.one_of(
    st.text(max_size=40),
    st.binary(max_size=40).map(lambda raw: base64.b64encode(raw).decode()),
    json_values.map(lambda value: base64.b64encode(json.dumps(value).encode()).decode()),
    st.integers().map(lambda offset: base64.b64encode(json.dumps({"offset": offset}).encode()).decode()),
)


@settings(max_examples=300, deadline=None)
@given(tokens)
def test_a_page_token_is_an_offset_or_refused(token: str) -> None:
    for read in (offsets.read_offset, registry_search.offset_of):
        with contextlib.suppress(UsageError):
            offset = read(token)
            assert type(offset) is int
            assert 0 <= offset < 2**63
    with contextlib.suppress(UsageError):
        assert isinstance(find._read_token(token), tuple)
    with contextlib.suppress(UsageError):
        assert registry_search._logged_offset(registry_search.SearchLogged(page_token=token)) >= 0


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from(list("nametgsprm.` '\"\\%_=<>!()-,;0123456789eANDORLIKEINULS\0é\ud800")), max_size=60))
def test_no_text_breaks_another_parser(text: str) -> None:
    for kind in KINDS.values():
        for parse in (parse_filter, parse_order):
            with contextlib.suppress(UsageError):
                parse(text, kind.grammar)
