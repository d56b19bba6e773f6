from __future__ import annotations

from itertools import pairwise

from headway.auth.model import Role
from headway.forges.model import Permission
from headway.forges.roles import role_of


def test_every_standing_has_a_role_and_a_higher_one_never_a_lower_role() -> None:
    roles = [role_of(permission) for permission in Permission]
    assert (roles[0], roles[-1]) == (Role.NONE, Role.ADMIN)
    assert all(lower <= higher for lower, higher in pairwise(roles))
    assert role_of(Permission.WRITE) is Role.CONTRIBUTOR
    assert role_of(Permission.MAINTAIN) is Role.MAINTAINER
