"""The MLflow wire as a raw ASGI application: no framework stands between the socket and the writer.

A request is matched, its caller authenticated and checked, its body becomes a typed message, and the route's function
answers inside a transaction: the writer's group commit for what writes, one of its own for what reads. Head and body of
an answer go out together.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from headway.api.mlflow.absent import absent_family
from headway.api.mlflow.access import check_access
from headway.api.mlflow.admit import KnownProjects, admitted, admitted_stream
from headway.api.mlflow.decode import Decoder
from headway.api.mlflow.errors import UnknownPath, error_answer
from headway.api.mlflow.probes import SPOKEN_VERSION
from headway.api.mlflow.route import Access, Call, Route, StreamCall, StreamRoute
from headway.api.mlflow.runs import Found
from headway.api.mlflow.streams import check_json_type, header_of, off_loop, query_of
from headway.api.mlflow.table import ROUTES
from headway.auth.model import Principal, Role
from headway.errors import HeadwayError, NotThereYet, TooLarge, Unreachable, UsageError
from headway.logs import logger
from headway.tracking.documents import Document, keep_documents
from headway.tracking.idempotency import once
from headway.tracking.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.blobs.base import BlobStore
    from headway.db.connection import Database
    from headway.tracking.writer import Writer

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

_JSON = (b"content-type", b"application/json")
_NOBODY = Principal(user="", role=Role.NONE)
_BODYLESS = frozenset({"GET", "HEAD"})
# What a repeated request would make twice, or be refused for. Runs see to it themselves: they answer as they are now.
_MADE_ONCE = ("experiments/create", "registered-models/create", "model-versions/create", "logged-models")
_READERS = 4
_LONGEST_READ = 60.0  # seconds; a client waits 120


class Authenticates(Protocol):
    """Turns an Authorization header into whoever it speaks for."""

    def authenticate(self, authorization: str | None) -> Principal:
        """Return the principal; raise `LoginNeeded` or `Conflict`."""
        ...


class _Bound(NamedTuple):
    route: Route | StreamRoute
    decoder: Decoder | None
    path: dict[str, str]


class _Patterned(NamedTuple):
    method: str
    pattern: re.Pattern[str]
    bound: _Bound


class MlflowWire:
    """Speaks MLflow's REST protocol; one per process."""

    def __init__(self, database: Database, writer: Writer, blobs: BlobStore, authenticator: Authenticates) -> None:
        """Serve this database; artifacts lie in `blobs`."""
        self._database = database
        self._writer = writer
        self._blobs = blobs
        self._authenticator = authenticator
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="tracking-reader")
        self._known = KnownProjects()
        self._exact, self._patterned = _match_table(ROUTES)
        self._reads_block = not database.is_sqlite

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope["path"]
        if path in ("/health", "/version"):
            await _respond(
                send, 200, b"OK" if path == "/health" else SPOKEN_VERSION.encode(), (b"content-type", b"text/plain")
            )
            return
        try:
            try:
                bound = self._find(scope["method"], path)
            except HeadwayError:
                # Strangers do not learn which routes there are.
                self._authenticator.authenticate(header_of(scope, b"authorization"))
                raise
            principal = self._principal(bound.route, scope)
            if isinstance(bound.route, StreamRoute):
                await self._stream(bound, principal, scope, receive, send)
                return
            body = await self._answer(bound, principal, scope, receive)
        except Exception as error:  # noqa: BLE001  # the door: every error becomes a body, none a traceback
            status, body = _refusal(error, path)
            await _respond(send, status, body)
        else:
            await _respond(send, 200, body)

    def _find(self, method: str, path: str) -> _Bound:
        if method == "HEAD":  # the server leaves the body out
            method = "GET"
        if path.startswith("//"):  # an address with a slash at its end, and a path put behind it
            path = "/" + path.lstrip("/")
        bound = self._exact.get((method, path))
        if bound is not None:
            return bound
        for each in self._patterned:
            if each.method == method:
                found = each.pattern.match(path)
                if found:
                    return each.bound._replace(path=found.groupdict())
        family = absent_family(path)
        if family:
            raise NotThereYet(
                f"Headway does not speak MLflow's {family}", hint="GET /api/3.0/mlflow/server-info tells what it does"
            )
        raise UnknownPath(f"There is no {method[:20]} {path[:200]} here.")

    def _principal(self, route: Route | StreamRoute, scope: Any) -> Principal:
        if route.access is Access.OPEN:
            return _NOBODY
        principal = self._authenticator.authenticate(header_of(scope, b"authorization"))
        check_access(principal, route.access)
        return principal

    async def _answer(self, bound: _Bound, principal: Principal, scope: Any, receive: Receive) -> bytes:
        route, decoder = bound.route, bound.decoder
        if not isinstance(route, Route) or decoder is None:  # bound as such in the table
            raise UnknownPath("This path streams.")
        if scope["method"] in _BODYLESS:
            message = decoder.query(scope["query_string"])
        else:
            check_json_type(scope)
            message = decoder.body(await _body(scope, receive, route.max_bytes))
        if route.is_write:
            key = header_of(scope, b"idempotency-key") or ""

            def write(store: RunStore) -> bytes:
                store.actor = principal.user
                who = self._admitted(principal, store, bound, message)
                call = Call(principal=who, store=store, path=bound.path, idempotency_key=key)
                if not key or not _makes_one(route):
                    return _encoded(route.answer(call, message))
                return once(store.link, who, key, lambda: _encoded(route.answer(call, message)).decode()).encode()

            return await self._writer.run(write)
        if route.is_heavy or self._reads_block:
            loop = asyncio.get_running_loop()
            body, made = await loop.run_in_executor(self._readers, self._read, bound, principal, message)
        else:
            body, made = self._read(bound, principal, message)
        if made:
            # A cache: nobody waits for it, and if it fails the next reader makes the documents again.
            with contextlib.suppress(Unreachable):
                self._writer.submit(lambda store: keep_documents(store.link, made))
        return body

    def _read(self, bound: _Bound, principal: Principal, message: Any) -> tuple[bytes, list[Document]]:
        with self._database.quick_read() as tx:
            store = RunStore(tx)
            who = self._admitted(principal, store, bound, message)
            call = Call(principal=who, store=store, path=bound.path)
            route: Any = bound.route  # `_answer` saw that it is a Route
            with store.link.time_limit(_LONGEST_READ) if route.is_heavy else contextlib.nullcontext():
                answer = route.answer(call, message)
        if isinstance(answer, Found):
            return answer.body, answer.made
        return _encoded(answer), []

    def _admitted(self, principal: Principal, store: RunStore, bound: _Bound, message: Any) -> Principal:
        if principal.reach is None:  # the same everywhere: the route's own permission has said it
            return principal
        return admitted(principal, store, bound.route, message, path=bound.path, known=self._known)

    def _admitted_stream(self, call: StreamCall, route: StreamRoute) -> Principal:
        with self._database.read() as tx:
            return admitted_stream(
                call.principal, RunStore(tx), route, query_of(call), path=call.path, known=self._known
            )

    async def _stream(self, bound: _Bound, principal: Principal, scope: Any, receive: Receive, send: Send) -> None:
        begun = False

        async def sent(message: Any) -> None:
            nonlocal begun
            begun = True
            await send(message)

        call = StreamCall(
            principal=principal,
            path=bound.path,
            scope=scope,
            receive=receive,
            send=sent,
            database=self._database,
            writer=self._writer,
            blobs=self._blobs,
        )
        route: Any = bound.route  # the caller saw that it is a StreamRoute
        try:
            if principal.reach is not None:
                call = replace(call, principal=await off_loop(lambda: self._admitted_stream(call, route)))
            await route.serve(call)
        except Exception as error:
            if begun:  # too late for another status: the connection must break, so that nobody takes it for whole
                raise
            status, body = _refusal(error, scope["path"])
            await _respond(send, status, body, (b"connection", b"close"))

    def close(self) -> None:
        """End the reading threads."""
        self._readers.shutdown(wait=False)


def _match_table(
    routes: Sequence[Route | StreamRoute],
) -> tuple[dict[tuple[str, str], _Bound], list[_Patterned]]:
    exact: dict[tuple[str, str], _Bound] = {}
    patterned: list[_Patterned] = []
    for route in routes:
        paths = [route.path] if isinstance(route, StreamRoute) else [prefix + route.path for prefix in route.prefixes]
        bound = _Bound(route, Decoder(route) if isinstance(route, Route) else None, {})
        for path in paths:
            if "{" in path:
                patterned.append(_Patterned(route.method, _pattern(path), bound))
            elif (route.method, path) in exact:
                message = f"two routes for {route.method} {path}"
                raise ValueError(message)
            else:
                exact[route.method, path] = bound
    return exact, patterned


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+(?::path)?\})", path)
    regex = ""
    for part in parts:
        if part.startswith("{"):
            name, _, rest = part[1:-1].partition(":")
            regex += f"(?P<{name}>{'.*' if rest else '[^/]+'})"
        else:
            regex += re.escape(part)
    return re.compile(regex + r"\Z", re.DOTALL)


def _makes_one(route: Route) -> bool:
    return route.method == "POST" and route.path.endswith(_MADE_ONCE)


async def _body(scope: Any, receive: Receive, limit: int) -> bytes:
    length = header_of(scope, b"content-length")
    if length is not None and length.isdigit() and int(length) > limit:
        raise _too_big(int(length), limit)
    message = await receive()
    if message["type"] == "http.disconnect":  # nobody shall be taken to have sent an empty body
        raise _broken_off()
    first: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(first) > limit:
            raise _too_big(len(first), limit)
        return first
    parts, size = [first], len(first)
    while message.get("more_body", False):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _broken_off()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_big(size, limit)
    return b"".join(parts)


def _broken_off() -> UsageError:
    return UsageError("The request ended before its body did.")


def _too_big(size: int, limit: int) -> HeadwayError:
    if limit == 1_000_000:
        return UsageError(f"Batched logging API requests must be at most {limit} bytes, got a request of size {size}.")
    return TooLarge(f"The request must be at most {limit} bytes, got {size}.")


def _encoded(answer: Any) -> bytes:
    if isinstance(answer, bytes):
        return answer
    if isinstance(answer, Found):
        return answer.body
    return b"{}" if answer is None else msgspec.json.encode(answer)


def _refusal(error: Exception, path: str) -> tuple[int, bytes]:
    if not isinstance(error, HeadwayError):
        logger().error("request_failed", path=path, error=repr(error), exc_info=error)
    return error_answer(error)


async def _respond(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    lines = [(b"content-length", b"%d" % len(body)), *headers]
    if not any(name == b"content-type" for name, _ in headers):
        lines.append(_JSON)
    if status == 401:
        lines.append((b"www-authenticate", b'Basic realm="headway"'))
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})
