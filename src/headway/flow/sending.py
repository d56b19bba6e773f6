"""The outbox is worked off: sent until it stands, in series for a repository, slower while a forge is away."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, select, update

from headway.app import App
from headway.db import schema
from headway.errors import HeadwayError, NotFound, Refused, Throttled
from headway.flow.background import Background
from headway.flow.outbox import KINDS
from headway.flow.repos import forge_of
from headway.forges.local import NAME as LOCAL
from headway.logs import logger

# Live edits at a forge over the network: nobody reads a comment four times a second (github.md, 4.6).
FAR_LIVE_EVERY = timedelta(seconds=15)
MAX_TRIES = 12
AT_ONCE = 50
_LONGEST_AWAY = 60.0  # seconds: after an outage all must stand within two minutes
_LONGEST = 300.0


def send_waiting(app: App, background: Background, now: datetime) -> bool:
    """Send what does not stand yet: here at once, to a forge over the network beside the loops, in order."""
    with app.database.read() as tx:
        near = _due(tx, now, schema.repo.c.forge == LOCAL)
        # Each repository its own: what waits for one that is slow must not be all that is looked at.
        far = {
            repo_id: _due(tx, now, schema.outbox.c.repo_id == repo_id)
            for repo_id in _far(tx, now)
            if not background.is_running(f"send:{repo_id}")
        }
    for row in near:
        _send_one(app, row)
    for repo_id, waiting in far.items():
        # One after the other for a repository: GitHub asks for writes in series.
        background.run(f"send:{repo_id}", partial(_send_all, app, waiting))
    return bool(near)


def _is_due(now: datetime) -> tuple[ColumnElement[bool], ...]:
    table = schema.outbox.c
    return table.want_rev > table.sent_rev, table.dead == "", table.next_at <= now


def _far(tx: Connection, now: datetime) -> list[str]:
    """Return the repositories at forges over the network for which something is due."""
    table, repo = schema.outbox.c, schema.repo.c
    query = select(table.repo_id).join(schema.repo, repo.id == table.repo_id).where(*_is_due(now), repo.forge != LOCAL)
    return list(tx.execute(query.distinct()).scalars())


def _due(tx: Connection, now: datetime, where: ColumnElement[bool]) -> list[Row[Any]]:
    table = schema.outbox.c
    query = (
        select(schema.outbox, schema.repo.c.forge)
        .join(schema.repo, schema.repo.c.id == table.repo_id)
        .where(*_is_due(now), where)
        # Whatever failed before comes last: one that GitHub never takes must not stand before all others.
        .order_by(table.tries, table.next_at)
        .limit(AT_ONCE)
    )
    return list(tx.execute(query).all())


def _send_all(app: App, rows: list[Row[Any]]) -> None:
    has_sent = False
    for row in rows:
        away_until = _send_one(app, row)
        has_sent = has_sent or away_until is None
        if away_until is not None and not has_sent:
            # The forge itself is away, or asks for silence: one knock at a time is enough for a repository.
            _pause(app, row.repo_id, away_until)
            return


def _pause(app: App, repo_id: str, until: datetime) -> None:
    table = schema.outbox.c
    waiting = (table.repo_id == repo_id, table.want_rev > table.sent_rev, table.dead == "", table.next_at < until)
    with app.database.write() as tx:
        tx.execute(update(schema.outbox).where(*waiting).values(next_at=until))


def _send_one(app: App, row: Row[Any]) -> datetime | None:
    """Try one; return until when its forge is away, where that is why it failed."""
    now, away_until = app.clock.now(), None
    values: dict[str, Any]
    try:
        wanted = msgspec.convert(row.want_body, KINDS[row.kind])
        receipt = forge_of(app, row.repo_id).deliver(wanted)
    except Throttled as error:
        away_until = error.until
        values = {"next_at": error.until, "problem": _told(error)}
    except Exception as error:  # noqa: BLE001  # one that cannot be sent must not hold up all others
        logger().warning("not delivered", what=row.coalesce_key, error=str(error))
        values = _after_failure(row, error, now)
        if isinstance(error, HeadwayError) and error.retryable and not values.get("dead"):
            away_until = values["next_at"]
    else:
        values = {"sent_rev": row.want_rev, "remote_id": receipt.remote_id, "tries": 0, "problem": ""}
        if row.forge != LOCAL:
            values["next_at"] = app.clock.now() + FAR_LIVE_EVERY  # for what is live; whatever has ended goes at once
    _keep(app, row, values)
    return away_until


def _after_failure(row: Row[Any], error: Exception, now: datetime) -> dict[str, Any]:
    """A forge that is away comes back, and what is wanted must then stand there soon; a defect of ours ends."""
    if isinstance(error, NotFound):
        return {"dead": error.message, "problem": _told(error)}
    is_away = isinstance(error, HeadwayError) and error.retryable
    wait = timedelta(seconds=min(2.0 ** (row.tries + 1), _LONGEST_AWAY if is_away else _LONGEST))
    values: dict[str, Any] = {"tries": row.tries + 1, "next_at": now + wait, "problem": _told(error)}
    # A permission or a key can be mended by somebody: the wish stands until then.
    if row.tries + 1 >= MAX_TRIES and not is_away and not isinstance(error, Refused):
        values["dead"] = str(error)[:2000] or type(error).__name__
    return values


def _keep(app: App, row: Row[Any], values: dict[str, Any]) -> None:
    table = schema.outbox.c
    with app.database.write() as tx:
        # Something newer may be wanted by now: what became of the older says nothing of that.
        is_same = table.want_rev == row.want_rev
        where = table.coalesce_key == row.coalesce_key
        if (
            "sent_rev" in values
            and not tx.execute(update(schema.outbox).where(where, is_same).values(**values)).rowcount
        ):
            tx.execute(
                update(schema.outbox)
                .where(where)
                .values({name: values[name] for name in ("sent_rev", "remote_id", "tries", "problem")})
            )
        elif "sent_rev" not in values:
            tx.execute(update(schema.outbox).where(where, is_same).values(**values))


def _told(error: Exception) -> str:
    if isinstance(error, HeadwayError):
        return ": ".join(part for part in (error.message, error.cause) if part)[:500]
    return f"{type(error).__name__}: {error}"[:500]


@dataclass(frozen=True, slots=True, kw_only=True)
class Undelivered:
    """One thing that does not stand at its forge as it should, and why."""

    repo: str
    kind: str
    what: str  # the place: a change, a commit, an environment
    tries: int
    next_at: datetime | None  # None = given up
    why: str


def undelivered(tx: Connection, now: datetime, *, limit: int = 50) -> list[Undelivered]:
    """Return what has been tried and does not stand, or was given up; given up first, then by the next try."""
    table, repo = schema.outbox.c, schema.repo.c
    is_stuck = (table.dead != "") | (table.problem != "") | (table.next_at < now - timedelta(minutes=1))
    query = (
        select(schema.outbox, repo.name)
        .join(schema.repo, repo.id == table.repo_id)
        .where(table.want_rev > table.sent_rev, table.kind != "told", is_stuck)
        .order_by(table.dead == "", table.next_at)
        .limit(limit)
    )
    return [_undelivered(row) for row in tx.execute(query)]


def _undelivered(row: Row[Any]) -> Undelivered:
    body: dict[str, Any] = row.want_body
    places = {
        "comment": f"comment under change {body.get('number')}",
        "reaction": f"sign on a comment of change {body.get('number')}",
        "status": f"{body.get('context')} at {str(body.get('sha'))[:12]}",
        "deployment": f"deployment to {body.get('environment')}",
    }
    return Undelivered(
        repo=row.name,
        kind=row.kind,
        what=places.get(row.kind, row.coalesce_key),
        tries=row.tries,
        next_at=None if row.dead else row.next_at,
        why=row.dead or row.problem or "not tried yet",
    )
