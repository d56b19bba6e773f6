"""A file of fixed size that has the bytes of small files until the disk has the files themselves.

To make a new file durable the disk is waited for twice, for the file and for its folder, and each time the file system
commits its own journal. Bytes written over bytes that are there already change nothing but themselves: one wait, a
quarter as long. What is in the file counts while it bears the journal's present mark; a new mark empties it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from headway.blobs.tree import write_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

NAME = "#journal"  # outside the grammar of keys
SIZE = 4 * 1024 * 1024
# A record begins on a page of its own: a power cut in the middle of a write touches no other record.
_PAGE = 4096
_HEAD = struct.Struct("<16sIQ32s")  # the mark, the lengths of key and body, SHA-256 of what follows the mark
_MARK = 16
_LENGTHS = 28  # where the lengths end


class Record(NamedTuple):
    """A small file as it was handed over."""

    key: str
    body: bytes


class Journal:
    """The journal below a folder; threads and processes take turns."""

    def __init__(self, root: Path) -> None:
        """Open it, writing it full of zeros where it is not there: `OSError` where there is no room for it."""
        self._descriptor = -1
        self._descriptor = os.open(root / NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._turn = threading.Lock()
        self._mark = b""  # that of another process, until we begin anew ourselves
        self._end = _PAGE
        with self.turn():
            if os.fstat(self._descriptor).st_size < SIZE:
                self._fill(root)

    def __del__(self) -> None:
        """Let go of the file with the store that it belongs to."""
        if self._descriptor >= 0:
            os.close(self._descriptor)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold it against other threads and other processes; whatever is called below needs this."""
        with self._turn:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def is_mine(self) -> bool:
        """Whether nobody but this object has written to it since this object began it anew."""
        return bool(self._mark) and os.pread(self._descriptor, _MARK, 0) == self._mark

    def has_room(self, records: Sequence[Record]) -> bool:
        """Whether these fit in."""
        return self._end + sum(_padded(each) for each in records) <= SIZE

    def append(self, records: Sequence[Record]) -> None:
        """Write these in one piece and wait for the disk once; they must fit in, and the journal be ours."""
        written = b"".join(_encoded(self._mark, each) for each in records)
        _write_at(self._descriptor, written, self._end)
        os.fdatasync(self._descriptor)
        self._end += len(written)

    def records(self) -> Iterator[Record]:
        """Yield what it holds, in the order in which it was written, up to a record that is not whole."""
        mark = os.pread(self._descriptor, _MARK, 0)
        place = _PAGE
        while True:
            found = self._read(mark, place)
            if found is None:
                return
            yield found
            place += _padded(found)

    def begin_anew(self) -> None:
        """Empty it under a new mark. The bytes go as well: what is deleted later must not be found here."""
        mark = os.urandom(_MARK)
        _write_at(self._descriptor, mark, 0)
        os.fdatasync(self._descriptor)
        self._mark = mark
        used = self._end if self._end > _PAGE else SIZE
        _write_at(self._descriptor, bytes(used - _PAGE), _PAGE)
        self._end = _PAGE

    def _read(self, mark: bytes, place: int) -> Record | None:
        head = os.pread(self._descriptor, _HEAD.size, place)
        if len(head) < _HEAD.size or not head.startswith(mark):
            return None
        _, key_size, size, check = _HEAD.unpack(head)
        if key_size + size > SIZE:
            return None
        whole = os.pread(self._descriptor, key_size + size, place + _HEAD.size)
        if hashlib.sha256(head[_MARK:_LENGTHS] + whole).digest() != check:
            return None
        return Record(whole[:key_size].decode(), whole[key_size:])

    def _fill(self, root: Path) -> None:
        try:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            write_all(self._descriptor, bytes(SIZE))
            os.fsync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, 0)
            raise
        above = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(above)
        finally:
            os.close(above)


def _encoded(mark: bytes, record: Record) -> bytes:
    key = record.key.encode()
    sizes = struct.pack("<IQ", len(key), len(record.body))
    check = hashlib.sha256(sizes + key + record.body).digest()
    return (mark + sizes + check + key + record.body).ljust(_padded(record), b"\0")


def _padded(record: Record) -> int:
    return -(_HEAD.size + len(record.key.encode()) + len(record.body)) // _PAGE * -_PAGE


def _write_at(descriptor: int, data: bytes, place: int) -> None:
    rest = memoryview(data)
    while rest:
        count = os.pwrite(descriptor, rest, place)
        rest, place = rest[count:], place + count
