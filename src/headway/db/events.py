"""The append-only record of every state change, written in the transaction that makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headway.db import schema

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection


def record(
    connection: Connection,
    entity: str,
    entity_id: str,
    *,
    to_state: str,
    at: datetime,
    actor: str,
    from_state: str | None = None,
    reason: str = "",
    detail: Any = None,
) -> None:
    """Append one event: who made what of which thing, when and why."""
    connection.execute(
        schema.event.insert().values(
            entity=entity,
            entity_id=entity_id,
            from_state=from_state,
            to_state=to_state,
            reason=reason,
            actor=actor,
            at=at,
            detail=detail,
        ),
    )
