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


def want(tx: Connection, wanted: Wanted, at: datetime) -> bool:
    """Make this the wanted state; return whether it differs from what was wanted before."""
    kind, key = _key(wanted)
    body = msgspec.json.decode(msgspec.json.encode(wanted))  # as it will be read back: lists, no tuples
    known = tx.execute(
        select(schema.outbox.c.want_body, schema.outbox.c.want_rev).where(schema.outbox.c.coalesce_key == key),
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
    tx.execute(
        update(schema.outbox)
        .where(schema.outbox.c.coalesce_key == key)
        .values(want_body=body, want_rev=known.want_rev + 1, next_at=at, tries=0, dead=""),
    )
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
            return "deployment", f"deployment:{wanted.repo_id}:{wanted.environment}:{wanted.sha}"
