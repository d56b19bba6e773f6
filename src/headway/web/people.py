"""People: who may come in, how far, and by which tokens."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import Response

from headway.api.people import end_token
from headway.auth.model import NO_PROJECT, Principal, Role, Token, User
from headway.auth.tokens import TokenStore
from headway.auth.users import UserStore
from headway.errors import UsageError
from headway.web.visit import Visit


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownToken:
    """A token with what a person asks about it first."""

    token: Token
    is_over: bool
    is_this: bool


def show(visit: Visit) -> Response:
    """Show everybody to an administrator, and to anybody else themselves, with the tokens that work."""
    who, now = visit.principal, visit.app.clock.now()
    is_admin = _is_admin(who)
    with visit.app.database.read() as tx:
        users = UserStore(tx)
        own = users.find(who.user)
        people: tuple[User, ...] = users.list() if is_admin else (own,) if own is not None else ()
        store = TokenStore(tx)
        tokens = store.list_user_tokens(None if is_admin else who.user)
        session = store.find(who.token_id)
    mine = (who.token_id, session[0].parent if session else "")  # a browser's session comes from a token
    shown = [
        ShownToken(
            token=each,
            is_over=each.expires_at is not None and each.expires_at <= now,
            is_this=each.id in mine,
        )
        for each in tokens
        if who.project in (NO_PROJECT, each.project)
    ]
    return visit.page("people.html", people=people, tokens=shown, is_admin=is_admin)


def shut(visit: Visit) -> Response:
    """Shut somebody out, or let them in again; the last administrator stays."""
    name, wanted = visit.form.get("name", ""), visit.form.get("to", "")
    if wanted not in ("in", "out"):
        raise UsageError(f"to={wanted!r} is neither in nor out")
    with visit.app.database.write() as tx:
        UserStore(tx).set_disabled(name, disabled=wanted == "out", at=visit.app.clock.now(), by=visit.principal.user)
    visit.app.authenticator.forget_all()
    return visit.go("/people")


def end(visit: Visit) -> Response:
    """End one token at once, with the browsers that logged in by it."""
    end_token(visit.app, visit.principal, visit.form.get("id", ""))
    return visit.go("/people")


def _is_admin(who: Principal) -> bool:
    return who.floor >= Role.ADMIN
