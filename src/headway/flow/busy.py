"""Whether a server has something to do, or to wait for, although nobody asks it anything."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from headway.commands.model import CommandState
from headway.commands.store import CommandStore
from headway.errors import HeadwayError
from headway.jobs.store import JobStore
from headway.logs import logger
from headway.serving.store import ReleaseStore
from headway.tracking.purge import is_pending

if TYPE_CHECKING:
    from headway.clock import Clock
    from headway.db.connection import Database

# One that has not come to its end by then is held up by something, and goes on whenever a server runs.
_PURGES_WITHIN = timedelta(days=1)


def is_busy(database: Database, clock: Clock) -> bool:
    """Whether there is work under way; yes where the database cannot be asked."""
    try:
        with database.read() as tx:
            jobs = JobStore(tx)
            asked = CommandStore(tx).in_state(CommandState.ACCEPTED, limit=1)
            is_purging = is_pending(tx, since=clock.now() - _PURGES_WITHIN)
            return bool(asked or is_purging or jobs.unfinished() or jobs.unsettled() or ReleaseStore(tx).unfinished())
    except HeadwayError as error:
        # A database that is away for a moment must not end the watching.
        logger().warning("cannot tell whether there is work", error=error.message)
        return True
