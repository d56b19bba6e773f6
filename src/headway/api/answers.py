"""How the JSON API reads requests and writes answers: one shape for everything that goes wrong."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headway.api.admit import admit
from headway.app import App
from headway.auth.model import Principal, Role, TokenKind
from headway.errors import Conflict, HeadwayError, NotFound, Refused, StorageFull, TooLarge, UsageError
from headway.logs import conceal, logger

BODY_CAP = 1 << 20
# What a database takes as a whole number; str.isdigit() also takes digits that int() does not.
WHOLE = re.compile(r"[0-9]{1,9}")
WholeNumber = Annotated[int, msgspec.Meta(ge=0, le=10**9 - 1)]
LONGEST_PATH = 4096
LONGEST_NAME = 255

_Shape = TypeVar("_Shape")


class Call:
    """One request, read and authenticated, as the handlers see it."""

    def __init__(self, app: App, request: Request, principal: Principal, body: bytes) -> None:
        """Keep what the handlers need."""
        self.app = app
        self.principal = principal
        self.path: dict[str, Any] = request.path_params
        self.query = request.query_params
        self._body = body

    def body(self, shape: type[_Shape]) -> _Shape:
        """Parse the body into a type.

        Raises:
            UsageError: names the field that does not fit.
        """
        try:
            return msgspec.json.decode(self._body or b"{}", type=shape)
        except RecursionError:
            raise UsageError("the request body is nested too deeply") from None
        except ValueError as error:  # msgspec's own are some
            raise UsageError("the request body does not fit", cause=str(error)) from error

    def packed(self, shape: type[_Shape]) -> _Shape:
        """Parse a packed body (MessagePack) into a type.

        Raises:
            UsageError: names the field that does not fit.
        """
        try:
            return msgspec.msgpack.decode(self._body, type=shape)
        except (ValueError, RecursionError) as error:
            raise UsageError("the packed body does not fit", cause=str(error)) from error

    def number(self, name: str, default: int, *, most: int = 1000) -> int:
        """Return a whole number of the query string."""
        text = self.query.get(name)
        if text is None:
            return default
        if not WHOLE.fullmatch(text) or int(text) > most:
            raise UsageError(f"{name}={text[:40]!r} is not a whole number up to {most}")
        return int(text)

    @property
    def data(self) -> bytes:
        """The body as it came."""
        return self._body

    @property
    def change(self) -> int:
        """The number of the change in the path."""
        text = str(self.path["number"])
        if not WHOLE.fullmatch(text):
            raise NotFound(f"no change {text[:40]}", hint="headway change list")
        return int(text)


def place(name: str, text: str) -> Path:
    """Return a field of a body that names a file or folder of the server's machine.

    Raises:
        UsageError: it is no absolute path, or one that no file system takes.
    """
    raw = os.fsencode(text)
    is_short = len(raw) < LONGEST_PATH and all(len(part) <= LONGEST_NAME for part in raw.split(b"/"))
    if not text.startswith("/") or "\0" in text or not is_short:
        raise UsageError(f"{name}={text[:80]!r} is not an absolute path", hint="name it from the root: /srv/backup")
    return Path(text)


Handler = Callable[[Call], Any]


def route(
    app: App,
    method: str,
    path: str,
    needs: Role,
    handler: Handler,
    *,
    cap: int = BODY_CAP,
    kind: TokenKind = TokenKind.USER,
) -> Route:
    """Return a route that authenticates, checks the role, runs the plain handler and encodes its answer.

    `kind` says whose token opens it: a person's (which a browser's session stands for), or that of a machine alone.
    """

    async def endpoint(request: Request) -> Response:
        try:
            # Who asks first: nobody whom we do not know makes us hold what they send.
            principal = await run_in_threadpool(admitted, app, request, (method, path, needs), kind)
            body = await read_body(request, cap)
            return await run_in_threadpool(_answer, Call(app, request, principal, body), handler)
        except HeadwayError as error:
            return failure(error)
        except Exception as error:  # noqa: BLE001  # no traceback ever leaves the server
            return unforeseen(error, path)

    return Route(path, endpoint, methods=[method])


_MACHINES = {
    TokenKind.ATTEMPT: "a training's token speaks MLflow's protocol and of its own attempt, nothing else",
    TokenKind.ENDPOINT: "the token of a deployment's pods fetches its models and reports, nothing else",
}


def admitted(app: App, request: Request, row: tuple[str, str, Role], kind: TokenKind) -> Principal:
    """Return who asks, once it is sure that this may be asked with such a token; errors as `admit`."""
    method, path, needs = row
    try:
        principal = app.authenticator.authenticate(request.headers.get("authorization"))
    except Conflict as error:
        if kind is TokenKind.USER:
            raise
        # A machine that hears this gives up; a conflict it would take for a race and ask again.
        raise Refused(error.message, cause=error.cause) from error
    held = principal.kind if principal.kind in _MACHINES else TokenKind.USER
    if held is not kind:
        raise Refused(
            f"{principal.user} may not do this",
            cause=_MACHINES.get(held, f"this is for the token of an {kind.value} alone"),
            hint="use a person's token" if kind is TokenKind.USER else "",
        )
    if kind is not TokenKind.USER:
        return principal  # the route itself looks at what the token is of
    return admit(app, principal, method, path, values=request.path_params, needs=needs)


def _answer(call: Call, handler: Handler) -> Response:
    answer = handler(call)
    return answer if isinstance(answer, Response) else json_response(answer)


async def read_body(request: Request, cap: int) -> bytes:
    """Return a request's body, given up as soon as it is over the cap."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > cap:
            raise TooLarge(f"the request body is over {cap} bytes")
        parts.append(part)
    return b"".join(parts)


def json_response(value: Any, status: int = 200) -> Response:
    """Return a value as JSON; records and instants are encoded as they stand."""
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")


def unforeseen(error: Exception, path: str) -> Response:
    """Return what a handler did not expect as JSON; only a full disk is told for what it is."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return failure(StorageFull("the server's disk is full: nothing was kept", hint="send it again later"))
    logger().exception("request failed", path=path)
    return failure(HeadwayError("internal error", hint="the server's log has it"))


def failure(error: HeadwayError) -> Response:
    """Return an error as JSON, with what the terminal prints."""
    return json_response(failure_body(error), error.status)


def failure_body(error: HeadwayError) -> dict[str, Any]:
    """Return what is told of an error."""
    return {
        "code": error.code,
        "message": conceal(error.message),
        "cause": conceal(error.cause),
        "hint": error.hint,
        "retryable": error.retryable,
        "exit_code": error.exit_code,
    }
