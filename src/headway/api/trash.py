"""The trash, purges, space and retention: what is deleted, where the bytes are, and how long things are kept."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from headway.api.answers import Call
from headway.auth.model import Role
from headway.errors import Conflict, NotFound, UsageError
from headway.flow.cleaning import reclaim_now
from headway.flow.keeping import KeepRules, refresh
from headway.flow.purge import Asked, ask_purge, find_purge, list_purges, would_go
from headway.flow.retention import Retained, retain, would_retain
from headway.flow.space import measure, read_space
from headway.flow.trash import list_trash, restore
from headway.projects.units import DURATION, read_duration

_MOST = 1_000
_alone = threading.Lock()  # measuring and reclaiming walk everything: one at a time


def list_items(call: Call) -> Any:
    """Return what lies in the trash, deleted last first."""
    limit, offset = call.number("limit", 50), call.number("offset", 0, most=10**9)
    return list_trash(call.app, call.principal, limit=limit, offset=offset)


@dataclass(frozen=True, kw_only=True)
class Restore:
    """One thing to take out of the trash: a run's, experiment's or logged model's id."""

    id: str


def put_back(call: Call) -> Any:
    """Take one thing out of the trash."""
    item = restore(call.app, call.body(Restore).id, call.principal)
    return {"kind": item.kind, "id": item.id, "name": item.name}


@dataclass(frozen=True, kw_only=True)
class PurgeRequest:
    """What shall go for good: named things, or everything that is older than a duration such as `30d`."""

    ids: list[str] | None = None
    older_than: str | None = None
    everything: bool = False
    forget_results: bool = False
    dry_run: bool = False


def purge(call: Call) -> Any:
    """Mark what may go, and return the purge that the worker carries out; a dry run changes nothing."""
    wanted = call.body(PurgeRequest)
    names = tuple(wanted.ids or ())
    if len(names) > _MOST:
        raise UsageError(f"{len(names)} things are named, and {_MOST} can be", hint="use older_than")
    if not names and wanted.older_than is None and not wanted.everything:
        raise UsageError("say what shall go", hint="ids, older_than, or everything: true")
    asked = Asked(names=names, older_than=_age(wanted.older_than), forget_results=wanted.forget_results)
    return (would_go if wanted.dry_run else ask_purge)(call.app, asked, call.principal)


def _age(text: str | None) -> timedelta | None:
    if text is None:
        return None
    if not re.fullmatch(DURATION, text):
        raise UsageError(f"older_than={text[:40]!r} is not a duration", hint="30d, 12h")
    return read_duration(text)


def purges(call: Call) -> Any:
    """Return purges, newest first."""
    return list_purges(call.app, limit=call.number("limit", 20))


def show_purge(call: Call) -> Any:
    """Return one purge as it stands, to whoever asked for it and to administrators."""
    found = find_purge(call.app, call.path["purge"])
    if found.actor != call.principal.user and call.principal.role < Role.ADMIN:
        raise NotFound(f"there is no purge {found.id}", hint="headway trash list")
    return found


def space(call: Call) -> Any:
    """Return where the bytes were at the last measurement; `projects` sums the experiments."""
    found = read_space(call.app, call.principal)
    plain = {name: getattr(found, name) for name in found.__slots__}
    return plain | {"projects": found.projects}


def measure_space(call: Call) -> Any:
    """Measure again now."""
    _once(lambda: measure(call.app))
    return space(call)


def reclaim(call: Call) -> Any:
    """Trim what grows for ever, and give the database's unused space back."""
    return _once(lambda: reclaim_now(call.app))


def _once(work: Any) -> Any:
    if not _alone.acquire(blocking=False):
        raise Conflict("it is under way already", hint="wait for it, then ask again")
    try:
        return work()
    finally:
        _alone.release()


def retention(call: Call) -> Any:
    """Return the rules in force and what they would remove now."""
    return _plain(would_retain(call.app, KeepRules.read(call.app)))


@dataclass(frozen=True, kw_only=True)
class Apply:
    """Apply the rules now, or say what they would do by the default branches of this moment."""

    dry_run: bool = False


def apply_retention(call: Call) -> Any:
    """Read the rules anew from the default branches, then apply one batch of them."""
    rules = refresh(call.app)
    if call.body(Apply).dry_run:
        return _plain(would_retain(call.app, rules))
    return _plain(retain(call.app, rules))


def _plain(found: Retained) -> Any:
    rules = found.rules
    days = None if rules.trash is None else rules.trash.total_seconds() / 86_400
    projects = {
        name: {
            "trash_days": None if spec.trash is None else spec.trash.total_seconds() / 86_400,
            "keep_last": spec.keep_last,
            "keep_days": spec.keep_days,
        }
        for name, spec in rules.projects.items()
    }
    rest = {name: getattr(found, name) for name in ("runs", "trash", "purges", "held")}
    return {"trash_days": days, "read_at": rules.at, "projects": projects, **rest}
