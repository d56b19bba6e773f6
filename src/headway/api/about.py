"""The server itself: what it is, whether all is well, cleaning up, backup."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from headway import __version__
from headway.api.answers import Call, WholeNumber, place
from headway.auth.model import Role
from headway.db import schema
from headway.db.backup import back_up
from headway.errors import NotFound, UsageError
from headway.flow.checkup import check_up, rehearse_live
from headway.flow.cleaning import clean_up


def server(call: Call) -> Any:
    """Return version, folder and limits."""
    settings, reach = call.app.settings, call.principal.reach
    return {
        "version": __version__,
        "data": str(settings.data),
        "slots": settings.slots,
        "auth": settings.auth,
        "user": call.principal.user,
        "role": call.principal.role.name.lower(),
        "project": call.principal.project,  # the token's own, if it is for one
        "projects": {} if reach is None else {name: role.name.lower() for name, role in reach.projects.items()},
    }


def doctor(call: Call) -> Any:
    """Return every check with what mends it; GitHub is asked for an administrator alone, since it costs limits."""
    return check_up(call.app, asks_github=call.principal.role >= Role.ADMIN)


@dataclass(frozen=True, kw_only=True)
class Rehearse:
    """Where to rehearse: OWNER/REPO, and a change of it; without one, a change is opened and closed again."""

    repo: str
    change: WholeNumber | None = None


def doctor_live(call: Call) -> Any:
    """Do comment, check and deployment once on a real repository; return what worked."""
    wanted = call.body(Rehearse)
    return rehearse_live(call.app, wanted.repo, change=wanted.change)


def clean(call: Call) -> Any:
    """Free what nothing refers to."""
    return clean_up(call.app)


@dataclass(frozen=True, kw_only=True)
class BackUp:
    """Where to write the backup: a new folder on the server's machine."""

    path: str


def backup(call: Call) -> Any:
    """Write a consistent copy of database and files while everything goes on."""
    target = place("path", call.body(BackUp).path)
    if target.resolve().is_relative_to(call.app.data.resolve()):
        raise UsageError(
            f"{target} is in the data directory itself",
            cause="what is lost with the original is no backup",
            hint="name a folder elsewhere, best on another disk",
        )
    try:
        return back_up(call.app.database, call.app.data, target)
    except (OSError, sqlite3.Error) as error:
        raise UsageError(f"the backup cannot be written to {target}", cause=str(error)) from error


def events(call: Call) -> Any:
    """Return the record of state changes, newest first; with `after=SEQ` oldest first, to export all of it."""
    table = schema.event.c
    where = [table[name] == call.query[name] for name in ("entity", "entity_id", "actor") if name in call.query]
    order = table.seq.desc()
    if "after" in call.query:
        where.append(table.seq > call.number("after", 0, most=2**53))
        order = table.seq.asc()
    query = select(schema.event).where(*where).order_by(order).limit(call.number("limit", 100))
    with call.app.database.read() as tx:
        return [dict(row) for row in tx.execute(query).mappings()]


def absent(call: Call) -> Any:
    """Say in JSON that there is no such route: a program reads this, no person."""
    raise NotFound(f"the API has no such route: {call.path['rest'][:80]!r}", hint="docs/reference/api.md lists them")
