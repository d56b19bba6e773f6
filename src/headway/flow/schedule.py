"""Trainings that begin by themselves: at a time of `triggers.schedule`, for a newer version of `triggers.version`.

How far each was followed stands in the database, moved in the transaction that records the command: a time that was
missed while nobody looked is made up for once, and two servers never both act on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from headway.app import App
from headway.auth.belongs import Kind, project_of
from headway.auth.projects import ProjectStore, may_use
from headway.commands.model import Command, Origin, happening
from headway.commands.store import CommandStore
from headway.db import schema
from headway.errors import HeadwayError
from headway.flow.background import Background
from headway.flow.caused import Aim, Cause, command_of
from headway.flow.projects import default_tip, readable_projects
from headway.forges.model import Repo
from headway.forges.repo_store import RepoStore
from headway.jobs.store import JobStore
from headway.logs import logger
from headway.projects.cron import parse_cron
from headway.projects.model import ProjectSpec
from headway.registry.model import ModelVersion
from headway.registry.store import RegistryStore

EVERY = 20.0  # seconds between two looks: a schedule counts minutes
SYSTEM = "headway"


@dataclass(frozen=True, slots=True, kw_only=True)
class _At:
    """One project on its default branch, and what of its triggers was found."""

    repo: Repo
    tip: str
    spec: ProjectSpec


class Triggers:
    """Looks at the default branches now and then; keeps only what can be read again."""

    def __init__(self) -> None:
        """Start without having read a branch."""
        self._read: dict[str, tuple[str, list[ProjectSpec]]] = {}

    def step(self, app: App, background: Background) -> bool:
        """Start what is due, beside the loops: reading a branch may ask a forge. Never anything to wait for."""
        if background.is_due("triggers", EVERY):
            background.run("triggers", partial(self.look, app))
        return False

    def look(self, app: App) -> None:
        """Follow every trigger of every repository once."""
        with app.database.read() as tx:
            repos = [repo for repo, _ in RepoStore(tx).with_cursors()]
        found = [at for repo in repos for at in self._projects(app, repo)]
        with app.database.read() as tx:
            marks = _marks(tx)
        circles = _feeds(found)
        for at in found:
            try:
                _follow_schedule(app, at, marks)
                _follow_versions(app, at, marks, circles)
            except HeadwayError as error:  # one project's trouble is not the others'
                logger().warning("triggers cannot be followed", project=at.spec.name, error=error.message)
        self._forget(app, found, marks)

    def _projects(self, app: App, repo: Repo) -> Iterator[_At]:
        try:
            tip = default_tip(app, repo.id)
            if tip is not None and self._read.get(repo.id, ("",))[0] != tip:
                specs = [each.spec for each in readable_projects(app, repo.id, tip)]
                self._read[repo.id] = (tip, specs)
        except HeadwayError as error:
            # What is due now is due still when it can be read again.
            logger().warning("triggers cannot be read", repo=repo.name, error=error.message)
            return
        if tip is not None:
            yield from (_At(repo=repo, tip=tip, spec=spec) for spec in self._read[repo.id][1])

    def _forget(self, app: App, found: list[_At], marks: Mapping[_Key, str]) -> None:
        """Drop what no file asks for any more: asked for again later, it begins anew and makes up for nothing."""
        read = {at.repo.id for at in found}
        wanted = {key for at in found for key in _keys(at)}
        stale = [key for key in marks if key[0] in read and key not in wanted]
        if not stale:
            return
        table = schema.trigger_mark.c
        with app.database.write() as tx:
            for repo_id, project, name in stale:
                where = (table.repo_id == repo_id, table.project == project, table.name == name)
                tx.execute(delete(schema.trigger_mark).where(*where))


_Key = tuple[str, str, str]


def _keys(at: _At) -> list[_Key]:
    names = [f"version:{name}" for name in at.spec.triggers.versions]
    if at.spec.triggers.schedule is not None:
        names.append(f"schedule:{at.spec.triggers.schedule}")
    return [(at.repo.id, at.spec.name, name) for name in names]


def _marks(tx: Connection) -> dict[_Key, str]:
    rows = tx.execute(select(schema.trigger_mark))
    return {(row.repo_id, row.project, row.name): row.mark for row in rows}


def _follow_schedule(app: App, at: _At, marks: Mapping[_Key, str]) -> None:
    text = at.spec.triggers.schedule
    if text is None:
        return
    now, key = app.clock.now(), (at.repo.id, at.spec.name, f"schedule:{text}")
    before = marks.get(key)
    if before is None:
        _move(app, key, before=None, to=now.isoformat(), command=None)
        return
    due = parse_cron(text).latest(after=datetime.fromisoformat(before), until=now)
    if due is None:
        return
    command = _training(
        app,
        at,
        origin=Origin.SCHEDULE,
        actor=SYSTEM,
        happened=happening("schedule", at.spec.name, due.isoformat()),
        cause=f"schedule {text!r} was due at {due:%Y-%m-%d %H:%M} UTC",
    )
    _move(app, key, before=before, to=due.isoformat(), command=command)


def _follow_versions(app: App, at: _At, marks: Mapping[_Key, str], circles: Mapping[_Name, frozenset[str]]) -> None:
    for model in at.spec.triggers.versions:
        key = (at.repo.id, at.spec.name, f"version:{model}")
        before = marks.get(key)
        with app.database.read() as tx:
            newest = _newest(app, tx, at, model)
            is_circle = newest is not None and before is not None and _is_circle(tx, newest, at, circles)
        number = 0 if newest is None else newest.number
        if before is None:
            _move(app, key, before=None, to=str(number), command=None)
        elif newest is not None and number > int(before):
            command = _training(
                app,
                at,
                origin=Origin.VERSION,
                actor=newest.created_by or SYSTEM,
                happened=happening("newer", model, number, at.spec.name),
                cause=f"version {number} of {model} was registered",
            )
            _move(app, key, before=before, to=str(number), command=None if is_circle else command)


def _newest(app: App, tx: Connection, at: _At, model: str) -> ModelVersion | None:
    """Return the newest version of a model that this repository's project may know of."""
    whose = project_of(tx, Kind.MODEL, model)
    if whose is None or not may_use(ProjectStore(tx).of_repo(at.repo.id), whose):
        return None
    return next(iter(RegistryStore(tx, app.clock).versions(model, limit=1)), None)


_Name = tuple[str, str]  # a repository and a project in it: two repositories may have projects of one name


def _feeds(found: list[_At]) -> dict[_Name, frozenset[str]]:
    """Return for each project the models that follow from it, through whatever waits for its versions."""
    made = {_name(at): at.spec.model.name for at in found if at.spec.model is not None}
    waits: dict[str, set[_Name]] = {}
    for at in found:
        for model in at.spec.triggers.versions:
            waits.setdefault(model, set()).add(_name(at))
    return {name: _reached(name, made, waits) for name in made}


def _name(at: _At) -> _Name:
    return at.repo.id, at.spec.name


def _reached(start: _Name, made: Mapping[_Name, str], waits: Mapping[str, set[_Name]]) -> frozenset[str]:
    seen: set[str] = set()
    todo = [start]
    while todo:
        model = made.get(todo.pop())
        if model is not None and model not in seen:
            seen.add(model)
            todo += waits.get(model, ())
    return frozenset(seen)


def _is_circle(tx: Connection, version: ModelVersion, at: _At, circles: Mapping[_Name, frozenset[str]]) -> bool:
    """Whether a version comes of a training that this very project's versions set off: it would never end."""
    if not version.lineage.job_id or version.model not in circles.get(_name(at), frozenset()):
        return False
    command = CommandStore(tx).get(JobStore(tx).get(version.lineage.job_id).command_id)
    if command.origin is Origin.VERSION:
        logger().warning("versions go round in a circle", project=at.spec.name, model=version.model)
    return command.origin is Origin.VERSION


def _training(app: App, at: _At, *, origin: Origin, actor: str, happened: str, cause: str) -> Command:
    aim = Aim(repo_id=at.repo.id, project=at.spec.name, head_sha=at.tip, branch=at.repo.default_branch)
    return command_of(app, Cause(origin=origin, actor=actor, once=happened, words=cause), aim)


def _move(app: App, key: _Key, *, before: str | None, to: str, command: Command | None) -> None:
    """Mark how far a trigger was followed, and record its command; whoever comes second does neither."""
    repo_id, project, name = key
    now = app.clock.now()
    table = schema.trigger_mark
    with app.database.write() as tx:
        if before is None:
            insert = sqlite.insert if tx.dialect.name == "sqlite" else postgresql.insert
            row = insert(table).values(repo_id=repo_id, project=project, name=name, mark=to, at=now)
            tx.execute(row.on_conflict_do_nothing())
            return
        same = (table.c.repo_id == repo_id, table.c.project == project, table.c.name == name, table.c.mark == before)
        if tx.execute(update(table).where(*same).values(mark=to, at=now)).rowcount and command is not None:
            CommandStore(tx).add(command)
