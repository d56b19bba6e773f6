"""Head and body of an answer in one write, so in one segment on a socket with TCP_NODELAY.

uvicorn writes the head when the answer starts and the body when it comes; uvloop sends each by its own system call,
waking a waiting client twice. `uvicorn.Config(http=OneSegmentProtocol, loop="uvloop")` joins them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headway.api.mlflow.bounds import BoundedProtocol

if TYPE_CHECKING:
    import asyncio

_WORTH_COPYING = 65_536


class OneSegmentProtocol(BoundedProtocol):
    """uvicorn's protocol with bounds, behind a transport that holds a head back until the body follows."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn says the same
        """Take the connection."""
        super().connection_made(_Joining(transport, self.loop))  # type: ignore[arg-type]  # it stands in for one


class _Joining:
    """A transport that joins a head with what is written in the same turn of the loop."""

    __slots__ = ("_held", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""

    def write(self, data: bytes) -> None:
        if self._held:
            held, self._held = self._held, b""
            if len(data) > _WORTH_COPYING:
                self._transport.write(held)
            else:
                data = held + data
        elif data.startswith(b"HTTP/1.1 ") and data.endswith(b"\r\n\r\n"):
            self._held = data
            self._loop.call_soon(self._flush)  # a body that streams may come much later
            return
        self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
