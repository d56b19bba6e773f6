"""The door's connection to the tracking server, which may be away, elsewhere, or slow."""

from __future__ import annotations

import contextlib
import socket
import ssl
from pathlib import Path
from typing import BinaryIO, Iterator, NamedTuple, Union  # noqa: UP035  # Python 3.9 runs this too

from durable import read_json

import wire

_CONNECT_SECONDS = 3.0
AWAY = frozenset({502, 503, 504, 507})  # not now; the same request may succeed later


class Away(Exception):
    """The server gave no answer that counts; `cut` when it hung up in the middle of an exchange."""

    cut = False


class Request(NamedTuple):
    """What goes to the server; a body over a megabyte lies in a file."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""
    spool: Path | None = None


class Response(NamedTuple):
    """The head of an answer, and its body still to be read."""

    status: int
    reason: str
    headers: dict[str, str]
    length: int | None  # None: chunked, or until the end of the connection
    parts: Iterator[bytes]

    def read(self) -> bytes:
        """Return the whole body."""
        return b"".join(self.parts)


class Upstream:
    """One keep-alive connection, made again whenever it must be; used by one thread."""

    def __init__(self, server: Union[Path, dict], token: str) -> None:  # noqa: UP007  # Python 3.9 runs this too
        """`server` is a file that is read at each connection, or what such a file says, where code could change it."""
        self._server = server
        self._token = token
        self._socket: socket.socket | None = None
        self._stream: BinaryIO | None = None
        self._host = ""
        self._prefix = ""
        self._connected = False  # whether the last try got as far as a connection

    def send(self, request: Request, *, seconds: float) -> Response:
        """Send one request and return its answer.

        A connection kept from before may have been closed in the meantime, so the first failure on it is
        followed by a second try on a new one: everything we send may be repeated.

        Raises:
            Away: no connection, no complete answer, or one that says "not now".
        """
        reused = self._socket is not None
        try:
            return self._exchange(request, seconds)
        except (OSError, wire.BadMessage) as error:
            self.close()
            if not reused or isinstance(error, socket.timeout):
                raise _away(error, cut=self._connected) from error
        try:
            return self._exchange(request, seconds)
        except (OSError, wire.BadMessage) as error:
            self.close()
            raise _away(error, cut=self._connected) from error

    def close(self) -> None:
        """Drop the connection; the next request makes a new one."""
        if self._stream:
            self._stream.close()
        if self._socket:
            self._socket.close()
        self._socket = self._stream = None

    def _exchange(self, request: Request, seconds: float) -> Response:
        if self._socket is None:
            self._connect()
        self._socket.settimeout(seconds)
        length = request.spool.stat().st_size if request.spool else len(request.body)
        headers = {**request.headers, "Host": self._host, "Authorization": f"Bearer {self._token}"}
        if length or request.method in {"POST", "PUT", "PATCH"}:
            headers["Content-Length"] = str(length)
        try:
            self._socket.sendall(
                wire.message(f"{request.method} {self._prefix}{request.target} HTTP/1.1", headers, request.body)
            )
            if request.spool:
                with request.spool.open("rb") as stream:
                    self._socket.sendfile(stream)
        except (BrokenPipeError, ConnectionResetError):
            # It may have answered before it hung up: "too large", for example.
            with contextlib.suppress(OSError, wire.BadMessage):
                return self._answer(request.method)
            raise
        return self._answer(request.method)

    def _answer(self, method: str) -> Response:
        head = wire.read_head(self._stream)
        while head is not None and head.first[1] == "100":
            head = wire.read_head(self._stream)
        if head is None or not head.first[1].isdigit():
            raise wire.BadMessage("the server closed the connection instead of answering")
        status = int(head.first[1])
        reason = head.first[2] if len(head.first) > 2 else ""
        if method == "HEAD" or status in {204, 304}:
            length: int | None = 0
        else:
            length = wire.body_length(head)
        parts = wire.body_parts(self._stream, length)
        if status in AWAY:
            for _ in parts:
                pass
            raise Away(f"the server answered {status}")
        return Response(status, reason, head.headers, length, self._to_end(parts, keep=head.keeps_alive))

    def _to_end(self, parts: Iterator[bytes], *, keep: bool) -> Iterator[bytes]:
        try:
            yield from parts
        except (OSError, wire.BadMessage) as error:
            self.close()
            raise Away(str(error)) from error
        if not keep:
            self.close()

    def _connect(self) -> None:
        self._connected = False
        where = self._server if isinstance(self._server, dict) else read_json(self._server)
        if not where:
            raise Away(f"{self._server} does not say where the server is")
        host, port = str(where["host"]), int(where["port"])
        if host in {"0.0.0.0", "::"}:  # noqa: S104  # not bound here: an address that means "every one" is reached by loopback
            host = "127.0.0.1"
        self._prefix = str(where.get("prefix") or "")
        self._socket = _reach(host, port, where)
        self._stream = self._socket.makefile("rb", buffering=1 << 16)
        self._connected = True
        self._host = _authority(host, port)


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reach(host: str, port: int, where: dict) -> socket.socket:
    """Connect, through the `proxy` ([host, port]) and with TLS where the server's file says so."""
    proxy = where.get("proxy")
    made = socket.create_connection((str(proxy[0]), int(proxy[1])) if proxy else (host, port), timeout=_CONNECT_SECONDS)
    try:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if proxy:
            _tunnel(made, _authority(host, port))
        if where.get("tls"):
            made = ssl.create_default_context().wrap_socket(made, server_hostname=host)
    except BaseException:
        made.close()
        raise
    return made


def _tunnel(made: socket.socket, authority: str) -> None:
    made.sendall(wire.message(f"CONNECT {authority} HTTP/1.1", {"Host": authority}))
    # Unbuffered: what follows the head belongs to TLS.
    with made.makefile("rb", buffering=0) as stream:
        head = wire.read_head(stream)
    if head is None or head.first[1] != "200":
        raise wire.BadMessage(f"the proxy answered {' '.join(head.first[1:]) if head else 'nothing'}")


def _away(error: Exception, *, cut: bool) -> Away:
    away = Away(str(error) or type(error).__name__)
    away.cut = cut
    return away
