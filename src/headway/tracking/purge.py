"""Rows of runs and experiments on their way out: marked first, so that a purge that was killed finds them again.

What is marked has no way back and is gone for every reader. The marking is conditional on the row being in the trash,
so that of a restore and a purge at the same time only one happens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Connection, select

from headway.db import schema
from headway.tracking.link import Row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from headway.tracking.link import Link

TAILS_AT_ONCE = 200
CHUNKS_AT_ONCE = 50  # of at most 400 kB each: one transaction stays small also on a disk that is nearly full

_OF_RUN = ("metric", "text", "run_doc", "run_input", "run_model")


class Marked(NamedTuple):
    """A run that is being purged, and where its artifacts lie."""

    id: int
    uuid: str
    exp: int
    location: str  # of its experiment


def is_pending(tx: Connection, *, since: datetime | None = None) -> bool:
    """Whether any purge, or any that was asked for since an instant, has something to remove."""
    purge = schema.purge
    query = select(purge.c.id).where(purge.c.state == "running", *([] if since is None else [purge.c.asked_at > since]))
    return tx.execute(query.limit(1)).first() is not None


def mark_runs(link: Link, run_ids: Sequence[str]) -> list[str]:
    """Take runs out of the trash for good and return those that were still in it."""
    sql = (
        "update run set stage = 'purging', version = version + 1 where stage = 'deleted' and uuid in (??) "
        "returning uuid"
    )
    return [str(row[0]) for row in link.each(sql, run_ids)]


def spare_runs(link: Link, run_ids: Sequence[str]) -> None:
    """Lay runs back into the trash of which nothing was removed yet."""
    list(link.each("update run set stage = 'deleted' where stage = 'purging' and uuid in (??) returning id", run_ids))


def mark_experiment(link: Link, exp: int, *, label: str) -> bool:
    """Take an experiment out of the trash for good; its name is free from now on. False: it is not in the trash."""
    sql = "update experiment set stage = 'purging', name = ? where id = ? and stage = 'deleted' returning id"
    return link.one(sql, (label, exp)) is not None


def spare_experiment(link: Link, exp: int, *, name: str) -> None:
    """Lay an experiment back into the trash, under its name where nobody took that meanwhile."""
    same = "select o.id from experiment o join experiment e on e.project = o.project where e.id = ? and o.name = ?"
    taken = link.one(same, (exp, name)) is not None
    kept = f"{name[:450]} (kept, experiment {exp})" if taken else name
    link.run("update experiment set stage = 'deleted', name = ? where id = ? and stage = 'purging'", (kept, exp))


def marked_runs(link: Link, run_ids: Sequence[str]) -> list[Marked]:
    """Return those of these runs whose rows are still there."""
    sql = (
        "select r.id, r.uuid, r.exp, e.artifact_location from run r join experiment e on e.id = r.exp "
        "where r.stage = 'purging' and r.uuid in (??)"
    )
    return [Marked(*row) for row in link.each(sql, run_ids)]


def drop_points(link: Link, run: int) -> bool:
    """Remove some of a run's points; return whether more are left, for the next transaction."""
    tails = link.run(
        "delete from tail where id in (select id from tail where run = ? order by id limit ?)", (run, TAILS_AT_ONCE)
    ).rowcount
    if tails == TAILS_AT_ONCE:
        return True
    chunks = link.run(
        "delete from chunk where run = ? and (key, seq) in (select key, seq from chunk where run = ? limit ?)",
        (run, run, CHUNKS_AT_ONCE),
    ).rowcount
    return bool(chunks == CHUNKS_AT_ONCE)


def has_many_points(link: Link, run: int) -> bool:
    """Say whether a run's points should go in transactions of their own."""
    if link.one("select 1 from tail where run = ? limit 1 offset ?", (run, TAILS_AT_ONCE)) is not None:
        return True
    return link.one("select 1 from chunk where run = ? limit 1 offset ?", (run, CHUNKS_AT_ONCE)) is not None


def drop_runs(link: Link, ids: Sequence[int]) -> None:
    """Remove every row of runs; the last statement removes the runs themselves."""
    for table in ("tail", "chunk", *_OF_RUN):
        for start in range(0, len(ids), 500):
            part = list(ids[start : start + 500])
            marks = ", ".join("?" * len(part))
            link.run(f"delete from {table} where run in ({marks})", part)  # noqa: S608  # our own names
    list(link.each("delete from run where stage = 'purging' and id in (??) returning id", ids))


def runs_left(link: Link, exp: int) -> int:
    """Return how many runs an experiment still has, in whatever stage."""
    row: Row | None = link.one("select count(*) from run where exp = ?", (exp,))
    return 0 if row is None else int(row[0])


def drop_experiment(link: Link, exp: int) -> None:
    """Remove an experiment without runs, with its names of keys, its datasets and its tags."""
    for table in ("key", "dataset", "experiment_tag"):
        link.run(f"delete from {table} where exp = ?", (exp,))  # noqa: S608  # our own names
    link.run("delete from experiment where id = ? and stage = 'purging'", (exp,))


def end_runs(link: Link, run_ids: Sequence[str], *, at: int, by: str) -> list[str]:
    """Put active runs into the trash and return those that were active."""
    sql = (
        "update run set stage = 'deleted', deleted_time = ?, deleted_by = ?, version = version + 1 "
        "where stage = 'active' and uuid in (??) returning uuid"
    )
    return [str(row[0]) for row in link.each(sql, run_ids, before=[at, by])]
