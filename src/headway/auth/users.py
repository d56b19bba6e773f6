"""Users and what they may do where: a server-wide role, and memberships that take its place in one project."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select, update

from headway.auth.model import Role, User
from headway.db import events, schema
from headway.errors import Conflict, NotFound, Refused, UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

_account = schema.account
_membership = schema.membership

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}\Z")
# What Headway itself signs with: such a user's doings could be taken for its own.
_TAKEN = frozenset({"headway", "local", "unknown"})
_ATTEMPT = re.compile(r"job-[0-9]+\Z")


class UserStore:
    """Users and their memberships, inside one transaction."""

    def __init__(self, tx: Connection) -> None:
        """Work inside the caller's transaction."""
        self._tx = tx

    def add(self, name: str, role: Role, *, at: datetime, by: str) -> User:
        """Take in a person under a name that stays theirs.

        Raises:
            UsageError: the name cannot be one.
            Conflict: there is somebody of that name.
        """
        check_user_name(name)
        if self.find(name) is not None:
            raise Conflict(f"there is a user {name} already", hint=f"headway user show {name}")
        self._insert(name, role, at=at, by=by)
        return self.get(name)

    def ensure_admin(self, name: str, *, at: datetime, by: str) -> None:
        """See that whoever started the server is known; what they may is left as it is."""
        if self.find(name) is None:
            self._insert(name, Role.ADMIN, at=at, by=by)

    def _insert(self, name: str, role: Role, *, at: datetime, by: str) -> None:
        row = {"name": name, "role": int(role), "disabled": False, "created_at": at, "created_by": by}
        self._tx.execute(_account.insert().values(row))
        events.record(self._tx, "user", name, to_state=role.name.lower(), at=at, actor=by)

    def find(self, name: str) -> User | None:
        """Return a user, also a disabled one; None for an unknown name."""
        row = self._tx.execute(select(_account).where(_account.c.name == name)).one_or_none()
        return None if row is None else _user(row, self._memberships(name).get(name, {}))

    def get(self, name: str) -> User:
        """Return a user.

        Raises:
            NotFound: nobody has that name.
        """
        found = self.find(name)
        if found is None:
            raise NotFound(f"there is no user {name[:128]}", hint="headway user list")
        return found

    def list(self) -> tuple[User, ...]:
        """Return everybody by name, disabled ones too."""
        memberships = self._memberships()
        rows = self._tx.execute(select(_account).order_by(_account.c.name))
        return tuple(_user(row, memberships.get(row.name, {})) for row in rows)

    def set_role(self, name: str, role: Role, *, at: datetime, by: str) -> None:
        """Give another server-wide role.

        Raises:
            Refused: the last administrator would lose theirs.
        """
        before = self.get(name)
        if before.role is Role.ADMIN and role is not Role.ADMIN:
            self._keep_an_admin(name, "lose that role")
        self._tx.execute(update(_account).where(_account.c.name == name).values(role=int(role)))
        self._record(name, before.role.name.lower(), role.name.lower(), at=at, by=by)

    def set_disabled(self, name: str, *, disabled: bool, at: datetime, by: str) -> None:
        """Shut somebody out, with every token and session, or let them in again; nothing is forgotten.

        Raises:
            Refused: it is the last administrator.
        """
        before = self.get(name)
        if disabled and before.role is Role.ADMIN and not before.disabled:
            self._keep_an_admin(name, "be disabled")
        self._tx.execute(update(_account).where(_account.c.name == name).values(disabled=disabled))
        self._record(name, None, "disabled" if disabled else "enabled", at=at, by=by)

    def grant(self, name: str, project: str, *, role: Role, at: datetime, by: str) -> None:
        """Give a role in one project, in place of the server-wide one; `NONE` shuts out of it."""
        self.get(name)
        self._drop(name, project)
        self._tx.execute(_membership.insert().values(user=name, project=project, role=int(role)))
        self._record(name, None, f"{role.name.lower()}", at=at, by=by, project=project)

    def revoke(self, name: str, project: str, *, at: datetime, by: str) -> None:
        """Take a membership away: the server-wide role counts again.

        Raises:
            NotFound: there is no such membership.
        """
        self.get(name)
        if not self._drop(name, project):
            raise NotFound(f"{name} has no role of their own in {project}", hint=f"headway user show {name}")
        self._record(name, None, "revoked", at=at, by=by, project=project)

    def _drop(self, name: str, project: str) -> int:
        here = (_membership.c.user == name, _membership.c.project == project)
        return self._tx.execute(delete(_membership).where(*here)).rowcount

    def _memberships(self, name: str | None = None) -> dict[str, dict[str, Role]]:
        query = select(_membership).order_by(_membership.c.project)
        found: dict[str, dict[str, Role]] = defaultdict(dict)
        for row in self._tx.execute(query if name is None else query.where(_membership.c.user == name)):
            found[row.user][row.project] = Role(row.role)
        return found

    def _keep_an_admin(self, name: str, verb: str) -> None:
        others = select(func.count()).where(
            _account.c.role == int(Role.ADMIN), _account.c.disabled.is_(False), _account.c.name != name
        )
        if not self._tx.execute(others).scalar_one():
            raise Refused(
                f"{name} is the last administrator and cannot {verb}",
                cause="nobody could undo it",
                hint="make somebody else an admin first: headway user add NAME --role admin",
            )

    def _record(
        self, name: str, from_state: str | None, to_state: str, *, at: datetime, by: str, project: str = ""
    ) -> None:
        detail = {"project": project} if project else None
        events.record(self._tx, "user", name, from_state=from_state, to_state=to_state, at=at, actor=by, detail=detail)


def check_user_name(name: str) -> None:
    """Refuse a name that cannot be told from Headway's own, or that a terminal or address would mangle."""
    if not _NAME.match(name):
        raise UsageError(
            f"{name[:128]!r} is not a usable user name",
            hint="letters, digits and . _ @ + -, beginning with a letter or digit; at most 128",
        )
    if name.lower() in _TAKEN or _ATTEMPT.match(name):
        raise UsageError(f"{name} is a name that Headway signs with itself", hint="choose another name")


def read_role(text: str) -> Role:
    """Return the role of a name.

    Raises:
        UsageError: there is no such role.
    """
    try:
        return Role[text.strip().upper()]
    except KeyError:
        raise UsageError(
            f"{text[:40]!r} is not a role", hint="none, viewer, contributor, maintainer or admin"
        ) from None


def _user(row: Any, projects: dict[str, Role]) -> User:
    return User(
        name=row.name,
        role=Role(row.role),
        disabled=bool(row.disabled),
        created_at=row.created_at,
        created_by=row.created_by,
        projects=projects,
    )
