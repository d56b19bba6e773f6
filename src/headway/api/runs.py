"""Runs for the terminal and the pages; programs use the MLflow wire."""

from __future__ import annotations

from typing import Any

from headway.api.answers import Call
from headway.auth.visible import sight_text
from headway.errors import NotFound
from headway.flow.find_runs import find_run, find_runs


def list_runs(call: Call) -> Any:
    """Return runs by MLflow's filter language."""
    with call.app.database.read() as tx:
        return find_runs(
            tx,
            where=call.query.get("filter", ""),
            order=call.query.get("order"),
            limit=call.number("limit", 20),
            sight=sight_text(call.principal, "project"),
        )


def show(call: Call) -> Any:
    """Return one run, by id or its first characters."""
    with call.app.database.read() as tx:
        found = find_run(tx, call.path["run"])
    if found is None:
        raise NotFound(f"there is no run {call.path['run']}", hint="headway runs list")
    return found
