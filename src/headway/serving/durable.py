"""Files that two processes share: written whole or not at all, and locks as proof of life."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T")


def write_file(path: Path, data: bytes) -> None:
    """Replace a file durably; nothing happens when it says so already."""
    with contextlib.suppress(FileNotFoundError):
        if path.read_bytes() == data:
            return
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)


def read_record(path: Path, kind: type[T]) -> T | None:
    """Return the record in a JSON file; None when it is not there or cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def is_locked(path: Path) -> bool:
    """Whether a live process holds the lock: the only proof of life that no clock can fake."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
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
