"""Removing what was marked: bytes first, rows last, so that after a crash the rows say what is left to do.

Everything here is safe to repeat. Nothing is trusted that was decided long ago: before the first byte of a thing goes,
it is asked again whether something refers to it, and if so it returns to the trash.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.exc import SQLAlchemyError

from headway.app import App
from headway.blobs.keys import checked_key
from headway.db import events, schema
from headway.db.reclaim import reclaim
from headway.errors import HeadwayError, UsageError
from headway.flow.ballast import with_ballast
from headway.flow.holds import Hold, Holds, ModelFacts, RunFacts
from headway.flow.trash import EXPERIMENT, MODEL, RUN
from headway.logs import logger
from headway.registry.discard import remove_model_rows
from headway.registry.folders import key_of
from headway.tracking.link import Link
from headway.tracking.location import artifact_uri
from headway.tracking.purge import (
    Marked,
    drop_experiment,
    drop_points,
    drop_runs,
    has_many_points,
    marked_runs,
    runs_left,
    spare_experiment,
    spare_runs,
)

AT_ONCE = 50  # runs removed in one transaction: short enough to let a training's metrics in between
_NOTES = 20

_purge, _item = schema.purge, schema.purge_item


class Item(NamedTuple):
    """One thing that a purge has still to remove."""

    id: int
    kind: str
    entity_id: str
    name: str


class Gone(NamedTuple):
    """Bytes that were freed for one thing, and what is to be said of it."""

    item: Item
    freed: int
    note: str = ""


def work_off(app: App, *, pause: Callable[[], None] = lambda: None) -> int:
    """Remove whatever is marked, oldest purge first; return how many things went. Safe to kill and to repeat."""
    removed = 0
    with app.database.read() as tx:
        running = tx.execute(select(_purge.c.id).where(_purge.c.state == "running").order_by(_purge.c.id)).scalars()
        waiting = list(running)
    for purge_id in waiting:
        removed += _work_off(app, purge_id, pause)
    if removed:
        reclaim(app.database)
    return removed


def _work_off(app: App, purge_id: str, pause: Callable[[], None]) -> int:
    removed, last = 0, 0
    for kind in (RUN, MODEL, EXPERIMENT):
        last = 0
        while batch := _next(app, purge_id, kind, last):
            last = batch[-1].id
            try:
                removed += _remove(app, purge_id, kind, batch)
            except (OSError, HeadwayError, SQLAlchemyError) as error:
                # It stays marked and is tried again; what comes after it must not wait for it.
                logger().warning("purge is held up", purge=purge_id, kind=kind, error=str(error))
                _say(app, purge_id, f"{kind} {batch[0].entity_id}: {error}")
            pause()
    _close(app, purge_id)
    return removed


def _next(app: App, purge_id: str, kind: str, after: int) -> list[Item]:
    here = (_item.c.purge_id == purge_id, _item.c.kind == kind, _item.c.id > after)
    query = select(_item.c.id, _item.c.kind, _item.c.entity_id, _item.c.name).where(*here)
    with app.database.read() as tx:
        return [Item(*row) for row in tx.execute(query.order_by(_item.c.id).limit(AT_ONCE))]


def _remove(app: App, purge_id: str, kind: str, batch: list[Item]) -> int:
    if kind == RUN:
        return _remove_runs(app, purge_id, batch)
    if kind == MODEL:
        return _remove_models(app, purge_id, batch)
    return sum(_remove_experiment(app, purge_id, each) for each in batch)


# --- runs -------------------------------------------------------------------------------------------


def _remove_runs(app: App, purge_id: str, batch: list[Item]) -> int:
    with app.database.read() as tx:
        there = {run.uuid: run for run in marked_runs(Link(tx), [each.entity_id for each in batch])}
        facts = [RunFacts(run_id=run.uuid, folder=folder_of(run)) for run in there.values()]
        holds = Holds(app, tx, forget_results=True).of_runs(facts)
        long_ones = [run for run in there.values() if run.uuid not in holds and has_many_points(Link(tx), run.id)]
    if holds:
        _spare(app, purge_id, [each for each in batch if each.entity_id in holds], holds)
    free = [each for each in batch if each.entity_id not in holds]
    gone = [_free_run(app, each, there.get(each.entity_id)) for each in free]
    for run in long_ones:
        while with_ballast(app, lambda run=run: _drop_some(app, run.id)):  # type: ignore[misc]  # bound at once
            pass
    ids = [there[each.entity_id].id for each in free if each.entity_id in there]

    def rows(tx: Connection) -> None:
        drop_runs(Link(tx), ids)

    return _finish(app, purge_id, gone, rows)


def folder_of(run: Marked) -> str | None:
    """Return the key of a run's folder; None where its artifacts are not in this server's keeping."""
    try:
        key = key_of(artifact_uri(run.location, run.uuid))
    except UsageError:
        return None
    return None if key is None else key.removesuffix("/artifacts")


def _free_run(app: App, item: Item, run: Marked | None) -> Gone:
    if run is None:  # its rows went before a crash: only the item was left
        return Gone(item, 0)
    folder = folder_of(run)
    if folder is None:
        return Gone(item, 0, f"the artifacts at {run.location[:200]} are not this server's to delete")
    return Gone(item, app.artifacts.delete(folder))


def _drop_some(app: App, run: int) -> bool:
    with app.database.write() as tx:
        return drop_points(Link(tx), run)


# --- logged models ----------------------------------------------------------------------------------


def _remove_models(app: App, purge_id: str, batch: list[Item]) -> int:
    table = schema.logged_model
    with app.database.read() as tx:
        mine = (table.c.stage == "purging", table.c.id.in_([each.entity_id for each in batch]))
        there = {row.id: row.artifact_uri for row in tx.execute(select(table.c.id, table.c.artifact_uri).where(*mine))}
        facts = [ModelFacts(model_id=name, folder=_model_folder(uri)) for name, uri in there.items()]
        holds = Holds(app, tx).of_models(facts)
    if holds:
        _spare(app, purge_id, [each for each in batch if each.entity_id in holds], holds)
    gone = []
    for each in batch:
        if each.entity_id in holds:
            continue
        uri = there.get(each.entity_id)
        folder = None if uri is None else _model_folder(uri)
        note = f"the files at {uri[:200]} are not this server's to delete" if uri and folder is None else ""
        gone.append(Gone(each, 0 if folder is None else app.artifacts.delete(folder), note))

    def rows(tx: Connection) -> None:
        remove_model_rows(tx, [each.item.entity_id for each in gone])

    return _finish(app, purge_id, gone, rows)


def _model_folder(uri: str) -> str | None:
    try:
        key = key_of(uri)
    except UsageError:
        return None
    return None if key is None else checked_key(key.removesuffix("/artifacts"))


# --- experiments ------------------------------------------------------------------------------------


def _remove_experiment(app: App, purge_id: str, item: Item) -> int:
    exp = int(item.entity_id)
    table = schema.experiment
    with app.database.read() as tx:
        location = tx.execute(
            select(table.c.artifact_location).where(table.c.id == exp, table.c.stage == "purging")
        ).scalar()
        folder = str(exp) if location == f"mlflow-artifacts:/{exp}" else None
        waits = _has_items(tx, exp)
        left = runs_left(Link(tx), exp) + _models_left(tx, exp)
        hold = Holds(app, tx).of_folder(folder)
    if waits:
        return 0  # something in it could not be removed yet
    if location is not None and (left or hold is not None):
        reason = hold or Hold(reason="something in it was held back", hint="headway trash list")
        _spare(app, purge_id, [item], {item.entity_id: reason})
        return 0
    gone = Gone(item, app.artifacts.delete(folder) if folder is not None and location is not None else 0)

    def rows(tx: Connection) -> None:
        drop_experiment(Link(tx), exp)

    return _finish(app, purge_id, [gone], rows)


def _has_items(tx: Connection, exp: int) -> bool:
    run, model = schema.run, schema.logged_model
    runs = select(_item.c.id).join(run, run.c.uuid == _item.c.entity_id).where(run.c.exp == exp)
    models = select(_item.c.id).join(model, model.c.id == _item.c.entity_id).where(model.c.exp == exp)
    return any(tx.execute(query.limit(1)).first() is not None for query in (runs, models))


def _models_left(tx: Connection, exp: int) -> int:
    table = schema.logged_model
    return int(tx.execute(select(func.count()).select_from(table).where(table.c.exp == exp)).scalar_one())


# --- the record -------------------------------------------------------------------------------------


def _finish(app: App, purge_id: str, gone: Sequence[Gone], rows: Callable[[Connection], None]) -> int:
    """Remove the rows, the items and nothing else in one transaction, and write down that it happened."""

    def work() -> None:
        now = app.clock.now()
        with app.database.write() as tx:
            purge = tx.execute(select(_purge).where(_purge.c.id == purge_id)).mappings().one()
            rows(tx)
            for each in gone:
                _record(tx, purge, each, now)
            _drop_items(tx, [each.item for each in gone])
            grown = {"done": _purge.c.done + len(gone), "freed": _purge.c.freed + sum(each.freed for each in gone)}
            tx.execute(update(_purge).where(_purge.c.id == purge_id).values(**grown))

    with_ballast(app, work)
    for note in dict.fromkeys(each.note for each in gone if each.note):
        _say(app, purge_id, note)
    return len(gone)


def _record(tx: Connection, purge: Any, gone: Gone, now: datetime) -> None:
    events.record(
        tx,
        gone.item.kind,
        gone.item.entity_id,
        from_state="deleted",
        to_state="purged",
        at=now,
        actor=purge["actor"],
        reason="retention" if purge["cause"] == "retention" else "",
        detail={"cause": purge["cause"], "purge": purge["id"], "name": gone.item.name, "bytes": gone.freed},
    )


def _drop_items(tx: Connection, items: Sequence[Item]) -> None:
    tx.execute(delete(_item).where(_item.c.id.in_([each.id for each in items])))


def _spare(app: App, purge_id: str, items: Sequence[Item], holds: dict[str, Hold]) -> None:
    """Lay back into the trash what something refers to since it was marked."""
    with app.database.write() as tx:
        link = Link(tx)
        spare_runs(link, [each.entity_id for each in items if each.kind == RUN])
        models = [each.entity_id for each in items if each.kind == MODEL]
        table = schema.logged_model
        tx.execute(update(table).where(table.c.id.in_(models), table.c.stage == "purging").values(stage="deleted"))
        for each in items:
            if each.kind == EXPERIMENT:
                spare_experiment(link, int(each.entity_id), name=each.name)
        _drop_items(tx, items)
        tx.execute(update(_purge).where(_purge.c.id == purge_id).values(total=_purge.c.total - len(items)))
    for each in items:
        _say(app, purge_id, f"{each.kind} {each.entity_id} stays: {holds[each.entity_id].reason}")


def _say(app: App, purge_id: str, note: str) -> None:
    with app.database.write() as tx:
        notes = list(tx.execute(select(_purge.c.notes).where(_purge.c.id == purge_id)).scalar_one())
        if note not in notes and len(notes) < _NOTES:
            tx.execute(update(_purge).where(_purge.c.id == purge_id).values(notes=[*notes, note[:500]]))


def _close(app: App, purge_id: str) -> None:
    now = app.clock.now()
    left = select(_item.c.id).where(_item.c.purge_id == purge_id).exists()
    done = update(_purge).where(_purge.c.id == purge_id, _purge.c.state == "running", ~left)
    with app.database.write() as tx:
        if tx.execute(done.values(state="done", finished_at=now)).rowcount:
            row = tx.execute(select(_purge).where(_purge.c.id == purge_id)).mappings().one()
            events.record(
                tx,
                "purge",
                purge_id,
                from_state="running",
                to_state="done",
                at=now,
                actor=row["actor"],
                reason=f"{row['done']} removed, {row['freed']} bytes of artifacts freed",
            )
