"""HTTP for a program that lives half a second: the standard library's, since httpx takes longer to load than that."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

CONNECT_TIMEOUT = 10.0
TIMEOUT = 600.0  # a backup or a merge may take its time; connecting may not
CHUNK = 1 << 20
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

FAILURES = (OSError, http.client.HTTPException, ValueError)
"""What goes wrong between here and there; a ValueError is an address that is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    content: bytes


class Connection:
    """One kept connection to one server, through the proxy that the environment names, never for loopback."""

    def __init__(self, url: str, *, is_local: bool) -> None:
        """Take the address apart; nothing is sent yet."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("the address does not begin with http:// or https://, or has no host")
        self._is_https = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port or (443 if self._is_https else 80)
        self._prefix = parts.path.rstrip("/")
        self._is_local = is_local
        self._open: http.client.HTTPConnection | None = None

    def send(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None, token: str = ""
    ) -> Answer:
        """Send one request; a body that is no bytes goes as JSON."""
        reply = self._start(method, path, query=query, body=body, token=token)
        headers = {name.lower(): value for name, value in reply.getheaders()}
        return Answer(status=reply.status, headers=headers, content=reply.read())

    def stream(self, path: str, *, token: str = "") -> tuple[int, Iterator[bytes]]:
        """Ask for a file; return the status and the body in parts."""
        reply = self._start("GET", path, token=token)
        return reply.status, iter(lambda: reply.read(CHUNK), b"")

    def upload(self, path: str, parts: Iterator[bytes], *, size: int, token: str = "") -> Answer:
        """Send a file in parts, once: it cannot be read again from here.

        Raises:
            ValueError: the parts are not `size` bytes; nothing was stored.
        """
        headers = {"Content-Length": str(size), **({"Authorization": f"Bearer {token}"} if token else {})}
        self.close()  # what was kept may have been closed at the other end meanwhile
        try:
            reply = self._once("PUT", self._prefix + quote(path, safe="/%:@"), _exactly(parts, size), headers)
            return Answer(status=reply.status, headers={}, content=reply.read())
        except BaseException:
            self.close()  # half a body lies on it
            raise

    def _start(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None, token: str = ""
    ) -> http.client.HTTPResponse:
        target = self._prefix + quote(path, safe="/%:@")
        target += f"?{urlencode(query)}" if query else ""
        headers = {"Accept": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        is_kept = self._open is not None
        try:
            return self._once(method, target, data, headers)
        except (ConnectionError, http.client.RemoteDisconnected, http.client.BadStatusLine):
            self.close()
            if not is_kept or method not in ("GET", "PUT", "DELETE"):
                raise
            # The server closed the kept connection meanwhile; what is safe to repeat is said once more.
            return self._once(method, target, data, headers)

    def _once(
        self, method: str, target: str, data: bytes | Iterator[bytes] | None, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        if self._open is None:
            self._open = self._connect()
        self._open.request(method, target, data, headers)
        return self._open.getresponse()

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._is_https else http.client.HTTPConnection
        proxy = None if self._is_local else proxy_for(self._host, is_https=self._is_https)
        if proxy is None:
            made = kind(self._host, self._port, timeout=CONNECT_TIMEOUT)
        else:
            made = kind(*proxy, timeout=CONNECT_TIMEOUT)
            made.set_tunnel(self._host, self._port)
        made.connect()
        if made.sock is not None:
            made.sock.settimeout(TIMEOUT)
            made.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def close(self) -> None:
        """Let the connection go."""
        if self._open is not None:
            self._open.close()
            self._open = None


def _exactly(parts: Iterator[bytes], size: int) -> Iterator[bytes]:
    left = size
    for part in parts:
        left -= len(part)
        if left < 0:
            break
        yield part
    if left:
        raise ValueError(f"the file has not the {size} bytes that were told of it")


def proxy_for(host: str, *, is_https: bool) -> tuple[str, int] | None:
    """Return the proxy for a host, as the environment and the system name it; none leads to this machine itself."""
    from urllib.request import getproxies, proxy_bypass

    address = getproxies().get("https" if is_https else "http", "")
    if not address or host in _LOOPBACK or proxy_bypass(host):
        return None
    parts = urlsplit(address if "://" in address else f"http://{address}")
    return (parts.hostname, parts.port or 3128) if parts.hostname else None
