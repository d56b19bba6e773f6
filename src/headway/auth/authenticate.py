"""Who is asking: from an Authorization header to a principal."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from headway.auth.model import FORK, NO_PROJECT, Principal, Reach, Role, Token, TokenKind, User
from headway.auth.tokens import PREFIX, TokenStore, TokenText, hash_secret, read_token
from headway.auth.users import UserStore
from headway.errors import Conflict, LoginNeeded

if TYPE_CHECKING:
    from headway.clock import Clock
    from headway.db.connection import Database

LOCAL_USER = "local"

# An attempt whose token was revoked by another process may still write for so long.
_CACHED_FOR = timedelta(seconds=2)
_CACHED_AT_MOST = 1000
# How exact "last used" is: writing it at every request would cost more than the request.
_NOTED_EVERY = timedelta(minutes=5)
# Compared with when no such token exists, so that both answers take the same steps.
_NOBODY = hash_secret("nobody")


def is_local(principal: Principal) -> bool:
    """Whether nobody had to log in: the server and its caller are one person's, on one machine."""
    return principal.user == LOCAL_USER and not principal.token_id


@dataclass(frozen=True, slots=True)
class _Known:
    principal: Principal
    until: datetime


class Authenticator:
    """Turns headers into principals; one per process, shared by its threads."""

    def __init__(self, database: Database, clock: Clock, *, mode: Literal["token", "none"] = "token") -> None:
        """With mode `none` a request without a token is the local admin's (loopback only)."""
        self._database = database
        self._clock = clock
        self._mode = mode
        self._known: dict[str, _Known] = {}
        self._noted: dict[str, datetime] = {}
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
        return self._checked(text)

    def forget(self, token_id: str) -> None:
        """Stop trusting the cache for one token: called after it was revoked."""
        with self._lock:
            for key in [key for key, known in self._known.items() if known.principal.token_id == token_id]:
                del self._known[key]

    def forget_all(self) -> None:
        """Stop trusting the cache: called after somebody's rights have changed."""
        with self._lock:
            self._known.clear()

    def _checked(self, text: str) -> Principal:
        # The digest is the key: a look-up by the text itself would compare secrets byte by byte.
        key, now = hashlib.sha256(text.encode()).hexdigest(), self._clock.now()
        with self._lock:
            known = self._known.get(key)
        if known is not None and now < known.until:
            return known.principal
        token, user = self._look_up(text, now)
        principal = principal_of(token, user)
        until = now + _CACHED_FOR if token.expires_at is None else min(now + _CACHED_FOR, token.expires_at)
        with self._lock:
            if len(self._known) >= _CACHED_AT_MOST:
                self._known.clear()
            self._known[key] = _Known(principal, until)
        self._note_use(token, now)
        return principal

    def _look_up(self, text: str, now: datetime) -> tuple[Token, User | None]:
        parts = read_token(text) or TokenText("", "")
        with self._database.read() as tx:
            found = TokenStore(tx).find(parts.id)
            user = UserStore(tx).find(found[0].user) if found is not None else None
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
        if user is not None and user.disabled and token.kind is not TokenKind.ATTEMPT:
            raise LoginNeeded(f"the user {user.name} is disabled", hint="ask an administrator of this server")
        return token, user

    def _note_use(self, token: Token, now: datetime) -> None:
        """Write the time down beside the request: it neither waits for that nor fails with it."""
        if token.kind is not TokenKind.USER:
            return
        last = self._noted.get(token.id, token.last_used_at)
        if last is not None and now - last < _NOTED_EVERY:
            return
        if len(self._noted) >= _CACHED_AT_MOST:
            self._noted.clear()
        self._noted[token.id] = now
        threading.Thread(target=self._write_use, args=(token.id, now), name="token-use", daemon=True).start()

    def _write_use(self, token_id: str, now: datetime) -> None:
        # A full disk or a server that stops: the next use is noted instead.
        with contextlib.suppress(Exception), self._database.write() as tx:
            TokenStore(tx).note_use(token_id, now)


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


def principal_of(token: Token, user: User | None) -> Principal:
    """Return whom a token speaks for: never more than its user may, and never more than it was made for.

    A token whose user was never taken in is Headway's own making (`UserStore.add` comes before `mint` for people).
    """
    role, reach = _attempt_rights(token) if token.kind is TokenKind.ATTEMPT else _rights(token, user)
    if token.kind is TokenKind.ENDPOINT:
        role, reach = Role.NONE, Reach(default=Role.NONE, projects={})  # its own routes, and no other
    return Principal(
        user=token.user,
        role=role,
        kind=token.kind,
        token_id=token.id,
        run_id=token.run_id,
        experiment_id=token.experiment_id,
        fence=token.fence,
        project=token.project,
        attempt=token.attempt_id or "",
        endpoint=token.label if token.kind is TokenKind.ENDPOINT else "",
        is_confined=token.kind is TokenKind.ATTEMPT and token.label == FORK,
        reach=reach,
    )


def _attempt_rights(token: Token) -> tuple[Role, Reach]:
    """Its own project, and what is open to all; which run of it, the wire looks at."""
    return token.role, Reach(default=Role.NONE, projects=dict.fromkeys({NO_PROJECT, token.project}, token.role))


def _rights(token: Token, user: User | None) -> tuple[Role, Reach | None]:
    if token.project != NO_PROJECT:
        there = token.role if user is None else min(token.role, user.role_in(token.project))
        return Role.NONE, Reach(default=Role.NONE, projects={token.project: there})
    if user is None:
        return token.role, None
    role = min(token.role, user.role)
    if user.role is Role.ADMIN or not user.projects:
        return role, None
    return role, Reach(default=role, projects={name: min(token.role, own) for name, own in user.projects.items()})
