"""Bring a pod's log and its predictions to the server, which knows how much of them it has."""

from __future__ import annotations

import contextlib
import os
import re
import time
from typing import TYPE_CHECKING

import msgspec

from headway.errors import HeadwayError, Unreachable
from headway.serving.durable import read_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from headway.serving.kubernetes.upstream import Upstream

_CHUNK = 512 << 10
_CHUNKS = 4  # of each stream in one turn
_SEGMENT = re.compile(r"[0-9]{8}T[0-9]{2}-[0-9]{4}\.jsonl")
_KEPT = 60.0  # seconds that a segment stays after the last line of it was sent
_MOST_WAITING = 1 << 30  # bytes of predictions kept while the server is away; the oldest go first


class LogShip:
    """Sends what the agent and the front write to their logs, interleaved as it is found."""

    def __init__(self, upstream: Upstream, files: tuple[Path, ...], state: Path) -> None:
        """Follow `files` (each may be moved aside to NAME.1); `state` remembers how far, across a restart."""
        self._upstream = upstream
        self._files = files
        self._state = state
        self._at: dict[str, tuple[int, int]] = {}  # file -> inode, position
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            self._at = msgspec.json.decode(state.read_bytes(), type=dict[str, tuple[int, int]])
        self._offset: int | None = None

    def send(self) -> bool:
        """Send what is new; return whether nothing is left."""
        if self._offset is None:
            self._offset = self._upstream.append_log(0, b"")
        found, at = self._new()
        if not found:
            return True
        size = self._upstream.append_log(self._offset, found)
        if size == self._offset + len(found):
            self._at = at
            self._state.write_bytes(msgspec.json.encode(at))
        self._offset = size
        return False

    def _new(self) -> tuple[bytes, dict[str, tuple[int, int]]]:
        parts, at = [], dict(self._at)
        for path in self._files:
            inode, position = at.get(path.name, (0, 0))
            old = path.with_suffix(path.suffix + ".1")
            if inode and _inode(path) != inode:
                if _inode(old) == inode:
                    parts.append(_whole_lines(old, position))
                position = 0
            data = _whole_lines(path, position)
            parts.append(data)
            at[path.name] = (_inode(path), position + len(data))
        return b"".join(parts), at


class PredictionShip:
    """Sends the segments of the prediction log, oldest first, and removes what has arrived."""

    def __init__(self, upstream: Upstream, folder: Path, log: Callable[[str], None]) -> None:
        """Follow the front's folder of segments."""
        self._upstream = upstream
        self._folder = folder
        self._log = log
        self._sent: dict[str, int] = {}
        self._refused: set[str] = set()

    def send(self) -> bool:
        """Send what is new, as far as one turn reaches; return whether nothing is left."""
        self._shorten()
        left = _CHUNKS
        for path in self._segments():
            if path.stem in self._refused:
                continue
            if path.stem not in self._sent:
                self._sent[path.stem] = self._upstream.append_predictions(path.stem, 0, b"")
            while left:
                data = _whole_lines(path, self._sent[path.stem])
                if not data:
                    break
                left -= 1
                if not self._send(path.stem, data):
                    break
            if not left:
                return False
        self._remove_sent()
        return True

    def _send(self, segment: str, data: bytes) -> bool:
        try:
            self._sent[segment] = self._upstream.append_predictions(segment, self._sent[segment], data)
        except Unreachable:
            raise
        except HeadwayError as error:
            self._log(f"predictions of {segment} are not taken: {error.message}")
            self._refused.add(segment)
            return False
        return True

    def _segments(self) -> list[Path]:
        """Return the segments in the order of their hours; none of a folder that a model has led elsewhere."""
        with self._opened() as descriptor:
            names = [] if descriptor is None else os.listdir(descriptor)  # noqa: PTH208  # of a descriptor
        return sorted(self._folder / name for name in names if _SEGMENT.fullmatch(name))

    def _remove_sent(self) -> None:
        for path in self._segments()[:-1]:
            found = self._stat(path)
            if found is None:
                continue
            is_sent = path.stem in self._refused or self._sent.get(path.stem, -1) >= found.st_size
            if is_sent and time.time() - found.st_mtime > _KEPT:
                self._remove(path)

    def _shorten(self) -> None:
        sizes = {path: found.st_size for path in self._segments() if (found := self._stat(path))}
        total = sum(sizes.values())
        for path in list(sizes)[:-1]:
            if total <= _MOST_WAITING:
                return
            self._log(f"predictions of {path.stem} are dropped: the server was away for too long")
            self._remove(path)
            total -= sizes[path]

    def _stat(self, path: Path) -> os.stat_result | None:
        with self._opened() as descriptor, contextlib.suppress(OSError):
            if descriptor is not None:
                return os.stat(path.name, dir_fd=descriptor, follow_symlinks=False)
        return None

    def _remove(self, path: Path) -> None:
        with self._opened() as descriptor, contextlib.suppress(OSError):
            if descriptor is not None:
                os.unlink(path.name, dir_fd=descriptor)
                self._sent.pop(path.stem, None)
                self._refused.discard(path.stem)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int | None]:
        """Open the folder itself, so that nothing of another one is removed where a model puts a link in its place."""
        try:
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            yield None
            return
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _whole_lines(path: Path, start: int) -> bytes:
    data = read_plain(path, start, _CHUNK)
    end = data.rfind(b"\n") + 1
    # A line longer than a chunk goes in parts: the server puts them together again.
    return data[:end] if end or len(data) < _CHUNK else data


def _inode(path: Path) -> int:
    try:
        return path.lstat().st_ino
    except OSError:
        return 0
