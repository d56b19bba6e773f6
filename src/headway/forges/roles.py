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


def role_of(permission: Permission) -> Role:
    """Return the role that a standing at the forge gives."""
    return _ROLES[permission]
