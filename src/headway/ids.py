"""Identifiers and digests: ULIDs, names that may become paths, and content addresses."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from typing import TYPE_CHECKING, Any

import msgspec

from headway.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

# One rule for every name that can become a path, flag, tag, label or URL (github.md, rule 25).
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_id() -> str:
    """Return a fresh ULID: 26 characters, sorted by creation time in milliseconds (ulid/spec)."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def checked_name(value: str, *, what: str) -> str:
    """Return `value` when it may safely become a path or a label.

    Raises:
        UsageError: the name has other characters, is empty or is longer than 63.
    """
    if NAME.match(value):
        return value
    raise UsageError(
        f"{what} {value!r} is not a usable name",
        cause="names become paths, labels and addresses",
        hint="start with a letter or digit; then letters, digits, dot, dash, underscore; at most 63",
    )


def digest_bytes(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_of(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON: equal values, in any key order, are equal.

    Takes what msgspec can encode: frozen records, mappings, sequences, numbers and text.
    """
    return digest_bytes(msgspec.json.encode(value, order="deterministic"))
