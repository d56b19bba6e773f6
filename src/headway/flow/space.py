"""Where the bytes are: measured now and then by the worker, kept with its date, and read as often as anybody likes."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import msgspec
from sqlalchemy import Connection, func, select

from headway.app import App
from headway.auth.model import Principal, Role
from headway.blobs.base import BlobStore
from headway.db import schema
from headway.db.reclaim import database_size
from headway.registry.digest import walk

FILE = "space.json"
TOP = 10
_SLICE = 500
_FOLDERS = ("environments", "attempts", "builds", "checkouts", "releases", "deployments", "hashes")
_RUN = re.compile(r"[0-9a-f]{32}")
_MODEL = re.compile(r"m-[0-9a-f]{32}")

_run, _exp, _model = schema.run.c, schema.experiment.c, schema.logged_model.c


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentSpace:
    """Bytes of one experiment."""

    id: str
    name: str
    project: str
    stage: str
    artifacts: int
    points: int  # of the metrics' histories, in the database


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpace:
    """Bytes of one of the largest runs."""

    run_id: str
    name: str
    experiment: str
    project: str
    stage: str
    artifacts: int
    points: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Everything as it was measured last, and the disk as it is now."""

    at: datetime
    seconds: float  # that measuring took
    kinds: dict[str, int]
    experiments: tuple[ExperimentSpace, ...]  # largest first
    runs: tuple[RunSpace, ...]  # the largest
    in_trash: int  # bytes
    other: int  # artifacts that belong to no experiment
    disk_free: int = 0
    disk_total: int = 0

    @property
    def projects(self) -> dict[str, int]:
        """Bytes of artifacts and points by project."""
        found: Counter[str] = Counter()
        for each in self.experiments:
            found[each.project] += each.artifacts + each.points
        return dict(found.most_common())


def read_space(app: App, principal: Principal) -> Space:
    """Return what the caller may see of the last measurement; the first one is made at once."""
    try:
        known = msgspec.json.decode((app.data / FILE).read_bytes(), type=Space)
    except (OSError, msgspec.DecodeError):
        known = measure(app)
    seen = [each for each in known.experiments if principal.role_in(each.project) >= Role.VIEWER]
    runs = [each for each in known.runs if principal.role_in(each.project) >= Role.VIEWER]
    disk = shutil.disk_usage(app.data)
    return replace(known, experiments=tuple(seen), runs=tuple(runs), disk_free=disk.free, disk_total=disk.total)


def measure(app: App) -> Space:
    """Walk everything once and keep what was found."""
    began = time.monotonic()
    owners = _owners(app.artifacts)
    with app.database.read() as tx:
        points = _points(tx)
        names = {str(row.id): row for row in tx.execute(select(_exp.id, _exp.name, _exp.project, _exp.stage))}
        exps, trashed = _experiments_of(tx, owners)
        runs = _largest(tx, owners)
    artifacts: Counter[str] = Counter()
    for owner, size in owners.items():
        artifacts[exps.get(owner, "")] += size
    experiments = [
        ExperimentSpace(
            id=exp,
            name=row.name,
            project=row.project,
            stage=row.stage,
            artifacts=artifacts[exp],
            points=points.get(exp, 0),
        )
        for exp, row in names.items()
    ]
    kinds = {"artifacts": artifacts.total(), "contents": sum(each.size for each in walk(app.contents, ""))}
    kinds |= {"database": database_size(app.database)}
    kinds |= {name: folder_size(app.data / name) for name in _FOLDERS}
    found = Space(
        at=app.clock.now(),
        seconds=round(time.monotonic() - began, 3),
        kinds=kinds,
        experiments=tuple(sorted(experiments, key=lambda each: (-each.artifacts - each.points, each.name))),
        runs=tuple(runs),
        in_trash=sum(owners[each] for each in trashed),
        other=sum(size for exp, size in artifacts.items() if exp not in names),
    )
    draft = app.data / f".{FILE}.{os.getpid()}"
    with contextlib.suppress(OSError):  # on a full disk it is measured again when somebody asks
        draft.write_bytes(msgspec.json.encode(found))
        draft.replace(app.data / FILE)
    return found


def folder_size(folder: Path) -> int:
    """Return the bytes below a folder; what has several names (hard links) counts once."""
    seen: set[tuple[int, int]] = set()
    size = 0
    for above, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                found = os.lstat(f"{above}/{name}")
                if found.st_nlink == 1 or (found.st_dev, found.st_ino) not in seen:
                    size += found.st_size
                if found.st_nlink > 1:
                    seen.add((found.st_dev, found.st_ino))
    return size


def _owners(blobs: BlobStore) -> dict[str, int]:
    """Return bytes by the run or logged model whose folder a file lies in, else by its first folder."""
    sizes: Counter[str] = Counter()
    for each in walk(blobs, ""):
        parts = each.key.split("/")[:-1]
        owner = next((part for part in parts if _RUN.fullmatch(part) or _MODEL.fullmatch(part)), "")
        sizes[owner or (parts[0] if parts else "")] += each.size
    return dict(sizes)


def _points(tx: Connection) -> dict[str, int]:
    found: Counter[str] = Counter()
    for table in (schema.tail, schema.chunk):
        size = func.sum(func.length(table.c.data))
        query = select(_run.exp, size).join(schema.run, _run.id == table.c.run).group_by(_run.exp)
        for exp, total in tx.execute(query):
            found[str(exp)] += int(total or 0)
    return dict(found)


def _experiments_of(tx: Connection, owners: Iterable[str]) -> tuple[dict[str, str], set[str]]:
    """Return the experiment of each owner of bytes, and which of the owners are in the trash."""
    exps: dict[str, str] = {}
    trashed: set[str] = set()
    names = list(owners)
    for start in range(0, len(names), _SLICE):
        part = names[start : start + _SLICE]
        runs = select(_run.uuid, _run.exp, _run.stage).where(_run.uuid.in_(part))
        models = select(_model.id, _model.exp, _model.stage).where(_model.id.in_(part))
        for name, exp, stage in (*tx.execute(runs), *tx.execute(models)):
            exps[name] = str(exp)
            if stage != "active":
                trashed.add(name)
    # A folder named by a number is an experiment's own.
    return {name: name for name in names if name.isdigit()} | exps, trashed


def _largest(tx: Connection, owners: dict[str, int]) -> list[RunSpace]:
    points: Counter[int] = Counter()
    for table in (schema.tail, schema.chunk):
        size = func.sum(func.length(table.c.data)).label("size")
        query = select(table.c.run, size).group_by(table.c.run).order_by(size.desc()).limit(TOP * 2)
        points.update({int(run): int(total or 0) for run, total in tx.execute(query)})
    by_files = sorted((name for name in owners if _RUN.fullmatch(name)), key=lambda name: -owners[name])[: TOP * 2]
    columns = (_run.id, _run.uuid, _run.name, _run.stage, _exp.name.label("experiment"), _exp.project)
    query = select(*columns).join(schema.experiment, _exp.id == _run.exp)
    rows = tx.execute(query.where(_run.uuid.in_(by_files) | _run.id.in_(list(points)))).all()
    found = [
        RunSpace(
            run_id=row.uuid,
            name=row.name,
            experiment=row.experiment,
            project=row.project,
            stage=row.stage,
            artifacts=owners.get(row.uuid, 0),
            points=points.get(row.id, 0),
        )
        for row in rows
    ]
    return sorted(found, key=lambda each: -each.artifacts - each.points)[:TOP]


def shares(space: Space) -> Sequence[tuple[str, int]]:
    """Return kinds and bytes, largest first."""
    return sorted(space.kinds.items(), key=lambda each: -each[1])
