from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from headway.commands.inbox import MOST_TRIES, InboxState, InboxStore, body_key
from headway.db import schema
from headway.db.connection import Database
from headway.forges.model import BranchPushed, Change, ChangeMoved, ChangeState, CommentCreated, PostedComment

AT = datetime(2026, 11, 2, 14, 2, tzinfo=UTC)
CHANGE = Change(
    repo_id="gh:1",
    number=7,
    title="t",
    author="maria",
    state=ChangeState.OPEN,
    head_ref="f",
    head_sha="a" * 40,
    base_ref="main",
    base_sha="b" * 40,
    from_fork=False,
)
COMMENT = CommentCreated(
    delivery="d1",
    change=CHANGE,
    comment=PostedComment(
        id="31", repo_id="gh:1", number=7, author="maria", body="/train", is_ours=False, created_at=AT
    ),
)
MOVED = ChangeMoved(delivery="d2", action="pushed", change=CHANGE, actor="maria")
PUSHED = BranchPushed(delivery="d3", repo_id="gh:1", branch="main", before_sha=None, after_sha="c" * 40, actor="maria")


def test_events_come_back_whole_and_in_order(db: Database) -> None:
    with db.write() as tx:
        for event in (COMMENT, MOVED, PUSHED):
            assert InboxStore(tx).add(event, forge="github", at=AT) is not None
    with db.read() as tx:
        waiting = InboxStore(tx).next_new(at=AT)
        assert [each.event for each in waiting] == [COMMENT, MOVED, PUSHED]
        assert {(each.repo_id, each.forge, each.received_at) for each in waiting} == {("gh:1", "github", AT)}
        assert len(InboxStore(tx).next_new(at=AT, limit=2)) == 2


def test_a_delivery_is_kept_once(db: Database) -> None:
    with db.write() as tx:
        store = InboxStore(tx)
        number = store.add(MOVED, forge="github", at=AT)
        assert store.add(MOVED, forge="github", at=AT) is None
        assert store.add(MOVED, forge="gitlab", at=AT) is not None
        assert number is not None
        assert store.done(number)
        assert store.add(MOVED, forge="github", at=AT) is None, "also when it was dealt with"


def test_a_comment_by_two_doors_is_kept_once(db: Database) -> None:
    with db.write() as tx:
        store = InboxStore(tx)
        assert store.add(COMMENT, forge="github", at=AT) is not None
        assert store.add(replace(COMMENT, delivery="other"), forge="github", at=AT) is None
        other = replace(COMMENT, delivery="third", comment=replace(COMMENT.comment, id="32"))
        assert store.add(other, forge="github", at=AT) is not None


def test_the_same_move_may_happen_twice(db: Database) -> None:
    with db.write() as tx:
        store = InboxStore(tx)
        assert store.add(MOVED, forge="github", at=AT) is not None
        assert store.add(replace(MOVED, delivery="later"), forge="github", at=AT) is not None


def test_long_identities_fit_their_column(db: Database) -> None:
    long = replace(COMMENT, delivery="d" * 500, comment=replace(COMMENT.comment, id="9" * 300))
    assert len(body_key(long)) == 64
    with db.write() as tx:
        assert InboxStore(tx).add(long, forge="github", at=AT) is not None
        assert InboxStore(tx).add(replace(long, delivery="x"), forge="github", at=AT) is None


def test_what_was_dealt_with_waits_no_more(db: Database) -> None:
    with db.write() as tx:
        store = InboxStore(tx)
        first, second = store.add(COMMENT, forge="g", at=AT), store.add(MOVED, forge="g", at=AT)
        assert first is not None
        assert second is not None
        assert store.done(first)
        assert store.ignored(second, why="a repository that is not ours")
        assert not store.done(first)
        assert not store.ignored(first, why="late")
        assert store.next_new(at=AT) == ()
        ended = store.get(second)
        assert ended is not None
        assert (ended.state, ended.error) == (InboxState.IGNORED, "a repository that is not ours")
        assert store.get(99) is None


def test_a_failure_is_tried_again_later_and_dies_at_last(db: Database) -> None:
    at = AT
    with db.write() as tx:
        store = InboxStore(tx)
        number = store.add(COMMENT, forge="g", at=AT)
        assert number is not None
        for tries in range(1, MOST_TRIES):
            assert store.failed(number, error="forge is away", at=at) is InboxState.NEW
            assert store.next_new(at=at) == ()
            at += timedelta(minutes=5)
            (waiting,) = store.next_new(at=at)
            assert (waiting.tries, waiting.error) == (tries, "forge is away")
        assert store.failed(number, error="for good", at=at) is InboxState.DEAD
        assert store.failed(number, error="again", at=at) is InboxState.DEAD
        assert store.next_new(at=at + timedelta(days=1)) == ()
        dead = store.get(number)
        assert dead is not None
        assert (dead.state, dead.tries, dead.error) == (InboxState.DEAD, MOST_TRIES, "for good")
    with db.read() as tx:
        (event,) = tx.execute(select(schema.event).where(schema.event.c.entity == "inbox"))
        assert (event.from_state, event.to_state, event.reason) == ("new", "dead", "for good")


def test_the_first_failure_waits_a_second(db: Database) -> None:
    with db.write() as tx:
        store = InboxStore(tx)
        number = store.add(COMMENT, forge="g", at=AT)
        assert number is not None
        store.failed(number, error="x", at=AT)
        assert store.next_new(at=AT + timedelta(milliseconds=999)) == ()
        assert len(store.next_new(at=AT + timedelta(seconds=1))) == 1
