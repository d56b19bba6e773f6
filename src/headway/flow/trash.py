"""The trash: what lies in it and since when, out of it again, or into a purge."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from headway.app import App
from headway.auth.model import Principal, Role
from headway.auth.visible import in_sight
from headway.blobs.keys import checked_key
from headway.clock import from_millis, to_millis
from headway.db import schema
from headway.db.prefix import begins_with
from headway.errors import Conflict, NotFound, Refused, UsageError
from headway.flow.holds import Hold, Holds, ModelFacts, RunFacts
from headway.flow.keeping import KeepRules
from headway.registry.digest import walk
from headway.registry.discard import restore_model
from headway.registry.folders import key_of
from headway.tracking.location import artifact_uri
from headway.tracking.store import RunStore

RUN, MODEL, EXPERIMENT = "run", "logged_model", "experiment"
_SHORTEST = 6
_LOOKED_AT = 5_000  # files of one item, before its size is left open
_MODEL_ID = re.compile(r"m-[0-9a-f]{32}")
_RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{5,31}")

_exp, _run, _model = schema.experiment.c, schema.run.c, schema.logged_model.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Trashed:
    """One thing in the trash."""

    kind: str  # run | logged_model | experiment
    id: str
    name: str
    exp: int
    experiment: str
    project: str  # of the experiment: who may see it
    location: str  # artifact location of the experiment, or of the model itself
    deleted_time: int
    deleted_by: str
    status: str = ""

    @property
    def folder(self) -> str | None:
        """The key of everything that lies under its name; None where the client keeps the bytes."""
        if self.kind == EXPERIMENT:
            # A location of one's own choosing may be shared: only what is named by its number is surely its alone.
            return str(self.exp) if self.location == f"mlflow-artifacts:/{self.exp}" else None
        uri = self.location if self.kind == MODEL else artifact_uri(self.location, self.id)
        try:
            key = key_of(uri)
            return None if key is None else checked_key(key.removesuffix("/artifacts"))
        except UsageError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrashItem:
    """What people are shown of it."""

    kind: str
    id: str
    name: str
    experiment: str
    deleted_at: datetime
    deleted_by: str
    size: int | None  # bytes of artifacts and points; None where counting would take too long
    goes_at: datetime | None  # None: not by itself
    held: str = ""  # why it cannot go
    hint: str = ""
    runs: int = 0  # of an experiment


@dataclass(frozen=True, slots=True, kw_only=True)
class TrashList:
    """The trash, what was deleted last first."""

    items: tuple[TrashItem, ...]
    total: int


def list_trash(app: App, principal: Principal, *, limit: int = 50, offset: int = 0) -> TrashList:
    """Return what the caller may see of the trash; runs of a deleted experiment are counted in it."""
    seen = in_sight(principal, _exp.project)
    with app.database.read() as tx:
        found = in_trash(tx, *seen, limit=offset + limit)[offset:]
        total = _count(tx, seen)
        holds = held_of(app, tx, found, forget_results=False)
        rules = KeepRules.read(app)
        items = tuple(_item(app, tx, each, holds.get((each.kind, each.id)), rules) for each in found)
    return TrashList(items=items, total=total)


def in_trash(tx: Connection, *where: ColumnElement[bool], before: int | None = None, limit: int = 0) -> list[Trashed]:
    """Return what is in the trash, deleted before an instant (ms) where one is given, newest first; 0 = all."""
    queries = [(_trashed_experiment, _experiments(_exp.stage == "deleted", *where), _exp.deleted_time)]
    active = (_exp.stage == "active", *where)
    # Through the index of what has a deletion date, which is small; a run that is being purged has one too.
    is_there = (_run.deleted_time.is_not(None), _run.stage == "deleted")
    queries.append((_trashed_run, _runs(*is_there, *active), _run.deleted_time))
    queries.append((_trashed_model, _models(_model.stage == "deleted", *active), _model.deleted_time))
    found: list[Trashed] = []
    for read, query, time in queries:
        older = query if before is None else query.where(time < before)
        newest = older.order_by(time.desc()).limit(limit) if limit else older
        found += [read(row) for row in tx.execute(newest)]
    found.sort(key=lambda each: (-each.deleted_time, each.kind, each.id))
    return found[:limit] if limit else found


def _count(tx: Connection, seen: Sequence[ColumnElement[bool]]) -> int:
    runs = _runs(_run.deleted_time.is_not(None), _run.stage == "deleted", _exp.stage == "active", *seen)
    models = _models(_model.stage == "deleted", _exp.stage == "active", *seen)
    queries = (_experiments(_exp.stage == "deleted", *seen), runs, models)
    return sum(tx.execute(select(func.count()).select_from(each.subquery())).scalar_one() for each in queries)


def named(tx: Connection, name: str, principal: Principal) -> Trashed:
    """Return the thing in the trash that an id, or the first characters of a run's, names.

    Raises:
        NotFound: there is no such thing that the caller may see, in the trash or elsewhere.
        Conflict: it is not in the trash, or is being purged.
    """
    seen = in_sight(principal, _exp.project)  # asked first: an error names the thing
    if name.isascii() and name.isdigit() and len(name) < 16:
        rows = tx.execute(_experiments(_exp.id == int(name), *seen)).all()
        found = [(row.stage, _trashed_experiment(row)) for row in rows]
    elif _MODEL_ID.fullmatch(name):
        found = [(row.stage, _trashed_model(row)) for row in tx.execute(_models(_model.id == name, *seen))]
    elif _RUN_ID.fullmatch(name):
        rows = tx.execute(_runs(begins_with(_run.uuid, name), *seen).limit(2)).all()
        found = [(row.stage, _trashed_run(row)) for row in rows]
    else:
        found = []
    if not found:
        raise _nothing(name)
    if len(found) > 1:
        raise UsageError(f"several runs begin with {name}", hint="give more characters")
    stage, item = found[0]
    if stage == "purging":
        raise Conflict(f"{words(item)} is being deleted for good", hint="there is no way back once a purge has begun")
    if stage != "deleted":
        raise Conflict(f"{words(item)} is not in the trash", hint="delete it first")
    return item


def words(item: Trashed) -> str:
    """Return how a message names it."""
    what = item.kind.replace("_", " ")
    return f"{what} {item.id}" if not item.name else f"{what} {item.id} ({item.name[:60]})"


def check_role(item: Trashed, principal: Principal, needs: Role) -> None:
    """Refuse a caller whose role in the thing's project does not reach; what they may not see is not there."""
    role = principal.role_in(item.project)
    if role < Role.VIEWER:
        raise _nothing(item.id)
    if role < needs:
        raise Refused(
            f"{principal.user} may not do this with {words(item)}",
            cause=f"it needs the role {needs.name.lower()} in its project",
            hint="ask somebody who has that role",
        )


def _nothing(name: str) -> NotFound:
    return NotFound(f"there is no run, experiment or logged model {name[:80]}", hint="headway trash list")


def restore(app: App, name: str, principal: Principal) -> Trashed:
    """Take one thing out of the trash."""
    with app.database.write() as tx:
        item = named(tx, name, principal)
        check_role(item, principal, Role.CONTRIBUTOR)
        store = RunStore(tx, actor=principal.user, clock=app.clock)
        if item.kind == EXPERIMENT:
            store.experiments.restore(item.id)
            return item
        if tx.execute(select(_exp.stage).where(_exp.id == item.exp)).scalar() != "active":
            raise Conflict(
                f"the experiment of {words(item)} is in the trash too", hint=f"headway trash restore {item.exp}"
            )
        if item.kind == RUN:
            store.restore_run(item.id)
        else:
            restore_model(tx, item.id, clock=app.clock, actor=principal.user)
    return item


Key = tuple[str, str]


def held_of(app: App, tx: Connection, items: list[Trashed], *, forget_results: bool) -> dict[Key, Hold]:
    """Return which of these must stay, by kind and id; an experiment stays with the first thing in it that must."""
    holds = Holds(app, tx, forget_results=forget_results)
    found: dict[Key, Hold] = {}
    runs = holds.of_runs(_facts(each) for each in items if each.kind == RUN)
    found |= {(RUN, name): hold for name, hold in runs.items()}
    models = holds.of_models(ModelFacts(model_id=each.id, folder=each.folder) for each in items if each.kind == MODEL)
    found |= {(MODEL, name): hold for name, hold in models.items()}
    for each in items:
        if each.kind == EXPERIMENT and (hold := _experiment_hold(tx, holds, each)):
            found[EXPERIMENT, each.id] = hold
    return found


def _facts(run: Trashed) -> RunFacts:
    return RunFacts(run_id=run.id, folder=run.folder, status=run.status, deleted_time=run.deleted_time)


def _experiment_hold(tx: Connection, holds: Holds, item: Trashed) -> Hold | None:
    if item.exp == 0:
        return Hold(reason="it is the experiment that every client falls back to", hint="purge its runs by their ids")
    runs, models = inside(tx, item.exp)
    if any(stage == "active" for stage, _ in (*runs, *models)):
        return Hold(reason="something in it was restored", hint="delete that, or restore the experiment")
    of_runs = holds.of_runs(_facts(run) for _, run in runs)
    of_models = holds.of_models(ModelFacts(model_id=model.id, folder=model.folder) for _, model in models)
    for name, hold in (*of_runs.items(), *of_models.items()):
        more = len(of_runs) + len(of_models) - 1
        rest = f" (and {more} more in it)" if more else ""
        return Hold(reason=f"{name}: {hold.reason}{rest}", hint=hold.hint)
    return holds.of_folder(item.folder)


def inside(tx: Connection, exp: int) -> tuple[list[tuple[str, Trashed]], list[tuple[str, Trashed]]]:
    """Return an experiment's runs and logged models with their stages."""
    runs = [(row.stage, _trashed_run(row)) for row in tx.execute(_runs(_run.exp == exp))]
    models = [(row.stage, _trashed_model(row)) for row in tx.execute(_models(_model.exp == exp))]
    return runs, models


def _experiments(*where: ColumnElement[bool]) -> Select[Any]:
    columns = (_exp.id, _exp.name, _exp.artifact_location, _exp.stage, _exp.deleted_time, _exp.last_update_time)
    return select(*columns, _exp.deleted_by, _exp.project).where(*where)


def _runs(*where: ColumnElement[bool]) -> Select[Any]:
    columns = (_run.uuid, _run.name, _run.exp, _run.stage, _run.status, _run.deleted_time, _run.deleted_by)
    of = (_exp.name.label("experiment"), _exp.project, _exp.artifact_location)
    return select(*columns, *of).join(schema.experiment, _exp.id == _run.exp).where(*where)


def _models(*where: ColumnElement[bool]) -> Select[Any]:
    columns = (_model.id, _model.name, _model.exp, _model.stage, _model.artifact_uri, _model.status)
    more = (
        _model.deleted_time,
        _model.deleted_by,
        _model.last_update_time,
        _exp.name.label("experiment"),
        _exp.project,
    )
    return select(*columns, *more).join(schema.experiment, _exp.id == _model.exp).where(*where)


def _trashed_experiment(row: Any) -> Trashed:
    return Trashed(
        kind=EXPERIMENT,
        id=str(row.id),
        name=row.name,
        exp=row.id,
        experiment=row.name,
        project=row.project,
        location=row.artifact_location,
        deleted_time=row.deleted_time or row.last_update_time,
        deleted_by=row.deleted_by or "",
    )


def _trashed_run(row: Any) -> Trashed:
    return Trashed(
        kind=RUN,
        id=row.uuid,
        name=row.name,
        exp=row.exp,
        experiment=row.experiment,
        project=row.project,
        location=row.artifact_location,
        deleted_time=row.deleted_time or 0,
        deleted_by=row.deleted_by or "",
        status=row.status,
    )


def _trashed_model(row: Any) -> Trashed:
    return Trashed(
        kind=MODEL,
        id=row.id,
        name=row.name,
        exp=row.exp,
        experiment=row.experiment,
        project=row.project,
        location=row.artifact_uri,
        deleted_time=row.deleted_time or row.last_update_time,
        deleted_by=row.deleted_by or "",
        status=row.status,
    )


def _item(app: App, tx: Connection, each: Trashed, hold: Hold | None, rules: KeepRules) -> TrashItem:
    stay = rules.trash_for(each.project, each.experiment)
    deleted_at = from_millis(each.deleted_time)
    runs = 0
    if each.kind == EXPERIMENT:
        runs = tx.execute(select(func.count()).select_from(schema.run).where(_run.exp == each.exp)).scalar_one()
    return TrashItem(
        kind=each.kind,
        id=each.id,
        name=each.name,
        experiment=each.experiment,
        deleted_at=deleted_at,
        deleted_by=each.deleted_by,
        size=size_of(app, tx, each),
        goes_at=None if stay is None or hold is not None else deleted_at + stay,
        held="" if hold is None else hold.reason,
        hint="" if hold is None else hold.hint,
        runs=runs,
    )


def size_of(app: App, tx: Connection, each: Trashed) -> int | None:
    """Return the bytes of artifacts and points that would be freed; None for one with very many files."""
    size = 0
    if each.folder is not None:
        for at, blob in enumerate(walk(app.artifacts, each.folder)):
            if at >= _LOOKED_AT:
                return None
            size += blob.size
    if each.kind == MODEL:
        return size
    mine = select(_run.id).where(_run.exp == each.exp if each.kind == EXPERIMENT else _run.uuid == each.id)
    for table in (schema.tail, schema.chunk):
        size += tx.execute(select(func.sum(func.length(table.c.data))).where(table.c.run.in_(mine))).scalar() or 0
    return size


def cutoff(app: App, age: timedelta | None) -> int | None:
    """Return the instant (ms) before which something must have been deleted to be older than this."""
    return None if age is None else to_millis(app.clock.now() - age)
