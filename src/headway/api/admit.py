"""May this caller do this here? One answer for every route of the API and every page, before its function runs.

A route says what role it needs; its path says of which thing. The thing's project decides which of the caller's roles
counts. Where the caller may not even look, the answer is the one for a thing that is not there. A route that names no
thing is for those who have the role everywhere, unless it is listed in `FILTERED`: then it asks the database only for
what the caller may see.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from headway.app import App
from headway.auth.belongs import Kind, project_of
from headway.auth.model import Principal, Role
from headway.errors import NotFound, Refused

# (method, path) of lists and of what concerns the caller alone.
FILTERED = frozenset(
    {
        # the API
        ("GET", "/server"),
        ("GET", "/repos"),
        ("GET", "/projects"),
        ("GET", "/tokens"),
        ("POST", "/tokens"),
        ("DELETE", "/tokens/{token}"),
        ("GET", "/why/{subject}"),
        ("POST", "/trash/purges"),
        ("GET", "/trash/purges/{purge}"),
        # both: the trash asks for the role in the project of each thing that is named
        ("GET", "/trash"),
        ("POST", "/trash/restore"),
        ("GET", "/space"),
        ("GET", "/jobs"),
        ("GET", "/runs"),
        ("GET", "/models"),
        ("GET", "/deployments"),
        ("GET", "/releases"),
        # pages
        ("POST", "/trash/purge"),
        ("GET", "/"),
        ("GET", "/changes"),
        ("POST", "/commands"),
        ("GET", "/people"),
        ("POST", "/people/tokens"),
        ("GET", "/jobs/compare"),
        ("GET", "/runs/compare"),
        ("GET", "/why"),
        ("POST", "/logout"),
        *((method, "/{rest:path}") for method in ("GET", "POST", "PUT", "PATCH", "DELETE")),
    }
)

# First part of the path -> what its placeholders name.
_THINGS: dict[str, tuple[Kind, frozenset[str]]] = {
    "repos": (Kind.REPO, frozenset({"repo"})),
    "changes": (Kind.REPO, frozenset({"repo"})),
    "commands": (Kind.COMMAND, frozenset({"command"})),
    "jobs": (Kind.JOB, frozenset({"job", "number", "a", "b"})),
    "runs": (Kind.RUN, frozenset({"run", "a", "b"})),
    "models": (Kind.MODEL, frozenset({"model", "name"})),
    "deployments": (Kind.DEPLOYMENT, frozenset({"name"})),
    "releases": (Kind.RELEASE, frozenset({"release"})),
    "projects": (Kind.PROJECT, frozenset({"project"})),
    "users": (Kind.PROJECT, frozenset({"project"})),
}
_PLACEHOLDER = re.compile(r"\{(\w+)(?::\w+)?\}")


def things_of(path: str) -> tuple[Kind, tuple[str, ...]] | None:
    """Return what kind of things a route's path names, and by which placeholders; None when it names none."""
    first = path.split("/", 2)[1]
    if first not in _THINGS:
        return None
    kind, names = _THINGS[first]
    named = tuple(name for name in _PLACEHOLDER.findall(path) if name in names)
    return (kind, named) if named else None


def admit(
    app: App, principal: Principal, method: str, path: str, *, values: Mapping[str, Any], needs: Role
) -> Principal:
    """Return the caller with the role that counts here.

    Raises:
        NotFound: the thing is not there, or the caller may not see it: nobody can tell which.
        Refused: the caller may see it, but not do this to it.
    """
    things = things_of(path)
    if principal.reach is None or needs is Role.NONE:
        _check_role(principal, needs)
        return principal
    if things is None:
        has = principal.highest if (method, path) in FILTERED else principal.floor
        if has < needs:
            is_elsewhere = principal.highest >= needs
            shown = replace(principal, role=has) if is_elsewhere else principal
            _refuse(shown, needs, " in every project" if is_elsewhere else "")
        return principal
    kind, names = things
    for name in names:
        principal = admit_to(app, principal, kind, name=str(values[name]), needs=needs)
    return principal


def admit_to(app: App, principal: Principal, kind: Kind, *, name: str, needs: Role = Role.VIEWER) -> Principal:
    """Return the caller with the role that counts for one thing; errors as `admit`."""
    if principal.reach is None:
        _check_role(principal, needs)
        return principal
    with app.database.read() as tx:
        project = project_of(tx, kind, name)
    if project is None or principal.role_in(project) < Role.VIEWER:
        raise NotFound(f"there is no {kind.value} {name[:80]}", hint="it may also be of a project that is not yours")
    inside = principal.within(project)
    if inside.role < needs:
        _refuse(inside, needs, f" in the project {project}")
    return inside


def _check_role(principal: Principal, needs: Role) -> None:
    if principal.role < needs:
        _refuse(principal, needs, "")


def _refuse(principal: Principal, needs: Role, where: str) -> None:
    has = principal.role.name.lower()
    raise Refused(
        f"{principal.user} may not do this",
        cause=f"it needs the role {needs.name.lower()}{where}, this is {has}",
        hint="use a token with that role, or ask an administrator for it",
    )
