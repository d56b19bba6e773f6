"""The one protocol of byte stores; `tests/contracts/blobs.py` is its contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobStat:
    """What is known of a key without reading it."""

    key: str
    size: int
    is_dir: bool = False


class BlobStore(Protocol):
    """Bytes by key; keys are `/`-separated, checked by `headway.blobs.keys.checked_key`.

    All methods block. Errors: `NotFound`, `StorageFull`, `UsageError` for a key out of grammar.
    """

    def put(self, key: str, chunks: Iterable[bytes]) -> str:
        """Store as `save` does and return the SHA-256, which costs a large file a third of its CPU."""
        ...

    def save(self, key: str, chunks: Iterable[bytes]) -> None:
        """Store durably, whole or not at all; replaces; safe to repeat."""
        ...

    def open(self, key: str, offset: int = 0) -> BinaryIO:
        """Open for reading from `offset`."""
        ...

    def stat(self, key: str) -> BlobStat | None:
        """Return size and kind; None when there is no such key."""
        ...

    def list(self, prefix: str) -> Iterator[BlobStat]:
        """Yield the direct children of a folder key, sorted; nothing for an absent one."""
        ...

    def delete(self, key: str) -> int:
        """Remove a key or a folder of keys; return the bytes freed; absent is 0."""
        ...
