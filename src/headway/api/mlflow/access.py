"""What a caller may touch: roles for people, its own run and its children for an attempt.

Every check happens inside the transaction of the request that it guards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.api.mlflow.route import Access
from headway.auth.model import Principal, Role, TokenKind
from headway.errors import Refused
from headway.tracking.model import PARENT_TAG

if TYPE_CHECKING:
    from headway.tracking.store import RunStore

_ROLES = {
    Access.OPEN: Role.NONE,
    Access.READ: Role.VIEWER,
    Access.WRITE: Role.CONTRIBUTOR,
    Access.MAINTAIN: Role.MAINTAINER,
    Access.ADMIN: Role.ADMIN,
}
_DEEPEST = 8  # nested runs


def is_attempt(principal: Principal) -> bool:
    """Whether a training asks, not a person."""
    return principal.kind is TokenKind.ATTEMPT


def needed_role(access: Access) -> Role:
    """Return the role that a declared permission stands for."""
    return _ROLES[access]


def check_access(principal: Principal, access: Access) -> None:
    """Refuse a caller who has the role nowhere; what is asked of which project, `admit.py` looks at.

    An attempt is checked run by run instead, and never does what is kept from contributors.
    """
    if is_attempt(principal):
        if access in (Access.MAINTAIN, Access.ADMIN):
            raise Refused("an attempt's token may not do this", hint="ask with a person's token")
        return
    if principal.highest < _ROLES[access]:
        raise Refused(
            f"this needs the role {_ROLES[access].name.lower()}; {principal.user} has {principal.highest.name.lower()}",
            hint="ask an administrator of this server for the role",
        )


def check_run_write(store: RunStore, principal: Principal, run_id: str) -> None:
    """Refuse an attempt that writes a run which is neither its own nor below it."""
    if not is_attempt(principal) or run_id == principal.run_id:
        return
    above: str | None = run_id
    for _ in range(_DEEPEST):
        above = store.tag(above, PARENT_TAG) if above else None
        if above == principal.run_id:
            return
    raise _foreign_run()


def check_run_read(store: RunStore, principal: Principal, run_id: str) -> None:
    """Refuse an attempt that reads a run outside of its experiment."""
    if is_attempt(principal) and str(store.row(run_id).exp) != principal.experiment_id:
        raise _foreign_run()
    if principal.is_confined:
        check_run_write(store, principal, run_id)


def check_experiment(principal: Principal, experiment_id: str) -> None:
    """Refuse an attempt that reads or uses another experiment than its own."""
    if is_attempt(principal) and experiment_id != principal.experiment_id:
        raise Refused(
            "this attempt's token belongs to another experiment",
            hint="leave MLFLOW_EXPERIMENT_ID as Headway set it",
        )


def refuse_attempt(principal: Principal, what: str) -> None:
    """Refuse what only people may do."""
    if is_attempt(principal):
        raise Refused(f"an attempt's token may not {what}", hint="ask with a person's token")


def _foreign_run() -> Refused:
    return Refused(
        "this attempt's token may only use its own run and the children of it",
        hint="start further runs with nested=True, and leave MLFLOW_RUN_ID as Headway set it",
    )
