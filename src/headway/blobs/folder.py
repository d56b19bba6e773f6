"""Blobs in a folder: whole or absent after a crash, and never a byte outside of it.

Links inside it lead nowhere (`headway.blobs.tree`); a journal makes small files durable (`headway.blobs.small`).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import itertools
import os
import secrets
import stat as modes
import time
from typing import TYPE_CHECKING, BinaryIO

from headway.blobs.base import BlobStat
from headway.blobs.journal import NAME as JOURNAL
from headway.blobs.journal import Journal
from headway.blobs.keys import checked_key, is_part, parents
from headway.blobs.small import LARGEST, SmallFiles
from headway.blobs.tree import FOLDER, INCOMING, NewFile, Tree, write_all
from headway.errors import NotFound, StorageFull

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

_STALE_SECONDS = 24 * 3600
_GONE = "gone-"  # deleted already: only its bytes have still to be freed
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO must not hold us
_WRITTEN_BACK = 8 * 1024 * 1024
_ADVISES = hasattr(os, "posix_fadvise")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_WAY = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


class FolderStore:
    """A `BlobStore` below one folder of a POSIX file system; processes may share it."""

    def __init__(self, root: Path, *, is_journaled: bool = False) -> None:
        """Use `root`, making it when it is absent, and put in order what a crash left behind.

        Where it is journaled, small files wait for the disk once instead of twice; then every process that opens
        the same root keeps to the journal.
        """
        self.root = root
        self._tree = Tree(root)
        self._is_journaled = is_journaled
        self._small: SmallFiles | None = None
        if is_journaled or (root / JOURNAL).exists():
            with _full_disk_said("the journal of small files"):
                self._small = SmallFiles(self._tree, Journal(root))
        self._sweep()

    def put(self, key: str, chunks: Iterable[bytes]) -> str:
        """Store and return the digest."""
        digest = hashlib.sha256()
        self.save(key, _hashed(chunks, digest))
        return digest.hexdigest()

    def save(self, key: str, chunks: Iterable[bytes]) -> None:
        """Write beside, sync, name it, sync the folder; on any failure the key keeps what it had."""
        parts = checked_key(key).split("/")
        coming = iter(chunks)
        with _full_disk_said(key):
            begun, is_whole = _begun(coming) if self._is_journaled else ([], False)
            if is_whole and self._small is not None:
                self._small.put(key, b"".join(begun))
            else:
                self._save_large(parts, itertools.chain(begun, coming))

    def open(self, key: str, offset: int = 0) -> BinaryIO:
        """Open a file for reading; a folder, a link or a device is `NotFound`."""
        *folders, name = checked_key(key).split("/")
        try:
            with self._tree.folder(*folders) as parent:
                descriptor = os.open(name, _READ, dir_fd=parent)
        except OSError as error:
            raise _absent(key, error) from None
        if not modes.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise _absent(key, None)
        stream = io.FileIO(descriptor, "rb")
        stream.seek(offset)
        return io.BufferedReader(stream, buffer_size=256 * 1024)

    def stat(self, key: str) -> BlobStat | None:
        """Look without opening."""
        *folders, name = checked_key(key).split("/")
        try:
            with self._tree.folder(*folders) as parent:
                return _described(key, os.stat(name, dir_fd=parent, follow_symlinks=False))
        except OSError as error:
            if error.errno in _NO_WAY:
                return None
            raise

    def list(self, prefix: str) -> Iterator[BlobStat]:
        """Yield files and folders below `prefix` ("" = the root), sorted by name."""
        parts = checked_key(prefix).split("/") if prefix else []
        found = []
        try:
            with self._tree.folder(*parts) as folder, os.scandir(folder) as entries:
                for entry in entries:
                    if not is_part(entry.name):
                        continue
                    key = f"{prefix}/{entry.name}" if prefix else entry.name
                    # Gone between the two calls: then it is not there.
                    with contextlib.suppress(FileNotFoundError):
                        found.append(_described(key, entry.stat(follow_symlinks=False)))
        except OSError as error:
            if error.errno not in _NO_WAY:
                raise
        yield from sorted((each for each in found if each is not None), key=lambda each: each.key)

    def delete(self, key: str) -> int:
        """Take the key away in one rename, then free its bytes; emptied folders above go too."""
        *folders, name = checked_key(key).split("/")
        trash = _GONE + secrets.token_hex(16)
        try:
            with self._tree.folder(INCOMING) as incoming, self._tree.folder(*folders) as parent:
                with self._settled():
                    os.rename(name, trash, src_dir_fd=parent, dst_dir_fd=incoming)
                    os.fsync(parent)
                freed = _remove(incoming, trash)
        except OSError as error:
            if error.errno in _NO_WAY:
                return 0
            raise
        self._prune(key)
        return freed

    def _save_large(self, parts: Sequence[str], chunks: Iterable[bytes]) -> None:
        with self._tree.folder(INCOMING) as incoming, contextlib.closing(NewFile(incoming)) as new:
            _write(new.descriptor, chunks)
            with self._settled():
                self._tree.name(new, parts)

    def _settled(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self._small is None else self._small.settled()

    def _prune(self, key: str) -> None:
        for folder in parents(key):
            *above, name = folder.split("/")
            try:
                with self._tree.folder(*above) as parent:
                    os.rmdir(name, dir_fd=parent)
            except OSError:
                return  # not empty, or already gone

    def _sweep(self) -> None:
        limit = time.time() - _STALE_SECONDS
        with self._tree.folder(INCOMING) as incoming:
            for name in os.listdir(incoming):  # noqa: PTH208  # a descriptor has no Path
                with contextlib.suppress(FileNotFoundError):
                    is_stale = os.stat(name, dir_fd=incoming, follow_symlinks=False).st_mtime < limit
                    if is_stale or name.startswith(_GONE):
                        _remove(incoming, name)


def _hashed(chunks: Iterable[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    for chunk in chunks:
        digest.update(chunk)
        yield chunk


def _begun(chunks: Iterator[bytes]) -> tuple[list[bytes], bool]:
    """Return the first chunks, and whether they are all and small."""
    begun: list[bytes] = []
    size = 0
    for chunk in chunks:
        begun.append(chunk)
        size += len(chunk)
        if size > LARGEST:
            return begun, False
    return begun, True


def _write(descriptor: int, chunks: Iterable[bytes]) -> None:
    written = begun = 0
    for chunk in chunks:
        write_all(descriptor, chunk)
        written += len(chunk)
        if written - begun >= _WRITTEN_BACK and _ADVISES:
            # Linux begins to write these pages to the disk, so that the sync at the end finds little left.
            os.posix_fadvise(descriptor, begun, written - begun, os.POSIX_FADV_DONTNEED)
            begun = written
    os.fsync(descriptor)


def _described(key: str, found: os.stat_result) -> BlobStat | None:
    if modes.S_ISDIR(found.st_mode):
        return BlobStat(key=key, size=0, is_dir=True)
    return BlobStat(key=key, size=found.st_size) if modes.S_ISREG(found.st_mode) else None


def _remove(parent: int, name: str) -> int:
    """Remove a file or a tree below a descriptor, never through a link; return the bytes of its files."""
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if not modes.S_ISDIR(found.st_mode):
        os.unlink(name, dir_fd=parent)
        return found.st_size if modes.S_ISREG(found.st_mode) else 0
    below = os.open(name, FOLDER, dir_fd=parent)
    try:
        freed = sum(_remove(below, each) for each in os.listdir(below))  # noqa: PTH208  # a descriptor has no Path
    finally:
        os.close(below)
    os.rmdir(name, dir_fd=parent)
    return freed


def _absent(key: str, error: OSError | None) -> NotFound:
    if error is not None and error.errno not in _NO_WAY:
        raise error
    return NotFound(f"No such artifact: {key!r}", hint="list the folder above it to see what is there")


@contextlib.contextmanager
def _full_disk_said(key: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StorageFull(
            f"the disk is full: {key!r} was not stored",
            cause=os.strerror(error.errno or 0),
            hint="free space in the data directory; `headway server clean` removes what nothing refers to",
        ) from error
