"""Blobs in a folder: whole or absent after a crash, and never a byte outside of it.

Every step down is an `openat` that refuses symbolic links, so a link planted inside the folder leads nowhere.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import secrets
import stat as modes
import time
from typing import TYPE_CHECKING, BinaryIO

from headway.blobs.base import BlobStat
from headway.blobs.keys import checked_key, is_part, parents
from headway.errors import Conflict, NotFound, StorageFull

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

# Outside the grammar of keys, so no key reaches it.
_INCOMING = "#incoming"
_STALE_SECONDS = 24 * 3600
_GONE = "gone-"  # deleted already: only its bytes have still to be freed
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO must not hold us
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NAMELESS = os.O_WRONLY | getattr(os, "O_TMPFILE", 0) | os.O_CLOEXEC  # opening a folder for writing, elsewhere
_NO_NAMELESS = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT}  # the file system has none, or no /proc
_WRITTEN_BACK = 8 * 1024 * 1024
_ADVISES = hasattr(os, "posix_fadvise")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_WAY = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


class FolderStore:
    """A `BlobStore` below one folder of a POSIX file system; processes may share it."""

    def __init__(self, root: Path) -> None:
        """Use `root`, making it when it is absent, and clear what a crash left half written."""
        self.root = root
        (root / _INCOMING).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sweep()

    def put(self, key: str, chunks: Iterable[bytes]) -> str:
        """Write beside, sync, name it, sync the folder; on any failure the key keeps what it had."""
        parts = checked_key(key).split("/")
        digest = hashlib.sha256()
        with _full_disk_said(key), self._folder(_INCOMING) as incoming, contextlib.closing(_NewFile(incoming)) as new:
            _write(new.descriptor, chunks, digest)
            self._name(new, parts)
        return digest.hexdigest()

    def open(self, key: str, offset: int = 0) -> BinaryIO:
        """Open a file for reading; a folder, a link or a device is `NotFound`."""
        *folders, name = checked_key(key).split("/")
        try:
            with self._folder(*folders) as parent:
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
            with self._folder(*folders) as parent:
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
            with self._folder(*parts) as folder, os.scandir(folder) as entries:
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
            with self._folder(_INCOMING) as incoming, self._folder(*folders) as parent:
                os.rename(name, trash, src_dir_fd=parent, dst_dir_fd=incoming)
                os.fsync(parent)
                freed = _remove(incoming, trash)
        except OSError as error:
            if error.errno in _NO_WAY:
                return 0
            raise
        self._prune(key)
        return freed

    @contextlib.contextmanager
    def _folder(self, *parts: str, make: bool = False) -> Iterator[int]:
        """Yield a descriptor of a folder, walked to from the root without following any link."""
        current = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts:
                below = _below(current, part, make=make)
                os.close(current)
                current = below
            yield current
        finally:
            os.close(current)

    def _name(self, new: _NewFile, parts: Sequence[str]) -> None:
        *folders, name = parts
        for last_try in (False, False, False, True):
            try:
                with self._folder(*folders, make=True) as parent:
                    new.move(name, parent)
                    os.fsync(parent)
                    return
            except (NotADirectoryError, IsADirectoryError):
                raise Conflict(
                    f"{'/'.join(parts)!r} cannot be stored",
                    cause="a file stands where a folder is needed, or a folder where the file should be",
                    hint="choose another path, or delete the one that is in the way",
                ) from None
            except FileNotFoundError:
                # A delete emptied and removed the folder in between.
                if last_try:
                    raise

    def _prune(self, key: str) -> None:
        for folder in parents(key):
            *above, name = folder.split("/")
            try:
                with self._folder(*above) as parent:
                    os.rmdir(name, dir_fd=parent)
            except OSError:
                return  # not empty, or already gone

    def _sweep(self) -> None:
        limit = time.time() - _STALE_SECONDS
        with self._folder(_INCOMING) as incoming:
            for name in os.listdir(incoming):  # noqa: PTH208  # a descriptor has no Path
                with contextlib.suppress(FileNotFoundError):
                    is_stale = os.stat(name, dir_fd=incoming, follow_symlinks=False).st_mtime < limit
                    if is_stale or name.startswith(_GONE):
                        _remove(incoming, name)


class _NewFile:
    """A file among the incoming ones; where the file system can, it has no name, so that a crash leaves no trace."""

    def __init__(self, incoming: int) -> None:
        self._incoming = incoming
        self._name = ""
        try:
            self.descriptor = os.open(".", _NAMELESS, 0o600, dir_fd=incoming)
        except OSError as error:
            if error.errno not in _NO_NAMELESS:
                raise
            self._name = secrets.token_hex(16)
            self.descriptor = os.open(self._name, _NEW, 0o600, dir_fd=incoming)

    def move(self, name: str, parent: int) -> None:
        """Let it stand under this name in place of what stood there."""
        if not self._name:
            try:
                self._link(name, parent)
            except FileExistsError:
                temporary = secrets.token_hex(16)
                self._link(temporary, self._incoming)
                self._name = temporary
            else:
                return
        os.rename(self._name, name, src_dir_fd=self._incoming, dst_dir_fd=parent)
        self._name = ""

    def _link(self, name: str, parent: int) -> None:
        # By its entry in /proc, as open(2) says of O_TMPFILE: linking a descriptor itself needs a capability.
        os.link(f"/proc/self/fd/{self.descriptor}", name, dst_dir_fd=parent, follow_symlinks=True)

    def close(self) -> None:
        """Let go of it, and remove it where it was not moved."""
        os.close(self.descriptor)
        if self._name:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._name, dir_fd=self._incoming)


def _write(descriptor: int, chunks: Iterable[bytes], digest: hashlib._Hash) -> None:
    written = begun = 0
    for chunk in chunks:
        digest.update(chunk)
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        written += len(chunk)
        if written - begun >= _WRITTEN_BACK and _ADVISES:
            # Linux begins to write these pages to the disk, so that the sync at the end finds little left.
            os.posix_fadvise(descriptor, begun, written - begun, os.POSIX_FADV_DONTNEED)
            begun = written
    os.fsync(descriptor)


def _below(parent: int, name: str, *, make: bool) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except FileNotFoundError:
        if not make:
            raise
    _make(parent, name)
    return os.open(name, _FOLDER, dir_fd=parent)


def _make(parent: int, name: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)
        os.fsync(parent)


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
    below = os.open(name, _FOLDER, dir_fd=parent)
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
