"""Steps below one folder that follow no link, and new files that get their name when they are whole.

Every step down is an `openat` that refuses symbolic links, so a link planted inside the folder leads nowhere.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from typing import TYPE_CHECKING

from headway.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

# Outside the grammar of keys, so no key reaches it.
INCOMING = "#incoming"
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NAMELESS = os.O_WRONLY | getattr(os, "O_TMPFILE", 0) | os.O_CLOEXEC  # opening a folder for writing, elsewhere
_NO_NAMELESS = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT}  # the file system has none, or no /proc


class Tree:
    """One folder and what lies below it."""

    def __init__(self, root: Path) -> None:
        """Use `root`, making it when it is absent."""
        self.root = root
        (root / INCOMING).mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextlib.contextmanager
    def folder(self, *parts: str) -> Iterator[int]:
        """Yield a descriptor of a folder, walked to from the root without following any link."""
        current = self.walk(parts)
        try:
            yield current
        finally:
            os.close(current)

    def walk(self, parts: Sequence[str], *, makes: bool = False, syncs: bool = True) -> int:
        """Return a descriptor of a folder; where it is made, each folder above is synced that got a new name."""
        current = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts:
                below = _below(current, part, makes=makes, syncs=syncs)
                os.close(current)
                current = below
        except BaseException:
            os.close(current)
            raise
        return current

    def name(self, new: NewFile, parts: Sequence[str], *, syncs: bool = True) -> None:
        """Let a new file stand at its place, making the folders above.

        Raises:
            Conflict: a file stands where a folder is needed, or the other way round.
        """
        *folders, name = parts
        for last_try in (False, False, False, True):
            try:
                parent = self.walk(folders, makes=True, syncs=syncs)
                try:
                    new.move(name, parent)
                    if syncs:
                        os.fsync(parent)
                finally:
                    os.close(parent)
            except (NotADirectoryError, IsADirectoryError):
                raise in_the_way(parts) from None
            except FileNotFoundError:
                # A delete emptied and removed the folder in between.
                if last_try:
                    raise
            else:
                return


class NewFile:
    """A file among the incoming ones; where the file system can, it has no name, so that a crash leaves no trace."""

    def __init__(self, incoming: int) -> None:
        """Make it in the folder that this descriptor has open, which must stay open."""
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


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte, however often the system stops half way."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def in_the_way(parts: Sequence[str]) -> Conflict:
    """Return what is said where a file stands in place of a folder, or the other way round."""
    return Conflict(
        f"{'/'.join(parts)!r} cannot be stored",
        cause="a file stands where a folder is needed, or a folder where the file should be",
        hint="choose another path, or delete the one that is in the way",
    )


def _below(parent: int, name: str, *, makes: bool, syncs: bool) -> int:
    try:
        return os.open(name, FOLDER, dir_fd=parent)
    except FileNotFoundError:
        if not makes:
            raise
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)
        if syncs:
            os.fsync(parent)
    return os.open(name, FOLDER, dir_fd=parent)
