"""Who may talk to the server at all: exact hosts, no cross-site writes, strict headers (security.md, 14)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

PAGE_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'"
            b"; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        ),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


def allowed_hosts(host: str, port: int, public_url: str) -> frozenset[str]:
    """Return the exact `Host` values that this server answers."""
    names = {host, "127.0.0.1", "localhost", "[::1]"}
    found = {f"{name}:{port}" for name in names}
    if port in (80, 443):
        found |= names
    if public_url:
        public = urlsplit(public_url)
        name = public.netloc.rpartition("@")[2].lower()
        found.add(name)
        usual = {"https": ":443", "http": ":80"}.get(public.scheme, "")
        # Nobody sends the port that an address has anyway.
        found.add(name.removesuffix(usual) if usual and name.endswith(usual) else f"{name}{usual}")
    return frozenset(found)


def refusal(scope: Scope, hosts: frozenset[str]) -> str:
    """Return why a request is refused at the door, or "" when it may go on."""
    headers = {name: value for name, value in scope["headers"] if name in _LOOKED_AT}
    host = headers.get(b"host", b"").decode("latin-1").lower()
    if host not in hosts:
        return f"this server is not called {host!r}; set HEADWAY_PUBLIC_URL to the address people use"
    # Basic does not count: a browser sends it by itself, from an address with a name and password in it.
    if scope["method"] in _SAFE or headers.get(b"authorization", b"").lower().startswith(b"bearer "):
        return ""
    site = headers.get(b"sec-fetch-site", b"").decode("latin-1")
    if site:
        return "" if site in ("same-origin", "none") else "a page of another site may not write here"
    origin = headers.get(b"origin")
    if origin is not None and origin.decode("latin-1") not in (f"http://{host}", f"https://{host}"):
        return "a page of another site may not write here"
    if origin is None and b"cookie" in headers:
        return "a write with a cookie needs an Origin or Sec-Fetch-Site header"
    return ""


_LOOKED_AT = frozenset({b"host", b"authorization", b"sec-fetch-site", b"origin", b"cookie"})


async def refuse(send: Send, reason: str) -> None:
    """Answer 403 with the reason, as JSON."""
    body = msgspec.json.encode({"error_code": "PERMISSION_DENIED", "message": reason})
    await send(
        {
            "type": "http.response.start",
            "status": 403,
            "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())],
        },
    )
    await send({"type": "http.response.body", "body": body})
