"""Files that two processes share: written whole or not at all, and locks as proof of life."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T")


def write_file(path: Path, data: bytes) -> None:
    """Replace a file durably; nothing happens when it says so already.

    In a pod a model's code can write to the same folder: no link of its making is written through or read.
    """
    if data and read_plain(path, 0, len(data) + 1) == data:
        return
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(fresh, flags, 0o666), "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise


def read_plain(path: Path, start: int, most: int) -> bytes:
    """Return bytes of a plain file; none of a link or a device, which a model might have put there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return b""
        stream.seek(start)
        return stream.read(most)


def read_record(path: Path, kind: type[T]) -> T | None:
    """Return the record in a JSON file; None when it is not there or cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def is_locked(path: Path) -> bool:
    """Whether a live process holds the lock: the only proof of life that no clock can fake."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return False  # a link: nobody who holds a lock made it
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def last_lines(path: Path, most: int = 1 << 18) -> list[str]:
    """Return the lines at the end of a file; none when it is not there."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - most))
            return stream.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []
