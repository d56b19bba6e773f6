"""Secrets: set and forgotten by name; no route ever returns a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headway.api.answers import Call
from headway.auth.secrets import SecretStore


def list_names(call: Call) -> Any:
    """Return the names."""
    with call.app.database.read() as tx:
        return SecretStore(tx).list_names(call.path["repo"])


@dataclass(frozen=True, kw_only=True)
class SetSecret:
    """A value, on its way in only."""

    value: str


def set_value(call: Call) -> Any:
    """Set or replace a secret."""
    with call.app.database.write() as tx:
        SecretStore(tx).set(
            call.path["repo"],
            call.path["name"],
            value=call.body(SetSecret).value,
            by=call.principal.user,
            at=call.app.clock.now(),
        )
    return {"name": call.path["name"]}


def remove(call: Call) -> Any:
    """Forget a secret."""
    with call.app.database.write() as tx:
        SecretStore(tx).remove(call.path["repo"], call.path["name"], by=call.principal.user, at=call.app.clock.now())
    return {}
