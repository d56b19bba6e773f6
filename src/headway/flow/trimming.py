"""What grows for ever otherwise: old words and looks, spent tokens, and files that nothing names any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Table, and_, delete, func, not_, or_, select

from headway.app import App
from headway.blobs.content import content_key
from headway.commands.inbox import InboxState
from headway.db import schema
from headway.flow.deliver import ALL
from headway.jobs.store import JobStore
from headway.registry.digest import walk
from headway.serving.model import ReleaseState
from headway.serving.store import DeploymentStore, ReleaseStore

HEARD = timedelta(days=90)  # what a forge told, and what became of it; no forge tells the same again after so long
SAID = timedelta(days=30)  # what was sent to a forge
STEPS = timedelta(days=90)  # the machine's own steps; what people did is kept for ever
SPENT = timedelta(days=30)  # tokens that no longer work
AT_ONCE = 1_000
LOOKED = timedelta(days=90)  # what a tracker of somebody's own said of a commit that nobody looks at any more
# A step of the machine: what came of it stands in the job, the run and their reports.
_STEPS = ("task", "attempt")
_RUN_STATES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
_YOUNG = timedelta(hours=6).total_seconds()


def trim_rows(app: App) -> dict[str, int]:
    """Remove what is old and over (words, machine steps, tokens, looks), a few at a time; return how many of each."""
    now = app.clock.now()
    return {
        "inbox": _drop(app, schema.inbox, schema.inbox.c.id, _heard(now - HEARD)),
        "outbox": _drop(app, schema.outbox, schema.outbox.c.coalesce_key, _said(now - SAID)),
        "events": _drop(app, schema.event, schema.event.c.seq, _steps(now - STEPS)),
        "tokens": _drop(app, schema.token, schema.token.c.id, _spent(now - SPENT)),
        "looks": _drop(app, schema.tracker_look, schema.tracker_look.c.commit, _looked(now - LOOKED)),
    }


def _drop(app: App, table: Table, column: ColumnElement[Any], where: ColumnElement[bool]) -> int:
    """Look first and then write: finding them may read the whole table, and nobody else could write meanwhile."""
    removed = 0
    while True:
        with app.database.read() as tx:
            some = tx.execute(select(column).where(where).limit(AT_ONCE)).scalars().all()
        if some:
            with app.database.write() as tx:
                removed += tx.execute(delete(table).where(column.in_(some), where)).rowcount
        if len(some) < AT_ONCE:
            return removed


def _heard(before: datetime) -> ColumnElement[bool]:
    row = schema.inbox.c
    return and_(row.state != InboxState.NEW, row.received_at < before)


def _said(before: datetime) -> ColumnElement[bool]:
    """Sent, or given up; if it is ever wanted again, the forge's own marker leads to what stands there."""
    row = schema.outbox.c
    is_told = and_(row.kind == "told", row.coalesce_key != ALL, row.told_at < before)
    is_over = or_(row.want_rev <= row.sent_rev, row.dead != "")
    return or_(is_told, and_(row.kind != "told", is_over, row.next_at < before))


def _steps(before: datetime) -> ColumnElement[bool]:
    """Told to every report, and no part of the audit: nobody decided it."""
    told = select(schema.outbox.c.told_seq).where(schema.outbox.c.coalesce_key == ALL).scalar_subquery()
    row = schema.event.c
    is_step = or_(row.entity.in_(_STEPS), and_(row.entity == "run", row.to_state.in_(_RUN_STATES)))
    return and_(is_step, row.at < before, row.seq <= told)


def _spent(before: datetime) -> ColumnElement[bool]:
    row = schema.token.c
    return or_(row.expires_at < before, and_(row.revoked.is_(True), row.created_at < before))


def _looked(before: datetime) -> ColumnElement[bool]:
    """No head any more, and no job waits; a job that was judged by it has the answer in its own result."""
    row = schema.tracker_look.c
    last = func.coalesce(row.answered_at, row.tried_at, row.wanted_at)
    is_waiting = and_(row.wanted_at.is_not(None), row.wanted_at >= before)
    return and_(row.live.is_(False), not_(is_waiting), or_(last.is_(None), last < before))


# --- files ------------------------------------------------------------------------------------------


def orphan_contents(app: App) -> list[str]:
    """Return the digests of stored outputs that no result, live task or judged evidence names; slow, reads only."""
    with app.database.read() as tx:
        named = set(_named(tx))
    found = []
    for each in walk(app.contents, "sha256"):
        digest = each.key.rpartition("/")[2]
        if digest not in named and _is_old(app.data / "contents" / each.key):
            found.append(digest)
    return found


def drop_contents(app: App, digests: list[str], *, since: datetime) -> int:
    """Remove orphans that were found at `since`, but for those that were named again meanwhile.

    Only while nothing is being collected: the worker calls this between its ticks, and collecting begins in a tick.
    """
    with app.database.read() as tx:
        if JobStore(tx).unfinished():
            return 0
        named = set(_named(tx, since=since - timedelta(minutes=5)))
    return sum(app.contents.delete(content_key(each)) for each in digests if each not in named)


def _named(tx: Connection, *, since: datetime | None = None) -> Iterator[str]:
    task, run, kept, result = schema.task.c, schema.run.c, schema.task_result.c, schema.result.c
    # The outputs of a purged run are kept only for what still names them otherwise.
    lives = or_(task.run_id.is_(None), task.run_id.in_(select(run.uuid)), task.finished_at.is_(None))
    queries = (
        select(task.outputs).where(lives, *([] if since is None else [task.finished_at >= since])),
        select(kept.body).where(*([] if since is None else [kept.finished_at >= since])),
        select(result.body).where(result.is_baseline.is_(True), *([] if since is None else [result.at >= since])),
    )
    for query in queries:
        for body in tx.execute(query).scalars():
            yield from _digests(body)


def _digests(value: Any) -> Iterator[str]:
    """Yield every text that looks like a digest: one too many keeps a file, one too few would lose it."""
    stack = [msgspec.to_builtins(value)]
    while stack:
        each = stack.pop()
        if isinstance(each, dict):
            stack += each.values()
        elif isinstance(each, list | tuple):
            stack += each
        elif isinstance(each, str) and len(each) == 64:
            yield each


def trim_files(app: App, remove: Callable[[Path], int]) -> int:
    """Remove checkouts and notes of releases that are over, and copies of outputs that no version points to."""
    before = time.time() - timedelta(days=app.settings.keep_attempts_days).total_seconds()
    with app.database.read() as tx:
        kept = DeploymentStore(tx).all()
        live = ReleaseStore(tx).unfinished()
        final = [state.value for state in ReleaseState if state.is_final]
        over = set(tx.execute(select(schema.release.c.id).where(schema.release.c.state.in_(final))).scalars())
        sources = set(tx.execute(select(schema.model_version.c.source)).scalars())
    sources |= {_key_of(app, route.source) for each in kept for route in (*each.deployment.routes, *each.history)}
    commits = {each.rules_commit for each in live} | {
        part for each in kept for part in Path(each.deployment.workdir).parts
    }
    checkouts = [each for each in _entries(app.data / "checkouts") if each.name.strip(".").split(".")[0] not in commits]
    notes = [each for each in _entries(app.data / "releases") if each.name.split(".")[0] in over]
    freed = sum(remove(each) for each in (*checkouts, *notes) if each.lstat().st_mtime < before)
    return freed + sum(_drop_copy(app, each.key, sources, before) for each in app.artifacts.list("outputs"))


def _drop_copy(app: App, key: str, sources: set[str], before: float) -> int:
    if any(f"{each}/".startswith(f"{key}/") for each in sources):
        return 0
    with app.database.read() as tx:
        job_id = key.rpartition("/")[2]
        settled = tx.execute(select(schema.job.c.settled_at).where(schema.job.c.id == job_id)).scalar()
    return app.artifacts.delete(key) if settled is not None and settled.timestamp() < before else 0


def _key_of(app: App, source: str) -> str:
    root = app.data / "artifacts"
    return Path(source).relative_to(root).as_posix() if Path(source).is_relative_to(root) else ""


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _is_old(path: Path) -> bool:
    try:
        return path.stat().st_mtime < time.time() - _YOUNG
    except OSError:
        return False
