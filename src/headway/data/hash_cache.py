"""Digests of large local files, kept as long as path, size, times and inode say that nothing was written."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

import msgspec

from headway.ids import digest_file

# A file written this shortly before it was hashed may be written again within the clock's grain.
_SETTLED_NANOSECONDS = 2_000_000_000

_Known = dict[str, tuple[int, int, int, int, str]]


class HashCache:
    """Remembers SHA-256 digests in one file; losing or corrupting that file costs time and nothing else."""

    def __init__(self, file: Path | None = None) -> None:
        """Without a file it remembers for the life of the process."""
        self._file = file
        self._lock = threading.Lock()
        self._known: _Known = {}
        self._is_changed = False
        if file is not None:
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                self._known = msgspec.json.decode(file.read_bytes(), type=_Known)

    def digest(self, path: Path) -> str:
        """Return the SHA-256 of the file's content.

        Raises:
            OSError: the file cannot be read.
        """
        name = str(path.absolute())
        before = _state(path)
        with self._lock:
            known = self._known.get(name)
        if known is not None and known[:4] == before:
            return known[4]
        digest = digest_file(path)
        if _state(path) == before and before[1] < time.time_ns() - _SETTLED_NANOSECONDS:
            with self._lock:
                self._known[name] = (*before, digest)
                self._is_changed = True
        return digest

    def save(self) -> None:
        """Write what is known to the file; the last of several writers wins."""
        if self._file is None or not self._is_changed:
            return
        with self._lock:
            content = msgspec.json.encode(self._known)
            self._is_changed = False
        partial = self._file.with_name(f"{self._file.name}.{os.getpid()}.part")
        with contextlib.suppress(OSError):
            partial.write_bytes(content)
            partial.replace(self._file)


def _state(path: Path) -> tuple[int, int, int, int]:
    stat = path.stat()
    return (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
