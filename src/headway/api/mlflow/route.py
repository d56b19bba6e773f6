"""What a route of the MLflow wire declares: its path, its permission, its message, and the function that answers.

A module of routes ends in `ROUTES = (Route(...), ...)`, and `table.py` joins them. A route's `answer(call, message)`
runs in a transaction: the writer's when `is_write`, else one of its own that only reads. It returns what msgspec can
encode, ready JSON as bytes, or None for `{}`. Bodies that stream (artifacts) are `StreamRoute`s, which speak ASGI.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy import Connection

    from headway.auth.model import Principal
    from headway.blobs.base import BlobStore
    from headway.db.connection import Database
    from headway.tracking.store import RunStore
    from headway.tracking.writer import Writer

API = "/api/2.0/mlflow/"
AJAX = "/ajax-api/2.0/mlflow/"
API3 = "/api/3.0/mlflow/"
AJAX3 = "/ajax-api/3.0/mlflow/"
BOTH = (API, AJAX)


# What both databases and protobuf can hold; what is greater is refused with the field's name.
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class Access(Enum):
    """What a caller must be allowed; every route declares one, and a test walks the table."""

    OPEN = "open"  # the probes: no login
    READ = "read"  # viewer
    WRITE = "write"  # contributor
    MAINTAIN = "maintain"  # maintainer: what cannot be taken back
    ADMIN = "admin"


class Message(msgspec.Struct, gc=False):
    """The typed body, or query, of a request: proto2's reading, where absent means the default.

    `required` lists the fields that must be there and not be empty, in the order in which they are complained about.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, as the function that answers it sees it."""

    principal: Principal
    store: RunStore
    path: dict[str, str] = field(default_factory=dict)  # what `{name}` in the route's path matched
    idempotency_key: str = ""

    @property
    def tx(self) -> Connection:
        """The transaction that the answer runs in."""
        return self.store.tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One (method, path) of the wire."""

    method: str
    path: str  # below the prefixes; `{name}` matches one segment
    access: Access
    message: type[Message]
    answer: Callable[[Call, Any], Any]
    required: tuple[str, ...] = ()
    is_write: bool = False
    is_heavy: bool = False  # may read for long: answered off the event loop
    prefixes: tuple[str, ...] = BOTH
    max_bytes: int = 4_000_000


def by_method(
    method: str, path: str, message: type[Message], answer: Callable[[Call, Any], Any], *required: str
) -> Route:
    """Return a route that writes unless its method is GET."""
    is_write = method != "GET"
    return Route(
        method=method,
        path=path,
        access=Access.WRITE if is_write else Access.READ,
        message=message,
        answer=answer,
        required=required,
        is_write=is_write,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamCall:
    """One request whose body or answer streams."""

    principal: Principal
    path: dict[str, str]  # `{name:path}` matches the rest of the path, slashes included, still percent-encoded
    scope: Any
    receive: Callable[[], Awaitable[Any]]
    send: Callable[[Any], Awaitable[None]]
    database: Database
    writer: Writer
    blobs: BlobStore


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRoute:
    """One (method, path) that speaks ASGI itself; a HeadwayError raised before the answer began becomes its body."""

    method: str
    path: str  # the whole path, from the first slash
    access: Access
    serve: Callable[[StreamCall], Awaitable[None]]
