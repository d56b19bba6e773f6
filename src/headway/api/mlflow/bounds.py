"""What a connection may send before anybody has looked at it: how large a head, and how slowly.

uvicorn keeps every header that comes, and waits for ever for a head or a body that stops half way. A request that
comes whole in one piece, as all small ones do, costs a few comparisons here and no timer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

if TYPE_CHECKING:
    import asyncio

MOST_HEADERS: Final = 100
MOST_HEAD_BYTES: Final = 64 * 1024  # of headers together; MLflow's clients send under 2 KB
MOST_ADDRESS_BYTES: Final = 64 * 1024
_LINE_END = 4  # ": " and the end of a header's line

_SAID = {
    400: ("BAD_REQUEST", "The request is not HTTP/1.1 as this server reads it."),
    408: ("REQUEST_TIMEOUT", "The request came too slowly or stopped half way."),
    414: ("INVALID_PARAMETER_VALUE", f"The address of a request may have at most {MOST_ADDRESS_BYTES} bytes."),
    431: (
        "INVALID_PARAMETER_VALUE",
        f"A request may have at most {MOST_HEADERS} headers, of {MOST_HEAD_BYTES} bytes together.",
    ),
}


class _TooMuch(Exception):
    """On its way out of the parser, which knows only that something went wrong."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol that answers 431, 414 and 408 and hangs up, instead of waiting or gathering."""

    head_seconds = 20.0  # from the first byte of a head, or the opening of the connection, to its last
    body_seconds = 60.0  # in each such while a body brings at least `least_bytes`, or is whole
    least_bytes = 60_000

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn says the same
        """Take the connection, and do not wait for ever for its first request."""
        super().connection_made(transport)
        self._status = 400
        self._fed = 0
        self._head_size = 0
        self._came = 0  # of the body, since somebody last looked
        self._is_in_head = True
        self._is_in_body = False
        self._watch: asyncio.TimerHandle | None = self.loop.call_later(self.head_seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the timer too."""
        self._unwatch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and watch what did not come whole."""
        was_in_head = self._is_in_head
        super().data_received(data)
        if not (self._is_in_head or self._is_in_body):
            self._unwatch()
            if self._current() is None and self.timeout_keep_alive_task is None:
                # Empty lines between requests: they must not keep a connection alive.
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )
            return
        if self._is_in_head and was_in_head:
            # One header without an end never reaches `on_header`: what is fed and not yet a request counts as well.
            self._fed += len(data)
            if self._fed > MOST_HEAD_BYTES + MOST_ADDRESS_BYTES:
                self._hang_up(431)
        if self._watch is None and not self.transport.is_closing():
            seconds = self.head_seconds if self._is_in_head else self.body_seconds
            self._watch = self.loop.call_later(seconds, self._look)

    def on_message_begin(self) -> None:
        """Start counting."""
        super().on_message_begin()
        self._fed = self._head_size = 0
        self._is_in_head = True

    def on_url(self, url: bytes) -> None:
        """Take a piece of the address."""
        super().on_url(url)
        if len(self.url) > MOST_ADDRESS_BYTES:
            self._status = 414
            raise _TooMuch

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header."""
        super().on_header(name, value)
        self._head_size += len(name) + len(value) + _LINE_END
        if len(self.headers) > MOST_HEADERS or self._head_size > MOST_HEAD_BYTES:
            self._status = 431
            raise _TooMuch

    def on_headers_complete(self) -> None:
        """Let the request begin."""
        super().on_headers_complete()
        self._is_in_head = False
        self._is_in_body = True
        self._came = 0
        self._unwatch()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._came += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop watching."""
        self._is_in_body = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Say in JSON what the parser stumbled over."""
        del msg  # uvicorn's says less
        self._hang_up(self._status)

    def _look(self) -> None:
        self._watch = None
        # While our own side does not read, nothing can come.
        is_moving = self.flow.read_paused or self._came >= self.least_bytes
        if self._is_in_body and is_moving and not self.cycle.response_complete:
            self._came = 0
            self._watch = self.loop.call_later(self.body_seconds, self._look)
        else:
            self._hang_up(408)

    def _hang_up(self, status: int) -> None:
        """Answer, unless an answer is under way or given, and close."""
        if self.transport.is_closing():
            return
        cycle = self._current()
        is_answered = self._is_in_body and self.cycle.response_started
        if not is_answered and not (cycle and cycle.response_started):
            code, message = _SAID[status]
            body = msgspec.json.encode({"error_code": code, "message": message})
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            self.transport.write(STATUS_LINE[status] + head + body)
        if cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()
        self._is_in_head = self._is_in_body = False
        self._unwatch()
        self.transport.close()

    def _current(self) -> RequestResponseCycle | None:
        """Return the request that is being answered."""
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn begins with None and says otherwise
        return None if cycle is None or cycle.response_complete else cycle

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
