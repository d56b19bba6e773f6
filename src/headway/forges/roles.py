"""What a person's standing at a forge lets them do here."""

from __future__ import annotations

from headway.auth.model import Role
from headway.forges.model import Permission

_ROLES = {
    Permission.NONE: Role.NONE,
    Permission.READ: Role.VIEWER,
    Permission.TRIAGE: Role.CONTRIBUTOR,
    Permission.WRITE: Role.CONTRIBUTOR,
    Permission.MAINTAIN: Role.MAINTAINER,
    Permission.ADMIN: Role.ADMIN,
}


_PERMISSIONS = {
    Role.NONE: Permission.NONE,
    Role.VIEWER: Permission.READ,
    Role.CONTRIBUTOR: Permission.WRITE,
    Role.MAINTAINER: Permission.MAINTAIN,
    Role.ADMIN: Permission.ADMIN,
}


def permission_of(role: Role) -> Permission:
    """Return the standing that a role amounts to, where this server's users are the forge's."""
    return _PERMISSIONS[role]


# GitHub's older field knows three: what each of them may be at most, and what it is where the newer says a team's word.
_AT_MOST = {"admin": Permission.ADMIN, "write": Permission.MAINTAIN, "read": Permission.TRIAGE}
_AT_LEAST = {"admin": Permission.ADMIN, "write": Permission.WRITE, "read": Permission.READ}


def github_permission(role_name: str, permission: str) -> Permission:
    """Return the standing that GitHub's two fields say together, the lower where they contradict each other.

    `role_name` may be a role of the organisation's own, which counts as the plain one that it is built on; `permission`
    folds maintain into write and triage into read.
    """
    plain = Permission.__members__.get(role_name.upper()) if role_name == role_name.lower() else None
    if plain is None:
        return _AT_LEAST.get(permission, Permission.NONE)
    return min(plain, _AT_MOST.get(permission, plain if not permission else Permission.NONE))


def role_of(permission: Permission) -> Role:
    """Return the role that a standing at the forge gives."""
    return _ROLES[permission]
