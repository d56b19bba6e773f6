from __future__ import annotations

import itertools

import pytest

from headway.auth.model import Principal, Role, TokenKind
from headway.auth.roles import Action, allows, allows_run, check_allowed
from headway.errors import Refused


def person(role: Role) -> Principal:
    return Principal(user="ada", role=role)


ATTEMPT = Principal(user="ada", role=Role.ADMIN, kind=TokenKind.ATTEMPT, run_id="mine")


def test_each_role_may_all_that_the_lower_one_may_and_nobody_may_nothing() -> None:
    allowed = [{action for action in Action if allows(person(role), action)} for role in Role]
    assert allowed[0] == set()
    for lower, higher in itertools.pairwise(allowed):
        assert lower < higher
    assert allowed[-1] == set(Action)


@pytest.mark.parametrize(
    ("action", "role"),
    [
        (Action.READ, Role.VIEWER),
        (Action.TRAIN, Role.CONTRIBUTOR),
        (Action.DEPLOY, Role.MAINTAINER),
        (Action.APPROVE, Role.MAINTAINER),
        (Action.OVERRIDE, Role.MAINTAINER),
        (Action.MANAGE, Role.ADMIN),
    ],
)
def test_the_lowest_role_for_an_action(action: Action, role: Role) -> None:
    check_allowed(person(role), action)
    with pytest.raises(Refused) as caught:
        check_allowed(person(Role(role - 1)), action)
    assert role.name.lower() in caught.value.cause


def test_a_training_tracks_itself_and_nothing_else_even_with_an_admins_role() -> None:
    assert {action for action in Action if allows(ATTEMPT, action)} == {
        Action.READ,
        Action.WRITE_RUN,
        Action.CREATE_VERSION,
    }
    with pytest.raises(Refused, match="a training may not move alias"):
        check_allowed(ATTEMPT, Action.MOVE_ALIAS)


def test_a_training_writes_its_own_run_and_its_children() -> None:
    assert allows_run(ATTEMPT, "mine")
    assert allows_run(ATTEMPT, "child", parent_run_id="mine")
    assert not allows_run(ATTEMPT, "other")
    assert not allows_run(ATTEMPT, "other", parent_run_id="another")
    assert not allows_run(Principal(user="ada", role=Role.ADMIN, kind=TokenKind.ATTEMPT), "other")


def test_people_write_runs_by_role() -> None:
    assert allows_run(person(Role.CONTRIBUTOR), "any")
    assert not allows_run(person(Role.VIEWER), "any")
