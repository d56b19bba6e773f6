"""One visit of one page: who, what was asked, and how the answer becomes HTML."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from headway import __version__
from headway.api.admit import admit
from headway.api.answers import failure
from headway.app import App
from headway.auth.model import Principal, Role
from headway.auth.roles import Action, allows
from headway.errors import HeadwayError, LoginNeeded, NotFound, TooLarge, UsageError
from headway.logs import logger
from headway.web.guard import PAGE_HEADERS
from headway.web.render import fill
from headway.web.session import principal_of

BODY_CAP = 1 << 18
_LARGEST = 10**9  # what a number in an address may be
THEME = "headway_theme"
THEMES = ("system", "light", "dark")

HEADERS = {name.decode(): value.decode() for name, value in PAGE_HEADERS} | {"cache-control": "no-store"}


class Visit:
    """What a page's function works with."""

    def __init__(self, app: App, request: Request, principal: Principal | None, form: dict[str, str]) -> None:
        """Keep what was asked."""
        self.app = app
        self.principal = principal or Principal(user="", role=Role.NONE)
        self.path: dict[str, Any] = request.path_params
        self.query: Mapping[str, str] = request.query_params
        self.form = form
        self.url = request.url.path
        self.is_part = "hx-request" in request.headers
        theme = request.cookies.get(THEME, "system")
        self.theme = theme if theme in THEMES else "system"

    def may(self, action: str) -> bool:
        """Whether the visitor's token allows an action: what it does not allow is not offered."""
        return allows(self.principal, Action(action))

    def number(self, name: str, default: int, *, most: int = 1000) -> int:
        """Return a whole number of the query string."""
        text = self.query.get(name, "")
        if not text:
            return default
        if not (text.isascii() and text.isdigit()) or len(text) > 18 or int(text) > most:
            raise UsageError(f"{name}={text!r} is not a whole number up to {most}")
        return int(text)

    def page(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """Return a filled template; a part that has not changed since the browser got it is answered with 204."""
        shared = {"visit": self, "version": __version__, "signed_in": self.principal.role > Role.NONE}
        body = fill(template, shared | values)
        headers = dict(HEADERS)
        if self.is_part:
            seen = hashlib.sha256(body.encode()).hexdigest()[:16]
            if self.query.get("seen") == seen:
                return Response(status_code=204, headers=headers)
            body = body.replace(SEEN, seen)
        return Response(body, status_code=status, media_type="text/html", headers=headers)

    def go(self, target: str) -> Response:
        """Return the answer to a form: look at this page now."""
        return RedirectResponse(target, status_code=303, headers=HEADERS)


# Stands in a live part where the digest of that part comes in, so that the next request can name it.
SEEN = "headway-part-seen"

Handler = Callable[[Visit], Response]


def page(app: App, method: str, path: str, needs: Role, handler: Handler) -> Route:
    """Return a route that knows who asks, checks the role and shows every error as a page.

    `Role.NONE` makes it open to everybody: the login page.
    """

    async def endpoint(request: Request) -> Response:
        try:
            form = await _form(request) if method == "POST" else {}
            return await run_in_threadpool(_answer, app, request, form, (method, path, needs, handler))
        except HeadwayError as error:
            return _failed(app, request, error)
        except Exception:  # noqa: BLE001  # no traceback ever leaves the server
            logger().exception("page failed", path=path)
            return _failed(app, request, HeadwayError("internal error", hint="the server's log has it"))

    return Route(path, endpoint, methods=[method])


def _answer(app: App, request: Request, form: dict[str, str], row: tuple[str, str, Role, Handler]) -> Response:
    method, path, needs, handler = row
    principal = principal_of(app, request) if needs > Role.NONE else None
    if any(isinstance(each, int) and each > _LARGEST for each in request.path_params.values()):
        raise NotFound(f"there is no page {request.url.path}")
    if principal is not None:
        principal = admit(app, principal, method, path, values=request.path_params, needs=needs)
    answer = handler(Visit(app, request, principal, form))
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
    return answer


def _failed(app: App, request: Request, error: HeadwayError) -> Response:
    visit = Visit(app, request, _who(app, request), {})
    if isinstance(error, LoginNeeded) and request.method in ("GET", "HEAD"):
        where = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        target = f"/login?next={quote(where, safe='')}"
        if visit.is_part:
            return Response(status_code=401, headers=HEADERS | {"hx-redirect": target})
        return visit.go(target)
    if request.url.path.endswith(".json"):
        answer = failure(error)
        answer.headers.update(HEADERS)
        return answer
    template = "problem.html" if visit.is_part else "error.html"
    return visit.page(template, status=error.status, error=error)


def _who(app: App, request: Request) -> Principal | None:
    try:
        return principal_of(app, request)
    except HeadwayError:
        return None


async def _form(request: Request) -> dict[str, str]:
    size, parts = 0, []
    async for part in request.stream():
        size += len(part)
        if size > BODY_CAP:
            raise TooLarge(f"the form is over {BODY_CAP} bytes")
        parts.append(part)
    try:
        pairs = parse_qsl(b"".join(parts).decode(), keep_blank_values=True, max_num_fields=200)
    except (UnicodeDecodeError, ValueError):
        raise UsageError("the form cannot be read", hint="send it as application/x-www-form-urlencoded") from None
    return dict(pairs)
