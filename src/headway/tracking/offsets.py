"""Page tokens that say how many entries came before, as MLflow spells them."""

from __future__ import annotations

import base64

import msgspec

from headway.errors import UsageError


def write_offset(offset: int) -> str:
    """Return the token of the page that begins there."""
    return base64.b64encode(b'{"offset": %d}' % offset).decode()


def read_offset(token: str) -> int:
    """Return where a token's page begins; 0 without one.

    Raises:
        UsageError: it is none of ours.
    """
    if not token:
        return 0
    try:
        found = msgspec.json.decode(base64.b64decode(token.encode(), validate=True))
    except (ValueError, RecursionError):
        raise UsageError("Invalid page token, could not base64-decode") from None
    offset = found.get("offset") if isinstance(found, dict) else None
    if type(offset) is not int or not 0 < offset < 2**53:
        raise UsageError("Invalid page token, it has no usable offset")
    return offset
