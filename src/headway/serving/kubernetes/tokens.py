"""The tokens of pods: one of a deployment at a time, ended when it is removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.auth.model import Role, TokenKind
from headway.auth.tokens import TokenStore

if TYPE_CHECKING:
    from headway.clock import Clock
    from headway.db.connection import Database


class PodTokens:
    """Implements `keeper.Tokens` on this server's database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Keep both."""
        self._database = database
        self._clock = clock

    def mint(self, name: str) -> str:
        """Return a fresh token of a deployment's pods; earlier ones end."""
        now = self._clock.now()
        with self._database.write() as tx:
            store = TokenStore(tx)
            store.revoke_endpoint(name, at=now)
            return store.mint(TokenKind.ENDPOINT, f"pods of {name}", role=Role.NONE, at=now, label=name)

    def revoke(self, name: str) -> None:
        """End every token of a deployment's pods; none is fine."""
        with self._database.write() as tx:
            TokenStore(tx).revoke_endpoint(name, at=self._clock.now())
