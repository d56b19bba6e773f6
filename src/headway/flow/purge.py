"""Asking for a purge: what may go is marked at once and has no way back; the worker then removes it, piece by piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert, select, update

from headway.app import App
from headway.auth.model import Principal, Role
from headway.auth.visible import in_sight
from headway.db import events, schema
from headway.errors import NotFound
from headway.flow.ballast import with_ballast
from headway.flow.holds import Hold
from headway.flow.trash import (
    EXPERIMENT,
    MODEL,
    RUN,
    Key,
    Trashed,
    check_role,
    cutoff,
    held_of,
    in_trash,
    inside,
    named,
    size_of,
)
from headway.ids import new_id
from headway.jobs.results import ResultStore
from headway.tracking.link import Link
from headway.tracking.purge import mark_experiment, mark_runs

AT_ONCE = 500  # things marked in one transaction, so that others can write in between
_SHOWN = 100
_SIZED = 200
_RANKS = {RUN: 1, MODEL: 2, EXPERIMENT: 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What shall go: named things, or everything that lies in the trash for so long."""

    names: tuple[str, ...] = ()
    older_than: timedelta | None = None
    forget_results: bool = False  # let steps be trained anew whose results only a later reuse would want
    cause: str = "person"  # or retention


@dataclass(frozen=True, slots=True, kw_only=True)
class Going:
    """One thing that goes."""

    kind: str
    id: str
    name: str
    size: int | None  # None: not counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Stays:
    """One thing that is held back."""

    kind: str
    id: str
    name: str
    reason: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """A purge as it stands."""

    id: str
    actor: str
    cause: str
    state: str  # running | done
    total: int
    done: int
    freed: int  # bytes of artifacts
    notes: tuple[str, ...]
    asked_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeAnswer:
    """What was decided: `purge` is None in a dry run, or when nothing may go."""

    purge: Purge | None
    total: int  # things that go, each run of an experiment counted
    going: tuple[Going, ...]  # the first of them
    held: tuple[Stays, ...]
    held_total: int = 0


@dataclass(slots=True)
class _Sum:
    total: int = 0
    purge_id: str = ""
    going: list[Going] = field(default_factory=list)
    held: list[Stays] = field(default_factory=list)
    held_total: int = 0


def would_go(app: App, asked: Asked, principal: Principal) -> PurgeAnswer:
    """Say what a purge would remove and what it would hold back; nothing changes."""
    found = _Sum()
    with app.database.read() as tx:
        items = _asked_for(app, tx, asked, principal)
        holds = held_of(app, tx, items, forget_results=asked.forget_results)
        for each in items:
            if hold := holds.get((each.kind, each.id)):
                _hold_back(found, each, hold)
                continue
            found.total += sum(map(len, inside(tx, each.exp))) + 1 if each.kind == EXPERIMENT else 1
            if len(found.going) < _SHOWN:
                found.going.append(_going(each, size_of(app, tx, each)))
    return PurgeAnswer(
        purge=None,
        total=found.total,
        going=tuple(found.going),
        held=tuple(found.held),
        held_total=found.held_total,
    )


def ask_purge(app: App, asked: Asked, principal: Principal) -> PurgeAnswer:
    """Mark whatever may go and return the purge that removes it; what is held back stays in the trash.

    Safe beside other purges and restores: each thing is taken by one of them.
    """
    with app.database.read() as tx:
        items = _asked_for(app, tx, asked, principal)
    return purge_items(app, items, asked, principal)


def purge_items(app: App, items: Sequence[Trashed], asked: Asked, principal: Principal) -> PurgeAnswer:
    """Do the same with things that were found already."""
    found = _Sum()
    for start in range(0, len(items), AT_ONCE):
        part = items[start : start + AT_ONCE]
        with_ballast(app, lambda part=part: _mark_part(app, part, asked, principal, found))  # type: ignore[misc]  # bound at once
    return PurgeAnswer(
        purge=find_purge(app, found.purge_id) if found.purge_id else None,
        total=found.total,
        going=tuple(found.going),
        held=tuple(found.held),
        held_total=found.held_total,
    )


def find_purge(app: App, purge_id: str) -> Purge:
    """Return a purge; an unknown one is `NotFound`."""
    with app.database.read() as tx:
        row = tx.execute(select(schema.purge).where(schema.purge.c.id == purge_id)).mappings().first()
    if row is None:
        raise NotFound(f"there is no purge {purge_id[:40]}", hint="headway trash list")
    return _purge(row)


def list_purges(app: App, *, limit: int = 20) -> list[Purge]:
    """Return purges, newest first."""
    query = select(schema.purge).order_by(schema.purge.c.id.desc()).limit(limit)
    with app.database.read() as tx:
        return [_purge(row) for row in tx.execute(query).mappings()]


def _purge(row: Any) -> Purge:
    return Purge(**{**row, "notes": tuple(row["notes"])})


def _asked_for(app: App, tx: Connection, asked: Asked, principal: Principal) -> list[Trashed]:
    before = cutoff(app, asked.older_than)
    if not asked.names:
        seen = in_sight(principal, schema.experiment.c.project)
        found = in_trash(tx, *seen, before=before)
        return [each for each in found if principal.role_in(each.project) >= Role.MAINTAINER]
    items = (named(tx, name, principal) for name in asked.names)
    found = list({(each.kind, each.id): each for each in items}.values())
    for each in found:
        check_role(each, principal, Role.MAINTAINER)
    return [each for each in found if before is None or each.deleted_time < before]


def _mark_part(app: App, items: Sequence[Trashed], asked: Asked, principal: Principal, found: _Sum) -> None:
    now = app.clock.now()
    fresh = _Sum(purge_id=found.purge_id or new_id())
    with app.database.write() as tx:
        holds = held_of(app, tx, list(items), forget_results=asked.forget_results)
        for each in items:
            if hold := holds.get((each.kind, each.id)):
                _hold_back(fresh, each, hold)
        free = [each for each in items if (each.kind, each.id) not in holds]
        marked = _mark(tx, free, fresh.purge_id)
        fresh.total = len(marked)
        if marked and asked.forget_results:
            _forget(tx, [each.id for each in marked if each.kind == RUN])
        if marked:
            _note(tx, fresh, asked, principal, now)
    # Counted only once it is committed: the transaction may have been tried twice.
    keys: set[Key] = {(each.kind, each.id) for each in marked}
    for each in free:
        if (each.kind, each.id) in keys and len(found.going) < _SHOWN:
            found.going.append(_going(each, None))
    found.total += fresh.total
    found.held += fresh.held[: _SHOWN - len(found.held)]
    found.held_total += fresh.held_total
    found.purge_id = fresh.purge_id if marked else found.purge_id


def _mark(tx: Connection, items: Sequence[Trashed], purge_id: str) -> list[Trashed]:
    """Mark those that are still in the trash, with what lies in them, and write down what has to be removed."""
    link = Link(tx)
    runs = {each.id: each for each in items if each.kind == RUN}
    models = {each.id: each for each in items if each.kind == MODEL}
    experiments = []
    for each in items:
        if each.kind != EXPERIMENT:
            continue
        of_runs, of_models = inside(tx, each.exp)
        if mark_experiment(link, each.exp, label=f"(purging) {each.id} {purge_id}"):
            experiments.append(each)
            runs |= {run.id: run for stage, run in of_runs if stage == "deleted"}
            models |= {model.id: model for stage, model in of_models if stage == "deleted"}
    marked = [runs[name] for name in mark_runs(link, list(runs))]
    marked += [models[name] for name in _mark_models(tx, list(models))]
    marked += experiments
    rows = [
        {"purge_id": purge_id, "rank": _RANKS[each.kind], "kind": each.kind, "entity_id": each.id, "name": each.name}
        for each in marked
    ]
    if rows:
        tx.execute(insert(schema.purge_item), rows)
    return marked


def _mark_models(tx: Connection, names: Sequence[str]) -> list[str]:
    table = schema.logged_model
    marked: list[str] = []
    for start in range(0, len(names), AT_ONCE):
        mine = (table.c.id.in_(names[start : start + AT_ONCE]), table.c.stage == "deleted")
        marked += tx.execute(update(table).where(*mine).values(stage="purging").returning(table.c.id)).scalars()
    return marked


def _forget(tx: Connection, run_ids: Sequence[str]) -> None:
    kept = schema.task_result.c
    for start in range(0, len(run_ids), AT_ONCE):
        keys = tx.execute(select(kept.key).where(kept.run_id.in_(run_ids[start : start + AT_ONCE]))).scalars().all()
        ResultStore(tx).forget(keys)


def _note(tx: Connection, fresh: _Sum, asked: Asked, principal: Principal, now: datetime) -> None:
    table = schema.purge
    # It may have been worked off already: what is marked goes at once, and a crash leaves the rest in the trash.
    more = {"total": table.c.total + fresh.total, "state": "running", "finished_at": None}
    if not tx.execute(update(table).where(table.c.id == fresh.purge_id).values(**more)).rowcount:
        values = {"actor": principal.user, "cause": asked.cause, "asked_at": now, "notes": []}
        tx.execute(insert(table).values(id=fresh.purge_id, state="running", total=fresh.total, **values))
    events.record(
        tx,
        "purge",
        fresh.purge_id,
        to_state="asked",
        at=now,
        actor=principal.user,
        reason=f"{asked.cause}: {fresh.total} to be removed",
        detail={"cause": asked.cause, "held": fresh.held_total},
    )


def _hold_back(found: _Sum, each: Trashed, hold: Hold) -> None:
    found.held_total += 1
    if len(found.held) < _SHOWN:
        found.held.append(
            Stays(kind=each.kind, id=each.id, name=each.name, reason=hold.reason, hint=hold.hint),
        )


def _going(each: Trashed, size: int | None) -> Going:
    return Going(kind=each.kind, id=each.id, name=each.name, size=size)
