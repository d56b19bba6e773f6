"""Registered models and their versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from headway.api.answers import Call, WholeNumber
from headway.auth.visible import in_sight
from headway.db import schema
from headway.registry.model import ModelVersion
from headway.registry.store import RegistryStore


def list_models(call: Call) -> Any:
    """Return every model with its newest version."""
    with call.app.database.read() as tx:
        store = RegistryStore(tx, call.app.clock)
        model = schema.registered_model.c
        seen = in_sight(call.principal, model.project)
        names = tx.execute(select(model.name).where(*seen).order_by(model.name)).scalars()
        return [_summary(name, sorted(store.versions(name), key=lambda each: each.number)) for name in names]


def _summary(name: str, versions: list[ModelVersion]) -> dict[str, Any]:
    return {"name": name, "versions": len(versions), "latest": versions[-1] if versions else None}


def show(call: Call) -> Any:
    """Return a model with all its versions, newest first."""
    with call.app.database.read() as tx:
        store = RegistryStore(tx, call.app.clock)
        model = store.get_model(call.path["model"])
        versions = sorted(store.versions(model.name), key=lambda each: -each.number)
    return {"model": model, "versions": versions}


@dataclass(frozen=True, kw_only=True)
class SetAlias:
    """A movable name of one version."""

    alias: str
    version: WholeNumber


def set_alias(call: Call) -> Any:
    """Move an alias; the move is an event."""
    wanted = call.body(SetAlias)
    with call.app.database.write() as tx:
        store = RegistryStore(tx, call.app.clock)
        store.set_alias(call.path["model"], wanted.alias, number=wanted.version, actor=call.principal.user)
        return store.get_version(call.path["model"], wanted.version)
