"""The door's journal: an append-only file of checksummed records, durable before anybody is answered.

A record is its length, its CRC-32 (both 32 bits, big-endian) and its bytes. The file is emptied when all
of it has been delivered, so it stays as small as an outage is short. Beside it lies how far it was delivered,
so that who opens it after a crash goes on there; a torn end, about which nobody was answered, is put aside.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import time
import zlib
from pathlib import Path

from durable import sync_folder, write_all

_HEADER = struct.Struct(">II")
_LARGEST = 256 << 20
_POSITION = struct.Struct(">Q")


class Journal:
    """Appended to by any thread, delivered from by one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        at = path.with_name(f"{path.name}.at")
        self._position = os.open(at, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        sync_folder(path.parent)
        self._changed = threading.Condition()
        self._write_at = 0
        self._read_at = 0
        self._appended = 0
        self._delivered = 0
        self._resume()

    def _resume(self) -> None:
        """Go on with what an earlier process left; a journal that is new has nothing."""
        size = os.fstat(self._descriptor).st_size
        kept = os.pread(self._position, _POSITION.size, 0)
        offset = _POSITION.unpack(kept)[0] if len(kept) == _POSITION.size else 0
        if offset > size:  # it was emptied, and the crash came before the position said so
            offset = 0
        self._read_at = self._write_at = offset
        while (payload := _record_at(self._descriptor, self._write_at)) is not None:
            self._write_at += _HEADER.size + len(payload)
            self._appended += 1
        if self._write_at < size:
            torn = os.pread(self._descriptor, size - self._write_at, self._write_at)
            if torn.strip(b"\0"):
                self._path.with_name(f"{self._path.name}.torn-{time.time_ns()}").write_bytes(torn)
            os.ftruncate(self._descriptor, self._write_at)
        if not self._appended:
            self._empty()

    def _empty(self) -> None:
        os.ftruncate(self._descriptor, 0)
        self._read_at = self._write_at = 0
        self._keep_position()
        # Before anything is kept anew: after a power cut, an old position would skip what was never delivered.
        with contextlib.suppress(OSError):
            os.fsync(self._position)

    def _keep_position(self) -> None:
        # Not synced: what is delivered twice after a power cut is taken for once by the server. A disk that is
        # full holds these eight bytes already, and a failure costs no more than that.
        with contextlib.suppress(OSError):
            os.pwrite(self._position, _POSITION.pack(self._read_at), 0)

    @property
    def pending(self) -> int:
        """How many records wait for delivery."""
        with self._changed:
            return self._appended - self._delivered

    @property
    def last(self) -> int:
        """The number of the record appended last; numbers count from 1."""
        with self._changed:
            return self._appended

    def append(self, payload: bytes) -> int:
        """Write a record and return its number once it is on the disk.

        Raises:
            OSError: the disk took no more; the journal is as it was before.
        """
        with self._changed:
            try:
                os.lseek(self._descriptor, self._write_at, os.SEEK_SET)
                write_all(self._descriptor, _HEADER.pack(len(payload), zlib.crc32(payload)) + payload)
                os.fsync(self._descriptor)
            except OSError:
                os.ftruncate(self._descriptor, self._write_at)
                raise
            self._write_at += _HEADER.size + len(payload)
            self._appended += 1
            self._changed.notify_all()
            return self._appended

    def wait_for_records(self, most: int, seconds: float) -> list[bytes]:
        """Return the oldest undelivered records, at most so many; none when none comes in time."""
        with self._changed:
            if self._appended == self._delivered:
                self._changed.wait(seconds)
            waiting = self._appended - self._delivered
        found: list[bytes] = []
        offset = self._read_at
        while len(found) < min(waiting, most):
            payload = _record_at(self._descriptor, offset)
            if payload is None:
                raise OSError(f"{self._path} is damaged at byte {offset}")
            found.append(payload)
            offset += _HEADER.size + len(payload)
        return found

    def delivered(self, payloads: list[bytes]) -> None:
        """Forget the first of the records that `wait_for_records` returned."""
        with self._changed:
            self._read_at += sum(_HEADER.size + len(payload) for payload in payloads)
            self._delivered += len(payloads)
            if self._appended == self._delivered:
                self._empty()
            else:
                self._keep_position()
            self._changed.notify_all()

    def wait_until_delivered(self, number: int, deadline: float) -> bool:
        """Wait until record `number` is delivered; False when the monotonic `deadline` passes first."""
        with self._changed:
            while self._delivered < number:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
            return True


def records(path: Path) -> list[bytes]:
    """Return the whole records of a journal that nobody writes any more; a torn end is left out."""
    found: list[bytes] = []
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        offset = 0
        while (payload := _record_at(descriptor, offset)) is not None:
            found.append(payload)
            offset += _HEADER.size + len(payload)
    finally:
        os.close(descriptor)
    return found


def _record_at(descriptor: int, offset: int) -> bytes | None:
    header = os.pread(descriptor, _HEADER.size, offset)
    if len(header) < _HEADER.size:
        return None
    length, checksum = _HEADER.unpack(header)
    if not 0 < length <= _LARGEST:  # a record is never empty; zeros are what a torn write may leave
        return None
    payload = os.pread(descriptor, length, offset + _HEADER.size)
    if len(payload) < length or zlib.crc32(payload) != checksum:
        return None
    return payload
