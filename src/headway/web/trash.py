"""The trash and the space that things take: restore, or delete for good."""

from __future__ import annotations

from starlette.responses import Response

from headway.auth.model import Role
from headway.errors import Refused
from headway.flow.keeping import KeepRules
from headway.flow.purge import Asked, ask_purge, list_purges
from headway.flow.space import read_space, shares
from headway.flow.trash import list_trash, restore
from headway.web.visit import Visit

PAGE = 50
_RECENT = 5


def show(visit: Visit) -> Response:
    """Show what is deleted, when it goes, what holds it, and where the bytes are."""
    offset = visit.number("offset", 0, most=10**9)
    found = list_trash(visit.app, visit.principal, limit=PAGE, offset=offset)
    is_admin = visit.principal.role >= Role.ADMIN
    space = read_space(visit.app, visit.principal)
    return visit.page(
        "trash.html",
        found=found,
        offset=offset,
        next_offset=offset + PAGE if offset + PAGE < found.total else 0,
        space=space,
        kinds=[each for each in shares(space) if each[1]],
        largest=[each for each in space.experiments if each.artifacts + each.points][:10],
        purges=list_purges(visit.app, limit=_RECENT) if is_admin else [],
        rules=KeepRules.read(visit.app),
        may_restore=visit.principal.highest >= Role.CONTRIBUTOR,
        may_purge=visit.principal.highest >= Role.MAINTAINER,
    )


def put_back(visit: Visit) -> Response:
    """Take one thing out of the trash."""
    restore(visit.app, visit.form.get("id", ""), visit.principal)
    return visit.go("/trash")


def purge(visit: Visit) -> Response:
    """Delete one thing for good; what holds it back is shown as an error with its reason."""
    answer = ask_purge(visit.app, Asked(names=(visit.form.get("id", ""),)), visit.principal)
    if answer.held:
        held = answer.held[0]
        raise Refused(f"{held.kind.replace('_', ' ')} {held.id} stays", cause=held.reason, hint=held.hint)
    return visit.go("/trash")
