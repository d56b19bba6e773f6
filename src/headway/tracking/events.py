"""Events of runs and experiments, through the hot path's own statements."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headway.tracking.link import Link


def note(
    link: Link,
    entity: str,
    entity_id: str,
    *,
    to_state: str,
    at: int,
    actor: str,
    from_state: str | None = None,
) -> None:
    """Append one event, as `db.events.record` does."""
    link.run(
        "insert into event (entity, entity_id, from_state, to_state, reason, actor, at) values (?, ?, ?, ?, '', ?, ?)",
        (entity, entity_id, from_state, to_state, actor, at),
    )
