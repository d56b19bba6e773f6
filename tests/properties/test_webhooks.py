"""Whatever is signed and sent: read, ignored or refused, kept in the inbox or not, and never a crash."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes.github import oracle
from fakes.github.world import GitHubWorld
from headway.commands.inbox import InboxStore, body_key
from headway.db.connection import Database, open_database
from headway.db.migrate import migrate
from headway.errors import HeadwayError
from headway.forges.github.reading import Ignored, Reader
from headway.forges.github.webhook import KINDS, Hook, check_kind, open_delivery, sign
from headway.forges.model import CommentCreated

READER = Reader(app_id=4242, bot="headway-test[bot]")
NOW = datetime.now(UTC)
SECRET = "a secret of these tests"
CALM = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def payloads(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, dict[str, Any]]]:
    world = GitHubWorld(tmp_path_factory.mktemp("world") / "g.git")
    world.commit("main", {"a": "b"})
    world.commit("better", {"a": "c"})
    world.open_pull("better")
    world.comment(1, "ada", "/train")
    world.label(1, "train")
    world.queue(1)
    world.dispatch("retrain", {"a": 1})
    recorded = [(name, each) for name in sorted(KINDS) for each in oracle.webhook_examples()[name][:2]]
    return [(each.event, each.payload) for each in world.deliveries] + recorded


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = open_database(f"sqlite:///{tmp_path_factory.mktemp('db') / 'x.db'}")
    migrate(database)
    yield database
    database.close()


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield (*at, name)
            if len(at) < 2:
                yield from places(each, (*at, name))


@CALM
@given(data=st.data())
def test_a_payload_with_anything_in_any_place_breaks_nothing(
    payloads: list[tuple[str, dict[str, Any]]], database: Database, data: st.DataObject
) -> None:
    event, payload = data.draw(st.sampled_from(payloads))
    changed = copy.deepcopy(payload)
    for place in data.draw(st.lists(st.sampled_from(list(places(payload))), min_size=1, max_size=3)):
        holder: Any = changed
        for name in place[:-1]:
            holder = holder.get(name) if isinstance(holder, dict) else None
        if isinstance(holder, dict):
            holder[place[-1]] = data.draw(VALUES)
    body = json.dumps(changed).encode()
    headers = {"x-github-event": event, "x-github-delivery": "d", "x-hub-signature-256": sign(body, SECRET)}
    try:
        hook = open_delivery(headers, body, (SECRET,))
        assert hook is not None
        found = READER.read(hook, NOW)
    except HeadwayError as error:
        assert error.status in (400, 403)  # noqa: PT017  # what it is, is what is tested
        return
    if isinstance(found, Ignored):
        assert found.why
        return
    assert len(body_key(found)) <= 128
    with database.write() as tx:
        store = InboxStore(tx)
        number = store.add(found, forge="github", at=NOW)
        again = store.add(found, forge="github", at=NOW)
        assert number is not None
        assert again is None
        kept = store.get(number)
        assert kept is not None
        assert kept.event == found
        tx.rollback()


@CALM
@given(body=st.binary(max_size=300), event=st.sampled_from(sorted(KINDS)))
def test_signed_bytes_of_any_kind_are_a_delivery_or_are_refused(body: bytes, event: str) -> None:
    headers = {"x-github-event": event, "x-github-delivery": "d", "x-hub-signature-256": sign(body, SECRET)}
    with pytest.raises(HeadwayError):
        open_delivery(headers, body, (SECRET,))


@CALM
@given(
    order=st.permutations(range(6)),
    ids=st.lists(st.sampled_from(["a", "b", "c"]), min_size=6, max_size=6),
    twice=st.data(),
)
def test_in_whatever_order_and_under_whatever_ids_each_comment_is_kept_once(
    payloads: list[tuple[str, dict[str, Any]]],
    database: Database,
    order: list[int],
    ids: list[str],
    twice: st.DataObject,
) -> None:
    """Rule 2: delivery id and comment id both decide."""
    base = next(
        payload for event, payload in payloads if event == "issue_comment" and "pull_request" in payload["issue"]
    )
    sent = [*order, *twice.draw(st.lists(st.sampled_from(order), max_size=6))]
    with database.write() as tx:
        store = InboxStore(tx)
        for place, number in enumerate(sent):
            payload = {**base, "comment": {**base["comment"], "id": 1000 + number}}
            hook = Hook(event="issue_comment", delivery=f"{number}-{ids[place % 6]}", data=payload)
            check_kind(hook)
            found = READER.read(hook, NOW)
            assert isinstance(found, CommentCreated)
            store.add(found, forge="github", at=NOW)
        kept = [each.event for each in store.next_new(at=NOW, limit=100)]
        tx.rollback()
    assert sorted(each.comment.id for each in kept if isinstance(each, CommentCreated)) == [
        str(1000 + number) for number in range(6)
    ]
