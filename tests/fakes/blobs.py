"""Blobs in memory: passes the same contract as the folder."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from headway.blobs.base import BlobStat
from headway.blobs.keys import checked_key, parents
from headway.errors import Conflict, NotFound


class MemoryStore:
    """A `BlobStore` that forgets when it goes out of scope."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def put(self, key: str, chunks: Iterable[bytes]) -> str:
        checked_key(key)
        data = b"".join(chunks)
        if any(folder in self.blobs for folder in parents(key)) or any(k.startswith(f"{key}/") for k in self.blobs):
            raise Conflict(f"{key!r} cannot be stored", cause="a file stands where a folder is needed")
        self.blobs[key] = data
        return hashlib.sha256(data).hexdigest()

    def save(self, key: str, chunks: Iterable[bytes]) -> None:
        self.put(key, chunks)

    def open(self, key: str, offset: int = 0) -> BinaryIO:
        checked_key(key)
        if key not in self.blobs:
            raise NotFound(f"No such artifact: {key!r}")
        stream = io.BytesIO(self.blobs[key])
        stream.seek(offset)
        return stream

    def stat(self, key: str) -> BlobStat | None:
        checked_key(key)
        if key in self.blobs:
            return BlobStat(key=key, size=len(self.blobs[key]))
        if any(each.startswith(f"{key}/") for each in self.blobs):
            return BlobStat(key=key, size=0, is_dir=True)
        return None

    def list(self, prefix: str) -> Iterator[BlobStat]:
        start = f"{checked_key(prefix)}/" if prefix else ""
        names = {key.removeprefix(start).split("/")[0] for key in self.blobs if key.startswith(start)}
        for key in sorted(start + name for name in names):
            yield self.stat(key)

    def delete(self, key: str) -> int:
        checked_key(key)
        gone = [each for each in self.blobs if each == key or each.startswith(f"{key}/")]
        return sum(len(self.blobs.pop(each)) for each in gone)
