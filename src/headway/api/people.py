"""Users, projects and tokens: who may come in, how far, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from headway.api.answers import Call
from headway.app import App
from headway.auth.model import NO_PROJECT, Principal, Role, Token, TokenKind, User
from headway.auth.projects import ProjectStore
from headway.auth.tokens import TokenStore
from headway.auth.users import UserStore, read_role
from headway.auth.visible import in_sight
from headway.db import schema
from headway.errors import NotFound, Refused, UsageError

LONGEST = timedelta(days=3650)


def list_users(call: Call) -> Any:
    """Return everybody with their roles."""
    with call.app.database.read() as tx:
        return [_shown(user) for user in UserStore(tx).list()]


def show_user(call: Call) -> Any:
    """Return one person with their roles and tokens."""
    with call.app.database.read() as tx:
        user = UserStore(tx).get(call.path["user"])
        tokens = TokenStore(tx).list_user_tokens(user.name)
    return _shown(user) | {"tokens": [_shown_token(call, token) for token in tokens]}


@dataclass(frozen=True, kw_only=True)
class AddUser:
    """A person, and what they may do where nothing else is said."""

    name: str
    role: str = "viewer"


def add_user(call: Call) -> Any:
    """Take somebody in; they can do nothing before they have a token."""
    wanted = call.body(AddUser)
    with call.app.database.write() as tx:
        return _shown(
            UserStore(tx).add(wanted.name, read_role(wanted.role), at=call.app.clock.now(), by=call.principal.user)
        )


class ChangeUser(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What shall be otherwise."""

    role: str | None = None
    disabled: bool | None = None


def change_user(call: Call) -> Any:
    """Give another server-wide role, or shut out and let in again."""
    wanted, name = call.body(ChangeUser), call.path["user"]
    at, by = call.app.clock.now(), call.principal.user
    with call.app.database.write() as tx:
        store = UserStore(tx)
        if wanted.role is not None:
            store.set_role(name, read_role(wanted.role), at=at, by=by)
        if wanted.disabled is not None:
            store.set_disabled(name, disabled=wanted.disabled, at=at, by=by)
        changed = store.get(name)
    call.app.authenticator.forget_all()
    return _shown(changed)


@dataclass(frozen=True, kw_only=True)
class Grant:
    """A role in one project."""

    role: str


def grant(call: Call) -> Any:
    """Give a role in one project, in place of the server-wide one."""
    role = read_role(call.body(Grant).role)
    with call.app.database.write() as tx:
        project = ProjectStore(tx).get(call.path["project"])
        store = UserStore(tx)
        store.grant(call.path["user"], project, role=role, at=call.app.clock.now(), by=call.principal.user)
        changed = store.get(call.path["user"])
    call.app.authenticator.forget_all()
    return _shown(changed) | {"project": project}


def revoke(call: Call) -> Any:
    """Take a role in one project away."""
    with call.app.database.write() as tx:
        project = ProjectStore(tx).get(call.path["project"])
        store = UserStore(tx)
        store.revoke(call.path["user"], project, at=call.app.clock.now(), by=call.principal.user)
        changed = store.get(call.path["user"])
    call.app.authenticator.forget_all()
    return _shown(changed) | {"project": project}


def list_projects(call: Call) -> Any:
    """Return the projects that the caller may see, with the caller's role in each."""
    with call.app.database.read() as tx:
        found = ProjectStore(tx).list(*in_sight(call.principal, schema.project.c.name))
    return [
        {
            "name": each.name,
            "repos": each.repos,
            "role": call.principal.role_in(each.name).name.lower(),
            "created_at": each.created_at,
            "created_by": each.created_by,
        }
        for each in found
    ]


@dataclass(frozen=True, kw_only=True)
class AddProject:
    """A project without a repository: for experiments and models made by hand."""

    name: str


def add_project(call: Call) -> Any:
    """Make a project."""
    name = call.body(AddProject).name
    with call.app.database.write() as tx:
        ProjectStore(tx).add(name, at=call.app.clock.now(), by=call.principal.user)
    return {"name": name}


# --- tokens -----------------------------------------------------------------------------------------


def list_tokens(call: Call) -> Any:
    """Return the caller's tokens, an administrator everybody's; a token of one project sees those of that project."""
    who = call.principal
    with call.app.database.read() as tx:
        found = TokenStore(tx).list_user_tokens(None if _is_admin(who) else who.user)
    return [_shown_token(call, each) for each in found if who.project in (NO_PROJECT, each.project)]


class MakeToken(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a token may be used for; what is left out is the caller's own."""

    user: str = ""
    project: str = NO_PROJECT
    role: str = ""
    expires_in: int | None = None  # seconds; None = never
    label: str = ""


def make_token(call: Call) -> Any:
    """Make a token and return its text: the only time that it can be seen."""
    wanted, who = call.body(MakeToken), call.principal
    user, now = wanted.user or who.user, call.app.clock.now()
    if user != who.user and not _is_admin(who):
        raise Refused(f"{who.user} may make tokens for nobody else", hint="ask an administrator of this server")
    if len(wanted.label) > 128:
        raise UsageError("the label has over 128 characters")
    with call.app.database.write() as tx:
        project = ProjectStore(tx).get(wanted.project) if wanted.project else who.project
        role = _role_for(tx, who, user, project=project, asked=wanted.role)
        store = TokenStore(tx)
        text = store.mint(
            TokenKind.USER,
            user,
            role=role,
            at=now,
            expires_at=_end(wanted.expires_in, now, _own_end(store, who, user)),
            project=project,
            label=wanted.label,
            by=who.user,
        )
        made = store.find(text.split("_")[1])
    assert made is not None  # noqa: S101  # minted four lines ago
    return _shown_token(call, made[0]) | {"token": text}


def _role_for(tx: Any, who: Principal, user: str, *, project: str, asked: str) -> Role:
    """Return the role of a new token: never above its user's, nor above that of the token that makes it."""
    if who.project not in (NO_PROJECT, project) or (project and who.role_in(project) < Role.VIEWER):
        raise NotFound(f"there is no project {project[:128]}", hint="headway project list")
    known = UserStore(tx).find(user)
    if known is None and user != who.user:
        raise NotFound(f"there is no user {user[:128]}", hint=f"headway user add {user[:128]}")
    own = who.role_in(project) if project else who.highest
    theirs = own if known is None else _most(known, project)
    most = min(own, theirs)
    role = read_role(asked) if asked else most
    if role > most or role is Role.NONE:
        where = f" in {project}" if project else ""
        raise Refused(
            f"a token of {user}{where} cannot have the role {role.name.lower()}",
            cause=f"the most that can be given is {most.name.lower()}",
            hint=f"headway user grant {user} {project or 'PROJECT'} {role.name.lower()}, by an administrator",
        )
    return role


def _most(user: User, project: str) -> Role:
    return user.role_in(project) if project else max([user.role, *user.projects.values()])


def _own_end(store: TokenStore, who: Principal, user: str) -> datetime | None:
    """Return when the caller's own token ends: what it makes for the same person must not live longer."""
    found = store.find(who.token_id) if who.token_id and user == who.user else None
    if found is None:
        return None
    parent = store.find(found[0].parent) if found[0].kind is TokenKind.SESSION else found
    return parent[0].expires_at if parent else None


def _end(seconds: int | None, now: datetime, latest: datetime | None) -> datetime | None:
    if seconds is not None and not 0 < seconds <= LONGEST.total_seconds():
        raise UsageError(
            f"expires_in={seconds} is not a number of seconds up to ten years",
            hint="leave it out for a token without end",
        )
    end = None if seconds is None else now + timedelta(seconds=seconds)
    if latest is None:
        return end
    return latest if end is None else min(end, latest)


def revoke_token(call: Call) -> Any:
    """End a token of the caller's own, or as an administrator anybody's."""
    end_token(call.app, call.principal, call.path["token"])
    return {"id": call.path["token"], "revoked": True}


def end_token(app: App, who: Principal, token_id: str) -> None:
    """End a token, if it is theirs or they are an administrator.

    Raises:
        NotFound: there is none that they may know of.
    """
    with app.database.write() as tx:
        store = TokenStore(tx)
        found = store.find(token_id)
        is_theirs = found is not None and (found[0].user == who.user or _is_admin(who))
        if found is None or not is_theirs or who.project not in (NO_PROJECT, found[0].project):
            raise NotFound(f"there is no token {token_id[:40]}", hint="headway token list")
        store.revoke(token_id, at=app.clock.now(), by=who.user)
    app.authenticator.forget_all()


def _is_admin(who: Principal) -> bool:
    return who.floor >= Role.ADMIN


def _shown(user: User) -> dict[str, Any]:
    return {
        "name": user.name,
        "role": user.role.name.lower(),
        "disabled": user.disabled,
        "projects": {name: role.name.lower() for name, role in user.projects.items()},
        "created_at": user.created_at,
        "created_by": user.created_by,
    }


def _shown_token(call: Call, token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "user": token.user,
        "role": token.role.name.lower(),
        "project": token.project,
        "label": token.label,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "expired": token.expires_at is not None and token.expires_at <= call.app.clock.now(),
        "last_used_at": token.last_used_at,
        "is_this": token.id == call.principal.token_id,
    }
