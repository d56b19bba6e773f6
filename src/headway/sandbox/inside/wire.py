"""As much of HTTP/1.1 as the door speaks: read a head, read a body, write a message in one segment."""

from __future__ import annotations

from typing import BinaryIO, Iterator, NamedTuple  # noqa: UP035  # Python 3.9 runs this too

_LINE = 1 << 16
_HEADERS = 200
CHUNK = 1 << 18


class BadMessage(Exception):
    """The other side does not speak HTTP/1.1 as we need it."""


class Head(NamedTuple):
    """The first line and the headers; names in lower case, of repeated ones the last counts."""

    first: list[str]
    headers: dict[str, str]

    @property
    def keeps_alive(self) -> bool:
        """Whether the sender goes on with this connection."""
        return "close" not in self.headers.get("connection", "").lower()


def read_head(stream: BinaryIO) -> Head | None:
    """Return the next head; None when the other side has closed the connection between messages."""
    line = stream.readline(_LINE)
    if not line:
        return None
    first = line.decode("latin-1").strip().split(" ", 2)
    if not line.endswith(b"\n") or len(first) < 2:
        raise BadMessage("no HTTP start line")
    headers: dict[str, str] = {}
    for _ in range(_HEADERS):
        line = stream.readline(_LINE)
        if not line.endswith(b"\n"):
            raise BadMessage("the connection ended within the headers")
        text = line.decode("latin-1").strip()
        if not text:
            return Head(first, headers)
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise BadMessage("a header without a colon")
        headers[name.strip().lower()] = value.strip()
    raise BadMessage("too many headers")


def body_length(head: Head) -> int | None:
    """Return the announced length; None for a chunked body."""
    if "chunked" in head.headers.get("transfer-encoding", "").lower():
        return None
    text = head.headers.get("content-length", "0")
    if not text.isdigit():
        raise BadMessage("Content-Length is no number")
    return int(text)


def body_parts(stream: BinaryIO, length: int | None) -> Iterator[bytes]:
    """Yield the body in pieces; a connection that ends early is a `BadMessage`."""
    if length is not None:
        yield from _exactly(stream, length)
        return
    while True:
        line = stream.readline(_LINE)
        try:
            size = int(line.split(b";")[0].strip(), 16)
        except ValueError:
            raise BadMessage("a chunk without a size") from None
        if size == 0:
            break
        yield from _exactly(stream, size)
        stream.readline(_LINE)
    while stream.readline(_LINE).strip():
        pass


def message(first: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """Return a whole message, so that it leaves in one segment."""
    lines = [first, *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def _exactly(stream: BinaryIO, length: int) -> Iterator[bytes]:
    while length:
        part = stream.read(min(length, CHUNK))
        if not part:
            raise BadMessage("the connection ended within the body")
        length -= len(part)
        yield part
