"""The records of the local forge: changes, comments, statuses, deployments, and what happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import and_, func, select, update

from headway.db import schema
from headway.forges.model import (
    BranchPushed,
    ChangeMoved,
    ChangeState,
    CommentCreated,
    Event,
    PostedComment,
    StatusState,
    WantedDeployment,
    WantedStatus,
)
from headway.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

_EVENTS: dict[str, type[Event]] = {"comment": CommentCreated, "change": ChangeMoved, "branch": BranchPushed}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRow:
    """A change as kept: its head as last seen, not as it stands at this moment."""

    repo_id: str
    number: int
    title: str
    author: str
    state: ChangeState
    head_ref: str
    base_ref: str
    head_sha: str
    from_fork: bool
    merged_sha: str | None
    opened_at: datetime
    closed_at: datetime | None


class LocalChanges:
    """Changes and branches as last seen, and the events of a repository, inside one transaction."""

    def __init__(self, tx: Connection) -> None:
        """Work inside the caller's transaction."""
        self._tx = tx

    def lock(self, repo_id: str) -> None:
        """Let nobody else write of this repository until the transaction ends.

        On PostgreSQL an event could otherwise become visible after a later one, when readers are past it.
        """
        self._tx.execute(select(schema.repo.c.id).where(schema.repo.c.id == repo_id).with_for_update())

    def next_number(self, repo_id: str) -> int:
        """Return the number that a new change gets, under `lock`."""
        highest = select(func.max(schema.local_change.c.number)).where(schema.local_change.c.repo_id == repo_id)
        return (self._tx.execute(highest).scalar() or 0) + 1

    def add(self, row: ChangeRow) -> None:
        """Keep a new change."""
        self._tx.execute(schema.local_change.insert().values(_plain(row)))

    def find(self, repo_id: str, number: int) -> ChangeRow | None:
        """Return one change; None when there is none of that number."""
        found = self._tx.execute(select(schema.local_change).where(_change(repo_id, number))).one_or_none()
        return None if found is None else _row(found)

    def changes(self, repo_id: str, state: ChangeState | None = None) -> tuple[ChangeRow, ...]:
        """Return the changes of a repository, newest first."""
        table = schema.local_change
        query = select(table).where(table.c.repo_id == repo_id).order_by(table.c.number.desc())
        if state is not None:
            query = query.where(table.c.state == state.value)
        return tuple(_row(found) for found in self._tx.execute(query))

    def set_head(self, repo_id: str, number: int, *, before: str, after: str) -> bool:
        """Note a push; False when somebody else has noted it already."""
        where = and_(_change(repo_id, number), schema.local_change.c.head_sha == before)
        return self._tx.execute(update(schema.local_change).where(where).values(head_sha=after)).rowcount == 1

    def set_state(self, row: ChangeRow, state: ChangeState, *, at: datetime | None, merged_sha: str | None) -> bool:
        """Open, close or merge a change that is still as `row` says; False when it has moved on."""
        where = and_(_change(row.repo_id, row.number), schema.local_change.c.state == row.state.value)
        values = {"state": state.value, "closed_at": at, "merged_sha": merged_sha, "head_sha": row.head_sha}
        return self._tx.execute(update(schema.local_change).where(where).values(values)).rowcount == 1

    def branches(self, repo_id: str) -> dict[str, str]:
        """Return where each branch stood when it was last looked at."""
        table = schema.local_branch
        rows = self._tx.execute(select(table.c.name, table.c.sha).where(table.c.repo_id == repo_id))
        return {row.name: row.sha for row in rows}

    def set_branch(self, repo_id: str, name: str, sha: str | None) -> None:
        """Note where a branch stands; None when it is gone."""
        table = schema.local_branch
        self._tx.execute(table.delete().where(table.c.repo_id == repo_id, table.c.name == name))
        if sha is not None:
            self._tx.execute(table.insert().values(repo_id=repo_id, name=name, sha=sha))

    def append(self, repo_id: str, event: Event, *, at: datetime) -> None:
        """Append what happened, for `events_since`; its `delivery` is given here, once for all readers."""
        kind = next(name for name, of in _EVENTS.items() if isinstance(event, of))
        body = {"kind": kind, "event": {**_plain(event), "delivery": f"local-{new_id()}"}}
        self._tx.execute(schema.local_event.insert().values(repo_id=repo_id, body=body, at=at))

    def events_after(self, repo_id: str, seq: int, *, limit: int) -> list[tuple[int, Event]]:
        """Return events in order of happening, each with the cursor that continues after it."""
        table = schema.local_event
        query = select(table.c.seq, table.c.body).where(table.c.repo_id == repo_id, table.c.seq > seq)
        rows = self._tx.execute(query.order_by(table.c.seq).limit(limit))
        return [(row.seq, msgspec.convert(row.body["event"], type=_EVENTS[row.body["kind"]])) for row in rows]

    def last_event(self, repo_id: str) -> int:
        """Return the cursor behind everything that has happened; 0 when nothing has."""
        table = schema.local_event
        return self._tx.execute(select(func.max(table.c.seq)).where(table.c.repo_id == repo_id)).scalar() or 0


class LocalTalk:
    """Comments, statuses, reactions and deployments, inside one transaction."""

    def __init__(self, tx: Connection) -> None:
        """Work inside the caller's transaction."""
        self._tx = tx

    def add_comment(
        self, repo_id: str, number: int, *, author: str, body: str, is_ours: bool, at: datetime, marker: str = ""
    ) -> PostedComment:
        """Keep a comment; `marker` counts only with `is_ours`, since anybody can paste one."""
        values = {
            "repo_id": repo_id,
            "number": number,
            "author": author,
            "is_ours": is_ours,
            "marker": marker,
            "body": body,
            "created_at": at,
        }
        done = self._tx.execute(schema.local_comment.insert().values(values).returning(schema.local_comment.c.id))
        return PostedComment(
            id=str(done.scalar_one()),
            repo_id=repo_id,
            number=number,
            author=author,
            body=body,
            is_ours=is_ours,
            created_at=at,
        )

    def find_ours(self, repo_id: str, number: int, marker: str) -> PostedComment | None:
        """Return our own comment with a marker; a person's comment that carries it is not looked at."""
        table = schema.local_comment
        where = and_(table.c.repo_id == repo_id, table.c.number == number, table.c.marker == marker, table.c.is_ours)
        found = self._tx.execute(select(table).where(where).order_by(table.c.id).limit(1)).one_or_none()
        return None if found is None else _comment(found)

    def edit_comment(self, comment_id: str, body: str, *, at: datetime) -> None:
        """Replace the text of one comment."""
        table = schema.local_comment
        self._tx.execute(update(table).where(table.c.id == int(comment_id)).values(body=body, edited_at=at))

    def comments(self, repo_id: str, number: int) -> tuple[PostedComment, ...]:
        """Return the comments of a change, oldest first."""
        table = schema.local_comment
        where = and_(table.c.repo_id == repo_id, table.c.number == number)
        return tuple(_comment(row) for row in self._tx.execute(select(table).where(where).order_by(table.c.id)))

    def set_status(self, wanted: WantedStatus, *, at: datetime) -> None:
        """Keep the newest word of one context on one commit."""
        table = schema.local_status
        where = and_(table.c.repo_id == wanted.repo_id, table.c.sha == wanted.sha, table.c.context == wanted.context)
        self._tx.execute(table.delete().where(where))
        values = {name: getattr(wanted, name) for name in ("repo_id", "sha", "context", "title", "summary", "url")}
        self._tx.execute(table.insert().values(values | {"state": wanted.state.value, "updated_at": at}))

    def statuses(self, repo_id: str, sha: str) -> tuple[WantedStatus, ...]:
        """Return what stands at one commit, by context."""
        table = schema.local_status
        where = and_(table.c.repo_id == repo_id, table.c.sha == sha)
        rows = self._tx.execute(select(table).where(where).order_by(table.c.context))
        return tuple(_status(row) for row in rows)

    def contexts(self, repo_id: str) -> tuple[str, ...]:
        """Return every context that was ever reported in a repository."""
        table = schema.local_status
        rows = self._tx.execute(select(table.c.context).where(table.c.repo_id == repo_id).distinct())
        return tuple(sorted(rows.scalars()))

    def react(self, comment_id: str, content: str, *, at: datetime) -> None:
        """Put a sign on a comment, once."""
        table = schema.local_reaction
        where = and_(table.c.comment_id == int(comment_id), table.c.content == content)
        if self._tx.execute(select(table.c.content).where(where)).first() is None:
            self._tx.execute(table.insert().values(comment_id=int(comment_id), content=content, at=at))

    def reactions(self, comment_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return the signs on each of some comments, in order of their coming."""
        table = schema.local_reaction
        where = table.c.comment_id.in_([int(each) for each in comment_ids])
        found: dict[str, tuple[str, ...]] = {}
        for row in self._tx.execute(select(table).where(where).order_by(table.c.at, table.c.content)):
            key = str(row.comment_id)
            found[key] = (*found.get(key, ()), row.content)
        return found

    def set_deployment(self, wanted: WantedDeployment, *, at: datetime) -> str:
        """Keep the state of one commit in one environment and return the record's id.

        A success retires the environment's earlier successes: one of them serves.
        """
        table = schema.local_deployment
        place = and_(table.c.repo_id == wanted.repo_id, table.c.environment == wanted.environment)
        if wanted.state == "success":
            others = and_(place, table.c.sha != wanted.sha, table.c.state == "success")
            self._tx.execute(update(table).where(others).values(state="inactive", updated_at=at))
        values: dict[str, Any] = {
            "state": wanted.state,
            "description": wanted.description,
            "url": wanted.url,
            "payload": wanted.payload,
            "updated_at": at,
        }
        changed = self._tx.execute(
            update(table).where(place, table.c.sha == wanted.sha).values(values).returning(table.c.id),
        ).scalar_one_or_none()
        if changed is None:
            named = {"repo_id": wanted.repo_id, "sha": wanted.sha, "environment": wanted.environment}
            changed = self._tx.execute(table.insert().values(named | values).returning(table.c.id)).scalar_one()
        return str(changed)

    def deployments(self, repo_id: str) -> tuple[WantedDeployment, ...]:
        """Return the deployments of a repository, latest first."""
        table = schema.local_deployment
        rows = self._tx.execute(
            select(table).where(table.c.repo_id == repo_id).order_by(table.c.updated_at.desc(), table.c.id.desc()),
        )
        return tuple(
            WantedDeployment(
                repo_id=row.repo_id,
                sha=row.sha,
                environment=row.environment,
                state=row.state,
                description=row.description,
                url=row.url,
                payload=row.payload,
            )
            for row in rows
        )


def _change(repo_id: str, number: int) -> Any:
    return and_(schema.local_change.c.repo_id == repo_id, schema.local_change.c.number == number)


def _plain(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def _row(found: Any) -> ChangeRow:
    values = {name: getattr(found, name) for name in ChangeRow.__dataclass_fields__}
    return ChangeRow(**{**values, "state": ChangeState(found.state)})


def _comment(found: Any) -> PostedComment:
    return PostedComment(
        id=str(found.id),
        repo_id=found.repo_id,
        number=found.number,
        author=found.author,
        body=found.body,
        is_ours=found.is_ours,
        created_at=found.created_at,
        edited_at=found.edited_at,
    )


def _status(found: Any) -> WantedStatus:
    return WantedStatus(
        repo_id=found.repo_id,
        sha=found.sha,
        context=found.context,
        state=StatusState(found.state),
        title=found.title,
        summary=found.summary,
        url=found.url,
    )
