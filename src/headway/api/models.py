"""Registered models and their versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from headway.api.answers import Call, WholeNumber
from headway.auth.visible import in_sight
from headway.db import schema
from headway.registry.rows import count_versions, read_models
from headway.registry.store import RegistryStore


def list_models(call: Call) -> Any:
    """Return every model with its newest version."""
    with call.app.database.read() as tx:
        model = schema.registered_model.c
        seen = in_sight(call.principal, model.project)
        found = read_models(tx, select(schema.registered_model).where(*seen).order_by(model.name))
        counts = count_versions(tx, [each.name for each in found])
    return [{"name": each.name, "versions": counts.get(each.name, 0), "latest": each.newest} for each in found]


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
