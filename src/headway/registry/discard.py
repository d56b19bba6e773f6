"""Logged models in the trash: out of it again, or removed for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, update

from headway.clock import to_millis
from headway.db import events, schema
from headway.registry.logged import LoggedModelStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from headway.clock import Clock


def restore_model(tx: Connection, model_id: str, *, clock: Clock, actor: str) -> None:
    """Take a logged model out of the trash; safe to repeat, `NotFound` when it is absent or being purged."""
    found = LoggedModelStore(tx, clock).get(model_id, allow_deleted=True)
    if found.stage == "active":
        return
    now = clock.now()
    table = schema.logged_model
    values = {"stage": "active", "deleted_time": None, "deleted_by": None, "last_update_time": to_millis(now)}
    tx.execute(update(table).where(table.c.id == model_id).values(**values))
    events.record(tx, "logged_model", model_id, from_state="deleted", to_state="active", at=now, actor=actor)


def remove_model_rows(tx: Connection, model_ids: Sequence[str]) -> None:
    """Remove everything that is recorded of logged models, their links to runs too; safe to repeat."""
    tx.execute(delete(schema.logged_text).where(schema.logged_text.c.model_id.in_(model_ids)))
    tx.execute(delete(schema.logged_metric).where(schema.logged_metric.c.model_id.in_(model_ids)))
    tx.execute(delete(schema.run_model).where(schema.run_model.c.model_id.in_(model_ids)))
    tx.execute(delete(schema.logged_model).where(schema.logged_model.c.id.in_(model_ids)))
