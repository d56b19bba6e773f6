"""What is fuzzed: each takes bytes, and lets out nothing but a HeadwayError, which `refused` swallows.

An answer that is worse than an exception (a key that climbs, a page that comes out of nowhere) is an AssertionError.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import io
import posixpath
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

import msgspec

from headway.api.mlflow import registry_search
from headway.api.mlflow.decode import Decoder, plain_object
from headway.api.mlflow.graph_run import answered
from headway.api.mlflow.route import Call, Route, StreamCall
from headway.api.mlflow.table import ROUTES
from headway.auth.authenticate import Authenticator
from headway.blobs.folder import FolderStore
from headway.blobs.keys import checked_key, decoded_key, joined_key
from headway.clock import SystemClock
from headway.commands.grammar import format_command, has_command, parse_comment
from headway.commands.model import ParsedCommand
from headway.db.connection import Database, open_database
from headway.db.migrate import migrate
from headway.engines.delivered import Delivered, ExitRecord, StartRecord
from headway.engines.kubernetes.folder import AttemptFolder
from headway.errors import HeadwayError
from headway.forges.github.reading import Reader
from headway.forges.github.webhook import Hook, check_kind, installation_of, read_payload, repository_of
from headway.projects.read import read_project
from headway.registry.search import LOGGED, MODELS, VERSIONS, search_logged, search_models, search_versions
from headway.registry.source import resolve_source
from headway.sandbox.inside.archive import BadArchive, Limits, unpack
from headway.tracking import find, offsets
from headway.tracking.find import Query, find_runs
from headway.tracking.listing import search_experiments
from headway.tracking.location import checked_location
from headway.tracking.model import Metric
from headway.tracking.search import RUNS, parse_filter, parse_order, parse_orders
from headway.tracking.store import RunStore

_EVENTS = (
    *("issue_comment", "pull_request", "push", "check_run", "check_suite", "merge_group", "workflow_dispatch"),
    *("repository_dispatch", "pull_request_review", "installation", "star"),
)


@cache
def _database() -> Database:
    """Make a small world of every kind; nothing is ever committed to it again."""
    folder = Path(tempfile.mkdtemp(prefix="headway-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    database = open_database(f"sqlite:///{folder / 'f.db'}")
    migrate(database)
    _answer("experiments/create", b'{"name": "other", "tags": [{"key": "t", "value": "v"}]}', database)
    with database.write() as tx:
        store = RunStore(tx)
        store.experiments.ensure_default()
        for i in range(12):
            run = store.create_run("0", name=f"r{i % 3}", user_id="", start_time=1000 + i // 2)
            store.log_metrics(run, [Metric("m", (0.5, float("nan"), -1.0)[i % 3], 1, step) for step in range(3)])
            store.log_params(run, {"p": "aAé%_"[i % 5]})
            store.set_tags(run, {"t": "x" * i})
    for path, body in (
        ("registered-models/create", b'{"name": "model", "tags": [{"key": "t", "value": "v"}]}'),
        ("model-versions/create", b'{"name": "model", "source": "s3://bucket/x"}'),
        ("logged-models", b'{"experiment_id": "0", "name": "m", "params": [{"key": "p", "value": "1"}]}'),
    ):
        _answer(path, body, database)
    return database


def _answer(path: str, body: bytes, database: Database) -> None:
    with database.write() as tx:
        store = RunStore(tx)
        store.experiments.ensure_default()
        route = _routes()[f"POST {path}"]
        principal = Authenticator(database, SystemClock(), mode="none").authenticate(None)
        route.answer(Call(principal=principal, store=store), Decoder(route).body(body))


@contextlib.contextmanager
def _world() -> Iterator[RunStore]:
    """Yield a store whose changes are taken back."""
    database = _database()
    with database.engine.connect() as tx:
        try:
            yield RunStore(tx)
        finally:
            tx.rollback()


@contextlib.contextmanager
def refused() -> Iterator[None]:
    """Take the errors that people are told of; every other one is a finding."""
    with contextlib.suppress(HeadwayError):
        yield


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass" if b"\xed" in data else "replace")


def _pieces(data: bytes, count: int) -> list[str]:
    """Split an input into texts by lines."""
    try:
        text = _text(data)
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    parts = text.split("\n", count - 1)
    return parts + [""] * (count - len(parts))


def search_runs(data: bytes) -> None:
    """Filter, order and token of runs, down to SQLite."""
    text, order, token = _pieces(data, 3)
    with _world() as store, refused():
        clauses = parse_filter(text)
        orders = parse_orders([order] if order else [], RUNS)
        query = Query(exps=(0, 1), stages=("active",), clauses=clauses, orders=orders, limit=3, token=token)
        ids, after = find_runs(store.link, query)
        assert len(ids) <= 3
        if after:
            more, _ = find_runs(store.link, replace(query, token=after))
            assert token or not set(ids) & set(more)


def search_others(data: bytes) -> None:
    """Filters and orders of experiments, models, versions and logged models."""
    text, order, token = _pieces(data, 3)
    with _world() as store:
        with refused():
            orders = [order] if order else []
            search_experiments(
                store.experiments, stages=("active",), max_results=2, filter_text=text, order_by=orders, token=token
            )
        for grammar, search in ((MODELS, search_models), (VERSIONS, search_versions)):
            with refused():
                clauses = parse_filter(text, grammar)
                search(store.tx, clauses, parse_orders([order] if order else [], grammar), limit=2)
        with refused():
            wanted = [(parse_order(order, LOGGED), "", "")] if order else []
            search_logged(store.tx, [0], parse_filter(text, LOGGED), wanted, limit=2)


def page_tokens(data: bytes) -> None:
    """Every reader of a token, with the bytes as they are and as base64 of them."""
    for text in (data.decode("latin-1"), base64.b64encode(data).decode()):
        for read in (find._read_token, offsets.read_offset, registry_search.offset_of):
            with refused():
                read(text)
        with refused():
            registry_search._logged_offset(registry_search.SearchLogged(page_token=text))
    with _world() as store, refused():
        find_runs(store.link, Query(exps=(0,), stages=("active",), token=base64.urlsafe_b64encode(data).decode()))


def keys(data: bytes) -> None:
    """Keys of artifacts: what comes through stays below its root, however often it is decoded or normalised."""
    text = _pieces(data, 1)[0]
    for read in (checked_key, decoded_key, lambda each: joined_key("0/run/artifacts", each)):
        with refused():
            found = read(text)
            assert posixpath.normpath(found) == found
            assert not found.startswith("/")
            assert ".." not in found.split("/")
            assert "\0" not in found
            assert "\\" not in found
            assert len(found.encode()) <= 4096


def sources(data: bytes) -> None:
    """Sources of versions and locations of experiments: none that leads below another thing, or onto this machine."""
    source, run, model = _pieces(data, 3)
    with _world() as store:
        known = store.link.one("select uuid from run limit 1")
        assert known is not None
        run = known[0] if run == "R" else run
        source = source.replace("{R}", known[0])
        for is_prompt in (False, True):
            with refused():
                found = resolve_source(store.tx, source, run_id=run, model_id=model, is_prompt=is_prompt)
                if found.key:
                    assert ".." not in found.key.split("/")
                    assert found.key == f"0/{known[0]}/artifacts" or found.key.startswith(f"0/{known[0]}/artifacts/")
    with refused():
        place = checked_location(source)
        assert not place.lower().startswith(("file", "/"))
        assert ".." not in place.split("/")


@cache
def _routes() -> dict[str, Route]:
    return {f"{each.method} {each.path}": each for each in ROUTES if isinstance(each, Route)}


@cache
def _decoders() -> list[tuple[Route, Decoder]]:
    return [(route, Decoder(route)) for route in _routes().values()]


def _asked(data: bytes) -> tuple[Route, Decoder, bytes]:
    line, _, rest = data.partition(b"\n")
    names = list(_routes())
    name = line.decode("latin-1")
    at = names.index(name) if name in _routes() else zlib.crc32(line) % len(names)
    return *_decoders()[at], rest


def messages(data: bytes) -> None:
    """The message of each route, from a body and from a query."""
    route, decoder, rest = _asked(data)
    for read in (decoder.body, decoder.query):
        with refused():
            assert isinstance(read(rest), route.message)


def answers(data: bytes) -> None:
    """The answer of each route to a message, in a transaction that is taken back: whatever else it raises is a 500."""
    route, decoder, rest = _asked(data)
    with _world() as store, refused():
        known = store.link.one("select uuid from run limit 1")
        assert known is not None
        rest = rest.replace(b"{R}", known[0].encode())
        message = decoder.query(rest) if route.method == "GET" else decoder.body(rest)
        principal = Authenticator(_database(), SystemClock(), mode="none").authenticate(None)
        path = {"model_id": "m-" + "0" * 32, "key": "t"}
        route.answer(Call(principal=principal, store=store, path=path), message)


@cache
def _graph_call() -> StreamCall:
    folder = Path(tempfile.mkdtemp(prefix="headway-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    nobody: Any = None  # a query is not written, and has no connection of its own
    return StreamCall(
        principal=Authenticator(_database(), SystemClock(), mode="none").authenticate(None),
        path={},
        scope=nobody,
        receive=nobody,
        send=nobody,
        database=_database(),
        writer=nobody,
        blobs=FolderStore(folder),
    )


def documents(data: bytes) -> None:
    """GraphQL with its variables, down to the answer, which is JSON."""
    query, variables, name = _pieces(data, 3)
    with refused():
        found = answered(_graph_call(), query, plain_object(variables.encode()), name)
        assert set(found) == {"data", "errors"}
        msgspec.json.encode(found)


def comments(data: bytes) -> None:
    """Comments of anybody; a command that was understood is understood again from its own spelling."""
    text = _pieces(data, 1)[0]
    has_command(text)
    for found in (*parse_comment(text), *parse_comment(text, {"ship": "/deploy production"})):
        if isinstance(found, ParsedCommand):
            again = parse_comment(format_command(found))
            assert [each for each in again if isinstance(each, ParsedCommand)], format_command(found)


def configs(data: bytes) -> None:
    """headway.yaml of a change that nobody has looked at."""
    with refused():
        read_project(data)


def hooks(data: bytes) -> None:
    """Deliveries that are signed, by a GitHub that sends what it never did."""
    with refused():
        event = _EVENTS[data[0] % len(_EVENTS)] if data else "push"
        hook = Hook(event=event, delivery="d", data=read_payload(data[1:]))
        repository_of(hook)
        installation_of(hook)
        check_kind(hook)
        Reader(app_id=1, bot="headway[bot]").read(hook, datetime(2026, 1, 1, tzinfo=UTC))


def archives(data: bytes) -> None:
    """What a pod sends as its outputs: taken apart whole or refused, and nothing beside the folder."""
    for links in (False, True):
        for tried in (data, _summed(data)):
            with tempfile.TemporaryDirectory(prefix="headway-fuzz-") as room:
                folder = Path(room, "out")
                folder.mkdir()
                with contextlib.suppress(BadArchive):
                    found = unpack(io.BytesIO(tried), folder, limits=Limits(bytes=8192, entries=20), links=links)
                    assert found.bytes <= 8192, found
                assert [each.name for each in Path(room).iterdir()] == ["out"]
                for each in folder.rglob("*"):
                    assert each.resolve().is_relative_to(folder.resolve()), each
                    assert links or not each.is_symlink(), each


def _summed(data: bytes) -> bytes:
    """Give every block the checksum that lets it through as a header."""
    blocks = [bytearray(data[start : start + 512].ljust(512, b"\0")) for start in range(0, len(data), 512)]
    for block in blocks:
        if any(block):
            block[148:156] = b"%06o\0 " % (sum(block[:148]) + 256 + sum(block[156:]))
    return b"".join(map(bytes, blocks)) + b"\0" * 1024


def deliveries(data: bytes) -> None:
    """What a pod says of its beginning and end: kept so that the engine can read it, or refused."""
    with tempfile.TemporaryDirectory(prefix="headway-fuzz-") as room, refused():
        folder = Path(room)
        (folder / "attempt.json").touch()
        for shape, keep in ((StartRecord, Delivered.begin), (ExitRecord, partial(Delivered.finish, uid=""))):
            try:
                record = msgspec.json.decode(data, type=shape)
            except (ValueError, RecursionError):  # as `Call.body` turns them into a UsageError
                continue
            keep(Delivered(folder), record)  # type: ignore[operator]  # each has its own shape
            AttemptFolder(folder).begun()
            AttemptFolder(folder).exit_record()


TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each
    for each in (
        *(
            search_runs,
            search_others,
            page_tokens,
            keys,
            sources,
            messages,
            answers,
            documents,
            comments,
            configs,
            hooks,
            archives,
            deliveries,
        ),
    )
}
