"""Code from a fork runs only when a maintainer has approved that exact commit (github.md, 18)."""

from __future__ import annotations

from sqlalchemy import select

from headway.app import App
from headway.commands.model import Command
from headway.db import schema
from headway.db.events import record
from headway.errors import Refused
from headway.forges.model import Change


def check_granted(app: App, change: Change) -> None:
    """Return when a maintainer has approved the head of a change from a fork.

    Raises:
        Refused: nobody has; the hint is what a maintainer pastes.
    """
    table = schema.fork_grant
    query = select(table.c.actor).where(
        table.c.repo_id == change.repo_id,
        table.c.change == change.number,
        table.c.head_sha == change.head_sha,
    )
    with app.database.read() as tx:
        if tx.execute(query).first() is not None:
            return
    raise Refused(
        "code from a fork runs only after a maintainer has approved this exact commit",
        cause=f"commit {change.head_sha} is not approved; an approval covers one commit and no later one",
        hint=f"/approve @{change.head_sha}",
        reason="HW-FORK-NOT-GRANTED",
    )


def grant(app: App, change: Change, command: Command) -> str:
    """Record a maintainer's approval of one commit of a fork.

    Raises:
        Refused: the change was pushed to since: what stands there now is not what was approved.
    """
    if command.head_sha != change.head_sha:
        raise Refused(
            f"the change has moved to {change.head_sha[:7]} since commit {(command.head_sha or '')[:7]} was approved",
            cause="an approval covers the one commit that was reviewed",
            hint=f"review it again, then /approve @{change.head_sha}",
            reason="HW-CHANGE-MOVED",
        )
    table, now = schema.fork_grant, app.clock.now()
    values = {"repo_id": change.repo_id, "change": change.number, "head_sha": change.head_sha}
    with app.database.write() as tx:
        if tx.execute(select(table.c.actor).filter_by(**values)).first() is None:
            tx.execute(table.insert().values(**values, actor=command.actor, at=now))
            record(
                tx,
                "fork_grant",
                f"{change.repo_id}/{change.number}",
                to_state="granted",
                reason=change.head_sha,
                actor=command.actor,
                at=now,
            )
    return f"commit `{change.head_sha}` may run, isolated and without secrets or network; no later commit may"
