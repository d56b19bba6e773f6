"""The one place that says which role may do what."""

from __future__ import annotations

from enum import StrEnum

from headway.auth.model import Principal, Role, TokenKind
from headway.errors import Refused


class Action(StrEnum):
    """What can be asked of the server."""

    READ = "read"
    COMMENT = "comment"
    TRAIN = "train"  # plan, train, tune, retry, stop
    WRITE_RUN = "write_run"  # create and change runs and their artifacts
    CREATE_VERSION = "create_version"  # candidates only
    MERGE = "merge"
    MOVE_ALIAS = "move_alias"
    DEPLOY = "deploy"  # deploy, rollback
    APPROVE = "approve"
    OVERRIDE = "override"
    MANAGE = "manage"  # secrets, tokens, repositories, clean, stop of the server


_NEEDS = {
    Action.READ: Role.VIEWER,
    Action.COMMENT: Role.VIEWER,
    Action.TRAIN: Role.CONTRIBUTOR,
    Action.WRITE_RUN: Role.CONTRIBUTOR,
    Action.CREATE_VERSION: Role.CONTRIBUTOR,
    Action.MERGE: Role.CONTRIBUTOR,
    Action.MOVE_ALIAS: Role.MAINTAINER,
    Action.DEPLOY: Role.MAINTAINER,
    Action.APPROVE: Role.MAINTAINER,
    Action.OVERRIDE: Role.MAINTAINER,
    Action.MANAGE: Role.ADMIN,
}

# Training code is whatever a change contains: it tracks itself, and nothing else, whatever role its token carries.
_ATTEMPT_MAY = frozenset({Action.READ, Action.WRITE_RUN, Action.CREATE_VERSION})


def allows(principal: Principal, action: Action) -> bool:
    """Say whether a principal may do something at all; which runs an attempt may write is `allows_run`."""
    if principal.kind is TokenKind.ATTEMPT:
        return action in _ATTEMPT_MAY
    return principal.role >= _NEEDS[action]


def allows_run(principal: Principal, run_id: str, *, parent_run_id: str | None = None) -> bool:
    """Say whether a principal may write a run: people any, an attempt its own and that run's children."""
    if not allows(principal, Action.WRITE_RUN):
        return False
    if principal.kind is not TokenKind.ATTEMPT:
        return True
    return principal.run_id is not None and principal.run_id in (run_id, parent_run_id)


def check_allowed(principal: Principal, action: Action) -> None:
    """Do nothing when allowed.

    Raises:
        Refused: the role is too low; the message names the one that is needed.
    """
    if allows(principal, action):
        return
    if principal.kind is TokenKind.ATTEMPT:
        raise Refused(
            f"a training may not {action.value.replace('_', ' ')}",
            cause="its token writes its own run and its children, nothing else",
            hint="do this with your own token, outside of the pipeline",
        )
    raise Refused(
        f"{principal.user} may not {action.value.replace('_', ' ')}",
        cause=f"it needs the role {_NEEDS[action].name.lower()}, this is {principal.role.name.lower()}",
        hint="ask somebody who has that role",
    )
