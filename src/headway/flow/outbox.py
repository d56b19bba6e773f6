"""What we want to stand at the forges: desired state by coalescing key, sent until it stands."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import Connection, select, update

from headway.db import schema
from headway.forges.model import (
    Wanted,
    WantedComment,
    WantedDeployment,
    WantedReaction,
    WantedStatus,
)

KINDS: dict[str, type[WantedComment | WantedStatus | WantedReaction | WantedDeployment]] = {
    "comment": WantedComment,
    "status": WantedStatus,
    "reaction": WantedReaction,
    "deployment": WantedDeployment,
}


def want(tx: Connection, wanted: Wanted, at: datetime, *, is_live: bool = False) -> bool:
    """Make this the wanted state; return whether it differs from what was wanted before.

    `is_live` is said of what will change again by itself soon: it waits for its place's next turn at the forge, where
    what has ended goes at once.
    """
    kind, key = _key(wanted)
    body = msgspec.json.decode(msgspec.json.encode(wanted))  # as it will be read back: lists, no tuples
    known = tx.execute(
        select(schema.outbox).where(schema.outbox.c.coalesce_key == key),
    ).first()
    if known is None:
        tx.execute(
            schema.outbox.insert().values(
                coalesce_key=key,
                repo_id=wanted.repo_id,
                kind=kind,
                want_body=body,
                next_at=at,
            ),
        )
        return True
    if known.want_body == body:
        return False
    values = {"want_body": body, "want_rev": known.want_rev + 1, "next_at": at, "dead": ""}
    if known.dead:
        values["tries"] = 0
    elif is_live or known.tries:
        values["next_at"] = max(at, known.next_at)
    tx.execute(update(schema.outbox).where(schema.outbox.c.coalesce_key == key).values(**values))
    return True


def _key(wanted: Wanted) -> tuple[str, str]:
    match wanted:
        case WantedComment():
            return "comment", f"comment:{wanted.repo_id}:{wanted.number}:{wanted.marker}"
        case WantedStatus():
            return "status", f"status:{wanted.repo_id}:{wanted.sha}:{wanted.context}"
        case WantedReaction():
            return "reaction", f"reaction:{wanted.repo_id}:{wanted.comment_id}:{wanted.content}"
        case WantedDeployment():
            # A release is one record; the same commit may be released again, and is put back by a release of its own.
            of = wanted.payload.get("release") or wanted.sha
            return "deployment", f"deployment:{wanted.repo_id}:{wanted.environment}:{of}"
