"""Files for browsers: their addresses with the hash that the browser checks, and the route that sends them."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headway.web.guard import PAGE_HEADERS

STATIC = Path(__file__).parent / "static"
PREFIX = "/static"

_KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_HEADERS = {name.decode(): value.decode() for name, value in PAGE_HEADERS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One file: where a page finds it, what its bytes hash to, and the bytes."""

    url: str
    integrity: str
    kind: str
    body: bytes


@cache
def assets() -> dict[str, Asset]:
    """Return every file that is sent, by its path below `static/`; nothing else is ever read from the disk."""
    found = {}
    for path in sorted(STATIC.rglob("*")):
        if path.suffix in _KINDS and path.is_file():
            name, body = path.relative_to(STATIC).as_posix(), path.read_bytes()
            digest = base64.b64encode(hashlib.sha384(body).digest()).decode()
            # The hash stands in the address, so that a browser may keep the file for ever.
            url = f"{PREFIX}/{hashlib.sha256(body).hexdigest()[:12]}/{name}"
            found[name] = Asset(url=url, integrity=f"sha384-{digest}", kind=_KINDS[path.suffix], body=body)
    return found


@cache
def vendored() -> dict[str, str]:
    """Return the integrity that the manifest records of each vendored file."""
    packages = msgspec.json.decode((STATIC / "vendor" / "manifest.json").read_bytes())
    return {f"vendor/{path}": entry["integrity"] for package in packages for path, entry in package["files"].items()}


def asset(name: str) -> Asset:
    """Return the file of that name; of a vendored one, with the hash of the manifest."""
    found = assets()[name]
    wanted = vendored().get(name, found.integrity)
    return Asset(url=found.url, integrity=wanted, kind=found.kind, body=found.body)


def static_route() -> Route:
    """Return the route of all static files; it needs no login, because the login page needs them."""

    async def endpoint(request: Request) -> Response:
        known = assets().get(request.path_params["name"])
        if known is None or known.url != request.url.path:
            return Response(
                "there is no such file",
                status_code=404,
                media_type="text/plain",
                headers=_HEADERS | {"cache-control": "no-store"},
            )
        kept = {"cache-control": "public, max-age=31536000, immutable"}
        return Response(known.body, media_type=known.kind, headers=_HEADERS | kept)

    return Route(PREFIX + "/{digest}/{name:path}", endpoint, methods=["GET"])
