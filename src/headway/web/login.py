"""Login by token, logout, and the choice between light and dark."""

from __future__ import annotations

from starlette.responses import Response

from headway.errors import HeadwayError
from headway.web.session import is_secure, log_in, log_out, page_of_ours
from headway.web.visit import THEME, THEMES, Visit


def show(visit: Visit) -> Response:
    """Ask for a token; the address that `headway open` prints carries one behind the #, which no server sees."""
    target = page_of_ours(visit.query.get("next", "/"))
    if visit.app.settings.auth == "none":
        return visit.go(target)
    return visit.page("login.html", next=target, error=None)


def enter(visit: Visit) -> Response:
    """Take a token and lead on to where the visitor wanted to go."""
    target = page_of_ours(visit.form.get("next", "/"))
    answer = visit.go(target)
    try:
        log_in(visit.app, answer, visit.form.get("token", ""))
    except HeadwayError as error:
        return visit.page("login.html", status=error.status, next=target, error=error)
    return answer


def leave(visit: Visit) -> Response:
    """End the session."""
    answer = visit.go("/login")
    log_out(visit.app, visit.principal, answer)
    return answer


def theme(visit: Visit) -> Response:
    """Keep the choice in a cookie, so that the server draws the right one and nothing flashes."""
    wanted = visit.form.get("theme", "system")
    answer = visit.go(page_of_ours(visit.form.get("back", "/")))
    answer.set_cookie(
        THEME,
        wanted if wanted in THEMES else "system",
        max_age=31_536_000,
        httponly=True,
        samesite="lax",
        secure=is_secure(visit.app),
    )
    return answer
