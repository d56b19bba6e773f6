"""Tokens: made once, shown once, kept as a hash; an attempt's token dies with the attempt."""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select, update

from headway.auth.model import NO_PROJECT, Role, Token, TokenKind
from headway.db import events, schema
from headway.errors import NotFound
from headway.ids import new_id

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

PREFIX = "hw_"  # fixed, with a checksum at the end, so that scanners of leaked secrets can find ours

_SHAPE = re.compile(r"hw_([0-9A-Z]{26})_([0-9a-f]{64})_([0-9a-f]{8})\Z")
_COLUMNS = [column for column in schema.token.c if column.name != "revoked"]


@dataclass(frozen=True, slots=True)
class TokenText:
    """The parts of a token that a person or a program holds."""

    id: str
    secret: str


def write_token(token_id: str, secret: str) -> str:
    """Return `hw_<id>_<secret>_<crc32>`."""
    body = f"{PREFIX}{token_id}_{secret}"
    return f"{body}_{zlib.crc32(body.encode()):08x}"


def read_token(text: str) -> TokenText | None:
    """Return the parts of a token; None for text of another shape or with a wrong checksum."""
    found = _SHAPE.match(text)
    if found is None or write_token(found[1], found[2]) != text:
        return None
    return TokenText(found[1], found[2])


def hash_secret(secret: str) -> str:
    """Return the SHA-256 of a secret: 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


class TokenStore:
    """The tokens of this server, inside one transaction."""

    def __init__(self, tx: Connection) -> None:
        """Work inside the caller's transaction."""
        self._tx = tx

    def mint(
        self,
        kind: TokenKind,
        user: str,
        *,
        role: Role,
        at: datetime,
        expires_at: datetime | None = None,
        run_id: str | None = None,
        experiment_id: str | None = None,
        attempt_id: str | None = None,
        fence: int = 0,
        project: str = NO_PROJECT,
        label: str = "",
        parent: str = "",
        by: str = "headway",
    ) -> str:
        """Return the text of a fresh token: the only time that it can be seen."""
        token_id, secret = new_id(), secrets.token_hex(32)
        row: dict[str, Any] = {
            "id": token_id,
            "user": user,
            "kind": kind.value,
            "role": int(role),
            "secret_hash": hash_secret(secret),
            "created_at": at,
            "expires_at": expires_at,
            "run_id": run_id,
            "experiment_id": experiment_id,
            "attempt_id": attempt_id,
            "fence": fence,
            "revoked": False,
            "project": project,
            "label": label,
            "parent": parent,
        }
        self._tx.execute(schema.token.insert().values(row))
        events.record(
            self._tx,
            "token",
            token_id,
            to_state="minted",
            at=at,
            actor=by,
            detail={
                "user": user,
                "kind": kind.value,
                "role": role.name.lower(),
                "attempt_id": attempt_id,
                "project": project,
            },
        )
        return write_token(token_id, secret)

    def find(self, token_id: str) -> tuple[Token, bool] | None:
        """Return a token and whether it was revoked; None when there is none of that id."""
        row = self._tx.execute(
            select(*_COLUMNS, schema.token.c.revoked).where(schema.token.c.id == token_id),
        ).one_or_none()
        return None if row is None else (_token(row), bool(row.revoked))

    def list_user_tokens(self, user: str | None = None) -> tuple[Token, ...]:
        """Return the tokens of people that were not revoked, of one or of all, oldest first; expired ones too.

        Those of attempts and of browsers are not listed: they come and go by themselves.
        """
        where = [schema.token.c.kind == TokenKind.USER.value, schema.token.c.revoked.is_(False)]
        if user is not None:
            where.append(schema.token.c.user == user)
        rows = self._tx.execute(select(*_COLUMNS).where(*where).order_by(schema.token.c.id))
        return tuple(_token(row) for row in rows)

    def note_use(self, token_id: str, at: datetime) -> None:
        """Remember when a token was last used; called every few minutes at most."""
        self._tx.execute(update(schema.token).where(schema.token.c.id == token_id).values(last_used_at=at))

    def revoke(self, token_id: str, *, at: datetime, by: str) -> None:
        """End one token, with the sessions that logged in by it; ending it twice is the same as once.

        Raises:
            NotFound: no token has that id.
        """
        if self.find(token_id) is None:
            raise NotFound(f"no token {token_id}", hint="headway token list")
        self._end(or_(schema.token.c.id == token_id, schema.token.c.parent == token_id), at=at, by=by)

    def revoke_attempt(self, attempt_id: str, *, at: datetime, by: str = "headway") -> tuple[str, ...]:
        """End every token of an attempt and return their ids, for `Authenticator.forget`."""
        return self._end(schema.token.c.attempt_id == attempt_id, at=at, by=by)

    def revoke_endpoint(self, name: str, *, at: datetime, by: str = "headway") -> tuple[str, ...]:
        """End every token of a deployment's pods."""
        held = (schema.token.c.kind == TokenKind.ENDPOINT.value) & (schema.token.c.label == name)
        return self._end(held, at=at, by=by)

    def _end(self, which: Any, *, at: datetime, by: str) -> tuple[str, ...]:
        ended = self._tx.execute(
            update(schema.token)
            .where(which, schema.token.c.revoked.is_(False))
            .values(revoked=True)
            .returning(schema.token.c.id),
        )
        ids = tuple(ended.scalars())
        for token_id in ids:
            events.record(self._tx, "token", token_id, from_state="minted", to_state="revoked", at=at, actor=by)
        return ids


def _token(row: Any) -> Token:
    return Token(
        id=row.id,
        user=row.user,
        kind=TokenKind(row.kind),
        role=Role(row.role),
        secret_hash=row.secret_hash,
        created_at=row.created_at,
        expires_at=row.expires_at,
        run_id=row.run_id,
        experiment_id=row.experiment_id,
        attempt_id=row.attempt_id,
        fence=row.fence,
        project=row.project,
        label=row.label,
        parent=row.parent,
        last_used_at=row.last_used_at,
    )
