"""Who is asking: from an Authorization header to a principal."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from headway.auth.model import Principal, Role, Token, TokenKind
from headway.auth.tokens import PREFIX, TokenStore, TokenText, hash_secret, read_token
from headway.errors import Conflict, LoginNeeded

if TYPE_CHECKING:
    from headway.clock import Clock
    from headway.db.connection import Database

LOCAL_USER = "local"

# An attempt whose token was revoked by another process may still write for so long.
_CACHED_FOR = timedelta(seconds=2)
_CACHED_AT_MOST = 1000
# Compared with when no such token exists, so that both answers take the same steps.
_NOBODY = hash_secret("nobody")


@dataclass(frozen=True, slots=True)
class _Known:
    token: Token
    until: datetime


class Authenticator:
    """Turns headers into principals; one per process, shared by its threads."""

    def __init__(self, database: Database, clock: Clock, *, mode: Literal["token", "none"] = "token") -> None:
        """With mode `none` a request without a token is the local admin's (loopback only)."""
        self._database = database
        self._clock = clock
        self._mode = mode
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    def authenticate(self, authorization: str | None) -> Principal:
        """Return whoever the header speaks for.

        Takes `Bearer TOKEN` (MLFLOW_TRACKING_TOKEN) and `Basic` with the token as password
        (MLFLOW_TRACKING_USERNAME and _PASSWORD; the user name is not looked at).

        Raises:
            LoginNeeded: no token, or none that works.
            Conflict: the token of an attempt that has ended.
        """
        text = token_in(authorization)
        # Where nobody logs in, a stray password of another service must not lock its user out; an attempt's
        # token still counts, so that a training keeps to its own run.
        if self._mode == "none" and not text.startswith(PREFIX):
            return Principal(user=LOCAL_USER, role=Role.ADMIN)
        if not text:
            raise LoginNeeded("this needs a token", cause="the request carries none", hint=_HINT)
        return _principal(self._checked(text))

    def forget(self, token_id: str) -> None:
        """Stop trusting the cache for one token: called after it was revoked."""
        with self._lock:
            for key in [key for key, known in self._known.items() if known.token.id == token_id]:
                del self._known[key]

    def _checked(self, text: str) -> Token:
        # The digest is the key: a look-up by the text itself would compare secrets byte by byte.
        key, now = hashlib.sha256(text.encode()).hexdigest(), self._clock.now()
        with self._lock:
            known = self._known.get(key)
        if known is not None and now < known.until:
            return known.token
        token = self._look_up(text, now)
        until = now + _CACHED_FOR if token.expires_at is None else min(now + _CACHED_FOR, token.expires_at)
        with self._lock:
            if len(self._known) >= _CACHED_AT_MOST:
                self._known.clear()
            self._known[key] = _Known(token, until)
        return token

    def _look_up(self, text: str, now: datetime) -> Token:
        parts = read_token(text) or TokenText("", "")
        with self._database.read() as tx:
            found = TokenStore(tx).find(parts.id)
        stored = _NOBODY if found is None else found[0].secret_hash
        if not hmac.compare_digest(stored, hash_secret(parts.secret)) or found is None:
            raise LoginNeeded("this token is not valid", cause="it is mistyped, or of another server", hint=_HINT)
        token, revoked = found
        if revoked and token.kind is TokenKind.ATTEMPT:
            raise Conflict(
                "this attempt has ended: its token no longer works",
                cause="a task's token dies with its attempt; what it writes afterwards is not taken",
            )
        if revoked:
            raise LoginNeeded("this token was revoked", hint=_HINT)
        if token.expires_at is not None and now >= token.expires_at:
            raise LoginNeeded(f"this token expired at {token.expires_at:%Y-%m-%d %H:%M} UTC", hint=_HINT)
        return token


_HINT = "headway login, or set MLFLOW_TRACKING_TOKEN to a token from `headway token create`"


def token_in(authorization: str | None) -> str:
    """Return what an Authorization header carries as token; "" when it carries nothing usable."""
    scheme, _, value = (authorization or "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        decoded = base64.b64decode(value.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""
    return decoded.partition(":")[2]


def _principal(token: Token) -> Principal:
    return Principal(
        user=token.user,
        role=token.role,
        kind=token.kind,
        token_id=token.id,
        run_id=token.run_id,
        experiment_id=token.experiment_id,
        fence=token.fence,
    )
