"""The schema whole, with the indexes on some rows of a table: what makes or compares tables takes it from here.

They are apart because naming PostgreSQL in them loads its dialect, a twentieth of the CPU of a start on SQLite.
"""

from __future__ import annotations

from sqlalchemy import Index

from headway.db.schema import attempt, metadata, outbox, run

__all__ = ["metadata"]

# At most one live attempt per task (reliability.md, invariant 3).
_LIVE = attempt.c.state.in_(("launching", "running"))
Index("uq_attempt_live", attempt.c.task_id, unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE)

# Asked every tick: without it each would read all that was ever said.
_UNSENT = outbox.c.want_rev > outbox.c.sent_rev
Index("ix_outbox_unsent", outbox.c.next_at, sqlite_where=_UNSENT, postgresql_where=_UNSENT)

_IN_TRASH = run.c.deleted_time.is_not(None)
Index("ix_run_deleted", run.c.deleted_time, sqlite_where=_IN_TRASH, postgresql_where=_IN_TRASH)
