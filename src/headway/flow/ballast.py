"""A little room kept back, so that something can be deleted on a disk that is full to the last byte."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from typing import TypeVar

from headway.app import App
from headway.errors import StorageFull
from headway.logs import logger

FILE = "ballast"
SIZE = 16 << 20
_SHARE = 8  # of what is free, at most

T = TypeVar("T")


def keep_ballast(app: App) -> None:
    """Take the room when there is plenty of it; safe to repeat."""
    path = app.data / FILE
    if path.exists():
        return
    free = shutil.disk_usage(app.data).free
    size = min(SIZE, free // _SHARE)
    if size < 1 << 18:
        return
    draft = path.with_name(f".{FILE}.draft")
    try:
        # Written, not only reserved: some file systems promise room that they do not have.
        with draft.open("wb") as stream:
            for _ in range(size >> 18):
                stream.write(os.urandom(1 << 18))
            os.fsync(stream.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)


def drop_ballast(app: App) -> bool:
    """Give the room back; return whether there was any."""
    path = app.data / FILE
    with contextlib.suppress(FileNotFoundError):
        size = path.stat().st_size
        path.unlink()
        logger().warning("disk full: the room that was kept back is used for deleting", bytes=size)
        return True
    return False


def with_ballast(app: App, work: Callable[[], T]) -> T:
    """Do a transaction that frees space, once more with the room that was kept back when the disk is full."""
    try:
        return work()
    except StorageFull:
        if not drop_ballast(app):
            raise
        return work()
