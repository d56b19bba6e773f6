"""Routes whose body is never whole in memory: a thread reads it as a stream, while the loop serves others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, cast

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from headway.api.answers import Call, admitted, failure, json_response
from headway.api.mlflow.streams import ClientGone
from headway.app import App
from headway.auth.model import Role, TokenKind
from headway.errors import HeadwayError
from headway.logs import logger

_BLOCK = 1 << 20
_PATIENCE = 300.0  # seconds for one block of an upload
# Uploads wait for their clients; they have threads of their own so that nothing else waits for them.
_uploads = ThreadPoolExecutor(max_workers=32, thread_name_prefix="bodies")

Streamed = Callable[[Call, BinaryIO], Any]


def upload_route(app: App, method: str, path: str, needs: Role, handler: Streamed, *, kind: TokenKind) -> Route:
    """Return a route as `answers.route` makes them, whose handler also gets the body as a stream."""

    async def endpoint(request: Request) -> Response:
        try:
            principal = await run_in_threadpool(admitted, app, request, (method, path, needs), kind)
            loop = asyncio.get_running_loop()
            body = cast(BinaryIO, _Body(request.stream(), loop))
            answer = await loop.run_in_executor(_uploads, handler, Call(app, request, principal, b""), body)
            return json_response(answer)
        except HeadwayError as error:
            return failure(error)
        except Exception:  # noqa: BLE001  # no traceback ever leaves the server
            logger().exception("request failed", path=path)
            return failure(HeadwayError("internal error", hint="the server's log has it"))

    return Route(path, endpoint, methods=[method])


class _Body:
    """The body of a request as a thread reads it: one hop to the loop per megabyte."""

    def __init__(self, parts: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> None:
        self._parts = parts
        self._loop = loop
        self._held = bytearray()
        self._is_whole = False

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes; b"" at the end."""
        if not self._held and not self._is_whole:
            self._held += asyncio.run_coroutine_threadsafe(self._block(), self._loop).result()
        data = bytes(self._held[:size])
        del self._held[:size]
        return data

    async def _block(self) -> bytes:
        block = bytearray()
        try:
            async with asyncio.timeout(_PATIENCE):
                async for part in self._parts:
                    block += part
                    if len(block) >= _BLOCK:
                        return bytes(block)
        except (ClientDisconnect, TimeoutError):
            raise ClientGone("the upload broke off: nothing was kept", hint="send it again") from None
        self._is_whole = True
        return bytes(block)
