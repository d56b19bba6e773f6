"""Who asks: principals, roles, tokens, and how far each reaches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum, StrEnum

# The label of the token of an attempt that runs a fork's code.
FORK = "fork"
# What was made by hand and put nowhere: the server-wide role decides.
NO_PROJECT = ""


class Role(IntEnum):
    """viewer ⊂ contributor ⊂ maintainer ⊂ admin; compare with `>=`."""

    NONE = 0
    VIEWER = 1
    CONTRIBUTOR = 2
    MAINTAINER = 3
    ADMIN = 4


class TokenKind(StrEnum):
    """What a token was made for."""

    USER = "user"
    ATTEMPT = "attempt"
    SESSION = "session"  # a browser's, made at login and ended at logout
    ENDPOINT = "endpoint"  # of the pods of one deployment: they fetch its models and report, and nothing else


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """A person's role project by project, where it is not the same in all of them."""

    default: Role  # in every project that `projects` does not name, and for what is of no project
    projects: Mapping[str, Role]
    floor: Role = field(init=False)  # the role held everywhere
    highest: Role = field(init=False)  # the role held somewhere

    def __post_init__(self) -> None:
        """Work out both ends once: every request asks for them."""
        roles = [self.default, *self.projects.values()]
        object.__setattr__(self, "floor", min(roles))
        object.__setattr__(self, "highest", max(roles))


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Whoever a request speaks for. An attempt may write its own run and children only."""

    user: str
    role: Role  # server-wide; on a page or route of one project, the role in that project
    kind: TokenKind = TokenKind.USER
    token_id: str = ""
    run_id: str | None = None  # attempt tokens: the run it owns
    experiment_id: str | None = None
    fence: int = 0
    project: str = NO_PROJECT  # the token's own: what it makes belongs there
    attempt: str = ""  # attempt tokens: the attempt that holds it
    endpoint: str = ""  # endpoint tokens: the deployment whose pods hold it
    is_confined: bool = False  # an attempt of a fork's code: it reads no run but its own, and no registered model
    reach: Reach | None = None  # None: the role is the same everywhere

    @property
    def floor(self) -> Role:
        """The role held in every project."""
        return self.role if self.reach is None else self.reach.floor

    @property
    def highest(self) -> Role:
        """The role held in at least one project."""
        return self.role if self.reach is None else self.reach.highest

    def role_in(self, project: str) -> Role:
        """Return the role in one project."""
        return self.role if self.reach is None else self.reach.projects.get(project, self.reach.default)

    def within(self, project: str) -> Principal:
        """Return the same caller with the role that counts in one project."""
        role = self.role_in(project)
        return self if role is self.role else replace(self, role=role)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as stored: never the secret, only its SHA-256."""

    id: str
    user: str
    kind: TokenKind
    role: Role  # the most that it may be used for, whatever its user may
    secret_hash: str
    created_at: datetime
    expires_at: datetime | None
    run_id: str | None = None
    experiment_id: str | None = None
    attempt_id: str | None = None
    fence: int = 0
    project: str = NO_PROJECT
    label: str = ""
    parent: str = ""
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person or a program with tokens of its own; there are no passwords."""

    name: str
    role: Role
    disabled: bool
    created_at: datetime
    created_by: str
    projects: Mapping[str, Role] = field(default_factory=dict)

    def role_in(self, project: str) -> Role:
        """Return the role in one project; an administrator of the server is one everywhere."""
        return Role.ADMIN if self.role is Role.ADMIN else self.projects.get(project, self.role)
