"""Answers of GitHub's that may not have changed: kept packed and up to a size, for asking with their marks."""

from __future__ import annotations

import json
import threading
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_BYTES = 32 << 20  # packed; a page of a hundred pull requests has some megabytes, and a tenth of that packed


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: decoded JSON, the next page's address, and the headers."""

    data: Any
    next: str | None
    status: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An answer as it came once, and its mark."""

    etag: str
    packed: bytes
    next: str | None
    headers: Mapping[str, str]

    def read(self) -> Answer:
        """Return the answer anew, when GitHub has said that it is still the same."""
        content = zlib.decompress(self.packed)
        data = json.loads(content) if content else None
        return Answer(data=data, next=self.next, status=200, headers=self.headers)


class KnownAnswers:
    """The latest answers by who asked for what; safe between threads. What was not asked for longest goes first."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        """Begin with none."""
        self._most = most
        self._kept: OrderedDict[tuple[str, str], Known] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def find(self, key: tuple[str, str]) -> Known | None:
        """Return what came the last time."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def keep(self, key: tuple[str, str], etag: str, content: bytes, answer: Answer) -> None:
        """Keep an answer in place of an older one."""
        known = Known(etag=etag, packed=zlib.compress(content, 1), next=answer.next, headers=answer.headers)
        with self._lock:
            self._drop(key)
            if len(known.packed) > self._most:
                return
            self._kept[key] = known
            self._size += len(known.packed)
            while self._size > self._most:
                self._drop(next(iter(self._kept)))

    def _drop(self, key: tuple[str, str]) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self._size -= len(found.packed)
