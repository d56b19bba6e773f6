"""Whose folder a key of the artifact store lies in, and whether its bytes may still change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from headway.blobs.keys import checked_key, parents
from headway.db import schema
from headway.tracking.link import Link, marks
from headway.tracking.location import artifact_uri

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

_SCHEME = "mlflow-artifacts:/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The run or the logged model that a folder of artifacts belongs to."""

    root: str  # key of the folder
    run_id: str  # the run, or the run that made the model; "" when nobody knows
    experiment_id: str
    model_id: str = ""


def key_of(uri: str) -> str | None:
    """Return the key of an artifact location that this server keeps; None for one that the client opens itself.

    Raises:
        UsageError: the path leaves the grammar of keys.
    """
    if not uri.startswith(_SCHEME) or uri.startswith(f"{_SCHEME}/"):
        return None
    return checked_key(uri.removeprefix(_SCHEME))


def uri_of(key: str) -> str:
    """Return the location by which clients name a key."""
    return f"{_SCHEME}{key}"


def run_location(tx: Connection, run_id: str) -> str | None:
    """Return where a run's artifacts lie; None for an unknown run."""
    found = tx.execute(
        select(schema.experiment.c.artifact_location)
        .join(schema.run, schema.run.c.exp == schema.experiment.c.id)
        .where(schema.run.c.uuid == run_id, schema.run.c.stage != "purging"),
    ).scalar()
    return None if found is None else artifact_uri(found, run_id)


def owner_of(tx: Connection, key: str) -> Owner | None:
    """Return who owns a key: the run or logged model below whose `artifacts` folder it lies; None for nobody."""
    parts = key.split("/")
    for index, part in enumerate(parts[:-1]):
        if parts[index + 1] != "artifacts":
            continue
        root = "/".join(parts[: index + 2])
        found = _model_owner(tx, part, root) if part.startswith("m-") else _run_owner(tx, part, root)
        if found is not None:
            return found
    return None


def is_sealed(tx: Connection, key: str) -> bool:
    """Tell whether changing or deleting `key` would change the bytes of a version that was registered by digest."""
    # Asked before each upload: through SQLAlchemy it took longer than a file of 4 KB.
    keys = (key, *parents(key))
    found = Link(tx).one(
        f"select 1 from model_version where digest <> '' and (source in ({marks(len(keys))}) "  # noqa: S608  # marks only
        "or source like ? escape '\\') limit 1",
        (*keys, _escaped(key) + "/%"),
    )
    return found is not None


def is_registered(tx: Connection, key: str) -> bool:
    """Tell whether `key` lies in the folder of a registered version."""
    return tx.execute(select(schema.model_version.c.number).where(holds_key(key)).limit(1)).first() is not None


def holds_key(key: str) -> ColumnElement[bool]:
    """Return the condition that a key lies in the folder of a version."""
    return schema.model_version.c.source.in_((key, *parents(key)))


def _run_owner(tx: Connection, run_id: str, root: str) -> Owner | None:
    location = run_location(tx, run_id)
    if location is None or key_of(location) != root:
        return None
    exp = tx.execute(select(schema.run.c.exp).where(schema.run.c.uuid == run_id)).scalar_one()
    return Owner(root=root, run_id=run_id, experiment_id=str(exp))


def _model_owner(tx: Connection, model_id: str, root: str) -> Owner | None:
    model = schema.logged_model
    wanted = select(model.c.artifact_uri, model.c.source_run_id, model.c.exp).where(model.c.id == model_id)
    row = tx.execute(wanted).first()
    if row is None or key_of(row.artifact_uri) != root:
        return None
    return Owner(root=root, run_id=row.source_run_id, experiment_id=str(row.exp), model_id=model_id)


def _escaped(key: str) -> str:
    return key.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
