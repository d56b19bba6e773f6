"""Who looks at a page: a cookie holds a short-lived token of its own, so that logging out ends it."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

from headway.app import App
from headway.auth.model import Principal, Role, TokenKind
from headway.auth.tokens import TokenStore
from headway.errors import LoginNeeded, Refused

LASTS = timedelta(hours=12)

# Where a login may lead: pages of ours and nothing else, or `?next=` would send people anywhere.
_PAGES = re.compile(
    r"/(?:(?:changes|jobs|runs|models|deployments|releases|events|commands|why|trash|people)(?:/[A-Za-z0-9._~%:@/+-]*)?)?"
    r"(?:\?[A-Za-z0-9._~%:@/+=&!$'()*,;-]*)?(?:\#[A-Za-z0-9-]*)?",
)


def page_of_ours(target: str) -> str:
    """Return the address when it is a page of this server, else the first page."""
    return target if _PAGES.fullmatch(target) and "//" not in target.split("?", 1)[0] else "/"


def is_secure(app: App) -> bool:
    """Whether people reach this server by TLS, so that the cookie may be kept from plain connections."""
    return app.settings.public_url.startswith("https://")


def cookie_name(app: App) -> str:
    """Return the cookie's name: browsers share cookies between the ports of one host, so each folder has its own."""
    own = f"headway_{hashlib.sha256(str(app.data).encode()).hexdigest()[:8]}"
    return f"__Host-{own}" if is_secure(app) else own


def principal_of(app: App, request: Request) -> Principal:
    """Return who asks: by an Authorization header, else by the cookie, else the local user where nobody logs in.

    Raises:
        LoginNeeded: none of them works.
        Refused: the token of a training, which has no business on pages.
    """
    header = request.headers.get("authorization")
    text = request.cookies.get(cookie_name(app), "")
    if header is None and app.settings.auth != "none":
        if not text:
            raise LoginNeeded("you are not logged in", hint="headway login prints an address that does")
        header = f"Bearer {text}"
    principal = app.authenticator.authenticate(header)
    if principal.kind is TokenKind.ATTEMPT or principal.highest < Role.VIEWER:
        raise Refused("this token may not look at pages", cause="it belongs to a training", hint="use your own token")
    return principal


def log_in(app: App, response: Response, token: str) -> Principal:
    """Give the browser a session of its own for a token that works."""
    principal = app.authenticator.authenticate(f"Bearer {token.strip()}")
    if principal.kind is TokenKind.ATTEMPT or principal.highest < Role.VIEWER or not token.strip():
        raise Refused("this token cannot log in", cause="it belongs to a training", hint="use your own token")
    now = app.clock.now()
    with app.database.write() as tx:
        known = TokenStore(tx).find(principal.token_id)
        ends = now + LASTS
        if known is not None and known[0].expires_at is not None:
            ends = min(ends, known[0].expires_at)
        text = TokenStore(tx).mint(
            TokenKind.SESSION,
            principal.user,
            # The same limits as the token that was shown, and its end is the session's, too.
            role=principal.role if known is None else known[0].role,
            project=principal.project,
            parent=principal.token_id,
            at=now,
            expires_at=ends,
            by=f"login of {principal.user}",
        )
    response.set_cookie(
        cookie_name(app),
        text,
        max_age=int((ends - now).total_seconds()),
        path="/",
        secure=is_secure(app),
        httponly=True,
        samesite="lax",
    )
    return principal


def log_out(app: App, principal: Principal, response: Response) -> None:
    """End the session for good, wherever a copy of the cookie may be."""
    if principal.token_id:
        with app.database.write() as tx:
            TokenStore(tx).revoke(principal.token_id, at=app.clock.now(), by=principal.user)
        app.authenticator.forget(principal.token_id)
    response.delete_cookie(cookie_name(app), path="/", secure=is_secure(app), httponly=True, samesite="lax")
