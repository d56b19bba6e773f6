"""Who asks: principals, roles, tokens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Whoever a request speaks for. An attempt may write its own run and children only."""

    user: str
    role: Role
    kind: TokenKind = TokenKind.USER
    token_id: str = ""
    run_id: str | None = None  # attempt tokens: the run it owns
    experiment_id: str | None = None
    fence: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as stored: never the secret, only its SHA-256."""

    id: str
    user: str
    kind: TokenKind
    role: Role
    secret_hash: str
    created_at: datetime
    expires_at: datetime | None
    run_id: str | None = None
    experiment_id: str | None = None
    attempt_id: str | None = None
    fence: int = 0
