"""Retention: ended runs that no rule keeps go into the trash, and what lay there long enough goes for good."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from headway.app import App
from headway.auth.model import Principal, Role
from headway.clock import from_millis, to_millis
from headway.db import events, schema
from headway.flow.holds import Holds, RunFacts
from headway.flow.keeping import KeepRules, key_of
from headway.flow.purge import Asked, PurgeAnswer, purge_items
from headway.flow.trash import RUN, Trashed, in_trash
from headway.projects.model import RetentionSpec
from headway.registry.folders import key_of as blob_key
from headway.tracking.link import Link
from headway.tracking.location import artifact_uri
from headway.tracking.model import KeyKind
from headway.tracking.purge import end_runs

BY = "retention"
KEEP_TAG = "keep"
AT_ONCE = 200
_PAGE = 500
_NO = ("", "0", "false", "no")
_HEADWAY = Principal(user="headway", role=Role.ADMIN)

_run, _exp = schema.run.c, schema.experiment.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """A run that goes into the trash by a rule."""

    run_id: str
    name: str
    experiment: str
    project: str
    ended_at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """Something in the trash whose time is over."""

    kind: str
    id: str
    name: str
    experiment: str
    deleted_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Retained:
    """What the rules do, or would do: at most `AT_ONCE` of each are listed."""

    rules: KeepRules
    runs: tuple[Ending, ...]
    trash: tuple[Leaving, ...]
    purges: tuple[str, ...] = ()
    held: int = 0  # things whose time is over and that something still refers to


def would_retain(app: App, rules: KeepRules) -> Retained:
    """Say what the rules would do now; nothing changes."""
    with app.database.read() as tx:
        runs = tuple(_first(_ending(app, tx, rules)))
        trash = tuple(_leaving(each) for each in _over(app, tx, rules)[:AT_ONCE])
    return Retained(rules=rules, runs=runs, trash=trash)


def retain(app: App, rules: KeepRules) -> Retained:
    """Apply the rules once, a small batch of each; call again while it lists anything new."""
    with app.database.read() as tx:
        runs = _first(_ending(app, tx, rules))
        over = _over(app, tx, rules)
    runs = _end(app, runs)
    answers: list[PurgeAnswer] = []
    taken: list[Trashed] = []
    while over and sum(each.total for each in answers) < AT_ONCE:  # what is held back must not stop what may go
        part, over = over[:AT_ONCE], over[AT_ONCE:]
        taken += part
        for is_ours in (False, True):
            # What a rule ended is not kept for the sake of a later reuse: the rule was about that too.
            own = [each for each in part if (each.deleted_by == BY) == is_ours]
            if own:
                answers.append(purge_items(app, own, Asked(cause=BY, forget_results=is_ours), _HEADWAY))
    return Retained(
        rules=rules,
        runs=tuple(runs),
        trash=tuple(_leaving(each) for each in taken[:AT_ONCE]),
        purges=tuple(each.purge.id for each in answers if each.purge is not None),
        held=sum(each.held_total for each in answers),
    )


def _first(found: Iterator[Ending]) -> list[Ending]:
    return [each for _, each in zip(range(AT_ONCE), found, strict=False)]


# --- runs -------------------------------------------------------------------------------------------


def _ending(app: App, tx: Connection, rules: KeepRules) -> Iterator[Ending]:
    holds: Holds | None = None
    for row in tx.execute(
        select(_exp.id, _exp.name, _exp.project, _exp.artifact_location).where(_exp.stage == "active")
    ):
        spec = rules.projects.get(key_of(row.project, row.name))
        if spec is None or not spec.ends_runs:
            continue
        holds = holds or Holds(app, tx, forget_results=True)
        for page in _pages(tx, _unkept(app, tx, row.id, spec)):
            facts = [RunFacts(run_id=run.uuid, folder=_folder(row.artifact_location, run.uuid)) for run in page]
            held, tagged = holds.of_runs(facts), _tagged(tx, row.id, [run.id for run in page])
            for run in page:
                if run.uuid not in held and run.id not in tagged:
                    yield Ending(
                        run_id=run.uuid,
                        name=run.name,
                        experiment=row.name,
                        project=row.project,
                        ended_at=from_millis(run.ended),
                        reason=f"{BY}: {_words(spec)}",
                    )


def _unkept(app: App, tx: Connection, exp: int, spec: RetentionSpec) -> list[ColumnElement[bool]]:
    """Return the conditions of a run that neither rule keeps."""
    where: list[ColumnElement[bool]] = [
        _run.exp == exp,
        _run.stage == "active",
        _run.status.not_in(("RUNNING", "SCHEDULED")),
    ]
    if spec.keep_days is not None:
        oldest = to_millis(app.clock.now() - timedelta(days=spec.keep_days))
        where.append(func.coalesce(_run.end_time, _run.start_time) < oldest)
    if spec.keep_last is not None:
        newest = select(_run.start_time).where(_run.exp == exp, _run.stage == "active")
        newest = newest.order_by(_run.start_time.desc(), _run.uuid).limit(1).offset(spec.keep_last - 1)
        oldest_kept = tx.execute(newest).scalar()
        # None: there are not even so many. Runs that began in the same instant as the last kept one stay too.
        where.append(_run.start_time < (0 if oldest_kept is None else oldest_kept))
    return where


def _pages(tx: Connection, where: Sequence[ColumnElement[bool]]) -> Iterator[Sequence[Any]]:
    last = -1
    ended = func.coalesce(_run.end_time, _run.start_time).label("ended")
    while True:
        query = select(_run.id, _run.uuid, _run.name, ended).where(*where, _run.id > last)
        page = tx.execute(query.order_by(_run.id).limit(_PAGE)).all()
        if not page:
            return
        yield page
        last = page[-1].id


def _folder(location: str, run_id: str) -> str | None:
    key = blob_key(artifact_uri(location, run_id))
    return None if key is None else key.removesuffix("/artifacts")


def _tagged(tx: Connection, exp: int, ids: Sequence[int]) -> set[int]:
    """Return those of these runs that people have tagged to be kept."""
    key, text = schema.key.c, schema.text.c
    named = (key.exp == exp, key.kind == int(KeyKind.TAG), key.name == KEEP_TAG)
    query = select(text.run).join(schema.key, key.id == text.key)
    query = query.where(*named, text.run.in_(ids), func.lower(text.value).not_in(_NO))
    return set(tx.execute(query).scalars())


def _words(spec: RetentionSpec) -> str:
    parts = [f"not among the last {spec.keep_last}"] if spec.keep_last is not None else []
    parts += [f"ended more than {spec.keep_days} days ago"] if spec.keep_days is not None else []
    return " and ".join(parts)


def _end(app: App, found: Sequence[Ending]) -> list[Ending]:
    if not found:
        return []
    now = app.clock.now()
    with app.database.write() as tx:
        done = set(end_runs(Link(tx), [each.run_id for each in found], at=to_millis(now), by=BY))
        ended = [each for each in found if each.run_id in done]
        for each in ended:
            events.record(
                tx,
                RUN,
                each.run_id,
                from_state="active",
                to_state="deleted",
                at=now,
                actor=_HEADWAY.user,
                reason=each.reason,
                detail={"cause": BY},
            )
    return ended


# --- the trash --------------------------------------------------------------------------------------


def _over(app: App, tx: Connection, rules: KeepRules) -> list[Trashed]:
    """Return what lay in the trash for its time, oldest first."""
    now = app.clock.now()
    found = []
    for each in reversed(in_trash(tx)):
        stay = rules.trash_for(each.project, each.experiment)
        if stay is not None and from_millis(each.deleted_time) + stay < now:
            found.append(each)
    return found


def _leaving(each: Trashed) -> Leaving:
    return Leaving(
        kind=each.kind,
        id=each.id,
        name=each.name,
        experiment=each.experiment,
        deleted_at=from_millis(each.deleted_time),
    )
