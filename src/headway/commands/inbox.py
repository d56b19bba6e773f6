"""What the forges told us, kept before anything is done with it; each happening once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec
from sqlalchemy import Connection, Row, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from headway.db import events, schema
from headway.forges.head_store import HeadStore
from headway.forges.model import (
    BranchPushed,
    ChangeLabelled,
    ChangeMoved,
    CheckPressed,
    CommentCreated,
    Dispatched,
    Event,
    QueueEntered,
)
from headway.ids import digest_of

MOST_TRIES = 8
_QUEUE_LOOK = 500
SAME_CALL = timedelta(minutes=10)
_SHOWS_HEAD = frozenset({"opened", "reopened", "pushed"})
_KINDS: dict[str, type[Event]] = {
    "comment_created": CommentCreated,
    "change_moved": ChangeMoved,
    "branch_pushed": BranchPushed,
    "change_labelled": ChangeLabelled,
    "check_pressed": CheckPressed,
    "queue_entered": QueueEntered,
    "dispatched": Dispatched,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


class InboxState(StrEnum):
    """new -> done | ignored | dead; nothing leaves the last three."""

    NEW = "new"
    DONE = "done"
    IGNORED = "ignored"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One happening at a forge, as it waits or was dealt with."""

    id: int
    forge: str
    repo_id: str
    event: Event
    received_at: datetime
    state: InboxState = InboxState.NEW
    tries: int = 0
    next_at: datetime | None = None
    error: str = ""


class InboxStore:
    """The inbox of one transaction."""

    def __init__(self, tx: Connection) -> None:
        """Speak to the database through `tx`."""
        self._tx = tx

    def add(self, event: Event, *, forge: str, at: datetime) -> int | None:
        """Keep an event and return its number; None when this happening is here already.

        The same comment may arrive by two doors, under two delivery ids: its own identity decides too. Another
        system's call has nothing that tells two of them apart: word for word the same is one for ten minutes.
        """
        if isinstance(event, ChangeMoved) and event.action in _SHOWS_HEAD:
            change = event.change
            HeadStore(self._tx).note(change.repo_id, change.number, change.head_sha, at)
        insert = sqlite.insert if self._tx.dialect.name == "sqlite" else postgresql.insert
        row = (
            insert(schema.inbox)
            .values(
                forge=forge,
                repo_id=_repo_of(event),
                delivery_id=event.delivery if len(event.delivery) <= 128 else digest_of(event.delivery),
                body_key=self._key(event, forge=forge, at=at),
                event=_NAMES[type(event)],
                body=event,
                received_at=at,
                state=InboxState.NEW,
                tries=0,
                error="",
            )
            .on_conflict_do_nothing()
            .returning(schema.inbox.c.id)
        )
        return self._tx.execute(row).scalar()

    def has(self, event: Event, *, forge: str, at: datetime) -> bool:
        """Whether this happening is here already, under whatever delivery id: `add` would not keep it."""
        table = schema.inbox.c
        same = or_(table.body_key == self._key(event, forge=forge, at=at), table.delivery_id == event.delivery)
        return self._tx.execute(select(table.id).where(table.forge == forge, same).limit(1)).scalar() is not None

    def _key(self, event: Event, *, forge: str, at: datetime) -> str:
        key = body_key(event)
        if not isinstance(event, Dispatched) or not event.identity:
            return key
        # By the ten minutes in which it came: both that it can be in are looked up as they stand in the index.
        period = int(at.timestamp() // SAME_CALL.total_seconds())
        table = schema.inbox.c
        near = select(table.body_key).where(
            table.forge == forge,
            table.body_key.in_((f"{key}:{period}", f"{key}:{period - 1}")),
            table.received_at > at - SAME_CALL,
        )
        return self._tx.execute(near.limit(1)).scalar() or f"{key}:{period}"

    def next_new(self, *, at: datetime, limit: int = 50) -> tuple[Delivery, ...]:
        """Return what waits and may be tried at this instant, in order of arrival."""
        table = schema.inbox.c
        query = (
            select(schema.inbox)
            .where(table.state == InboxState.NEW, or_(table.next_at.is_(None), table.next_at <= at))
            .order_by(table.id)
            .limit(limit)
        )
        return tuple(_delivery(row) for row in self._tx.execute(query))

    def get(self, number: int) -> Delivery | None:
        """Return one delivery in whatever state, None when there is none."""
        row = self._tx.execute(select(schema.inbox).where(schema.inbox.c.id == number)).first()
        return None if row is None else _delivery(row)

    def entered(self, repo_id: str, sha: str) -> QueueEntered | None:
        """Return how a merge queue told of its commit; None when it did not, or too many entries ago."""
        table = schema.inbox.c
        query = select(table.body).where(table.repo_id == repo_id, table.event == _NAMES[QueueEntered])
        for body in self._tx.execute(query.order_by(table.id.desc()).limit(_QUEUE_LOOK)).scalars():
            if body.get("sha") == sha:
                return msgspec.convert(body, type=QueueEntered)
        return None

    def done(self, number: int) -> bool:
        """Mark a delivery as dealt with; False when it was not new any more."""
        return self._end(number, InboxState.DONE, error="")

    def ignored(self, number: int, *, why: str) -> bool:
        """Mark a delivery as nothing to us, and why; False when it was not new any more."""
        return self._end(number, InboxState.IGNORED, error=why)

    def postpone(self, number: int, *, error: str, until: datetime) -> None:
        """Leave a delivery for later without counting a try: the forge is away, and comes back."""
        table = schema.inbox.c
        self._tx.execute(
            update(schema.inbox)
            .where(table.id == number, table.state == InboxState.NEW)
            .values(next_at=until, error=error[:2000]),
        )

    def failed(self, number: int, *, error: str, at: datetime) -> InboxState:
        """Count a try that failed and return the state: new, to be tried later, or dead after the last.

        Waits double from one second, at most five minutes.
        """
        table = schema.inbox.c
        tries = self._tx.execute(
            update(schema.inbox)
            .where(table.id == number, table.state == InboxState.NEW)
            .values(tries=table.tries + 1, error=error[:2000])
            .returning(table.tries),
        ).scalar()
        if tries is None:
            found = self.get(number)
            return InboxState.DEAD if found is None else found.state
        if tries < MOST_TRIES:
            wait = timedelta(seconds=min(2 ** (tries - 1), 300))
            self._tx.execute(update(schema.inbox).where(table.id == number).values(next_at=at + wait))
            return InboxState.NEW
        self._end(number, InboxState.DEAD, error=error)
        events.record(
            self._tx,
            "inbox",
            str(number),
            from_state=InboxState.NEW,
            to_state=InboxState.DEAD,
            at=at,
            actor="headway",
            reason=error[:2000],
        )
        return InboxState.DEAD

    def _end(self, number: int, state: InboxState, *, error: str) -> bool:
        table = schema.inbox.c
        ended = self._tx.execute(
            update(schema.inbox)
            .where(table.id == number, table.state == InboxState.NEW)
            .values(state=state, error=error[:2000], next_at=None),
        )
        return ended.rowcount == 1


def body_key(event: Event) -> str:
    """Return the identity of a happening itself, whoever delivers it.

    A comment exists once. Of other things the forge's own words tell, its times included: a delivery's id is not
    signed. Without them (found by looking) the delivery alone counts: a branch may be pushed to and fro between the
    same two commits, and a move may be dealt with twice without harm.
    """
    if isinstance(event, CommentCreated):
        key = f"comment:{event.change.repo_id}:{event.comment.id}"
    elif event.identity:
        key = f"told:{event.identity}"
    else:
        key = f"delivery:{event.delivery}"
    return key if len(key) <= 128 else digest_of(key)


def _repo_of(event: Event) -> str:
    return event.change.repo_id if isinstance(event, CommentCreated | ChangeMoved | ChangeLabelled) else event.repo_id


def _delivery(row: Row[tuple[object, ...]]) -> Delivery:
    found = row._mapping  # noqa: SLF001  # SQLAlchemy's documented name for a row by column
    return Delivery(
        id=found["id"],
        forge=found["forge"],
        repo_id=found["repo_id"],
        event=msgspec.convert(found["body"], type=_KINDS[found["event"]]),
        received_at=found["received_at"],
        state=InboxState(found["state"]),
        tries=found["tries"],
        next_at=found["next_at"],
        error=found["error"],
    )
