"""Small files, durable by one wait for the disk: first into the journal, then to their places, which are synced later.

A file is acknowledged when its bytes lie in the journal and it stands at its place. When the journal is full, the files
that it holds are synced where they stand, and it is begun anew. After a crash it says what must be at which place.
Whoever takes a key away or writes it otherwise settles first, so that no old record comes back over what is newer.
"""

from __future__ import annotations

import contextlib
import os
import stat as modes
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from headway.blobs.journal import Journal, Record
from headway.blobs.keys import checked_key
from headway.blobs.tree import INCOMING, NewFile, Tree, in_the_way, write_all
from headway.errors import Conflict, HeadwayError, UsageError
from headway.logs import logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

LARGEST = 64 * 1024
_MOST_TOGETHER = 32  # of the largest, they are half of the journal
_AT_ONCE = 8  # threads that wait for the disk: seven times faster than one, at the same cost
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class SmallFiles:
    """The small files of one tree; what waits together is written to the journal together."""

    def __init__(self, tree: Tree, journal: Journal) -> None:
        """Put in order what a crash left behind."""
        self._tree = tree
        self._journal = journal
        self._waiting: deque[_Upload] = deque()
        self._placed: list[str] = []  # what the journal holds, while it is ours
        # While settling, and after it failed: the system tells only once that bytes did not reach the disk.
        self._is_suspect = False
        with self.settled():
            pass

    def put(self, key: str, body: bytes) -> None:
        """Store durably."""
        with self._tree.folder(INCOMING) as incoming, contextlib.closing(NewFile(incoming)) as new:
            # Its bytes have their room on the disk before the journal promises anything.
            write_all(new.descriptor, body)
            upload = _Upload(Record(key, body), new)
            self._waiting.append(upload)
            with self._journal.turn():
                while not upload.is_done:
                    self._commit([self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_TOGETHER))])
        if upload.error is not None:
            raise upload.error

    @contextlib.contextmanager
    def settled(self) -> Iterator[None]:
        """Let nothing be owed by the journal, and nobody write to it, for as long as this is held."""
        with self._journal.turn():
            if self._placed if self._journal.is_mine() else any(True for _ in self._journal.records()):
                self._settle()
            yield

    def _commit(self, uploads: Sequence[_Upload]) -> None:
        try:
            self._prepare([each.record for each in uploads])
            ready = [each for each in uploads if each.open_place(self._tree)]
            if ready:
                self._journal.append([each.record for each in ready])
                self._place(ready)
        except (OSError, HeadwayError) as error:
            for each in uploads:
                each.error = each.error or error
        finally:
            for each in uploads:
                each.close()

    def _prepare(self, records: Sequence[Record]) -> None:
        """Let the journal be ours and have room."""
        if not (self._journal.is_mine() and self._journal.has_room(records)):
            self._settle()

    def _place(self, uploads: Sequence[_Upload]) -> None:
        for each in uploads:
            try:
                each.place(self._tree)
                self._placed.append(each.record.key)
            except (OSError, Conflict) as error:
                each.error = error
        if any(each.error for each in uploads):
            self._settle()  # what was refused must not come after a crash

    def _settle(self) -> None:
        trusts, self._is_suspect = not self._is_suspect, True
        if self._journal.is_mine() and trusts:
            self._sync(self._placed)
        else:
            self._replay(trusts=trusts)
        self._journal.begin_anew()
        self._placed.clear()
        self._is_suspect = False

    def _replay(self, *, trusts: bool) -> None:
        """Make what the journal holds durable at its places, writing it again where something else is there."""
        last = {each.key: each for each in self._journal.records()}
        standing = []
        for each in last.values():
            try:
                if trusts and self._found(checked_key(each.key)) == each.body:
                    standing.append(each.key)
                else:
                    self._write(each)
            except (Conflict, UsageError) as error:
                # It was never acknowledged: what is acknowledged stands at its place.
                logger().warning("a file of the journal has no place", key=each.key, cause=error.cause)
        self._sync(standing)

    def _found(self, key: str) -> bytes | None:
        *folders, name = key.split("/")
        with contextlib.suppress(OSError), self._tree.folder(*folders) as parent:
            descriptor = os.open(name, _READ, dir_fd=parent)
            try:
                return os.read(descriptor, LARGEST + 1)
            finally:
                os.close(descriptor)
        return None

    def _write(self, record: Record) -> None:
        with self._tree.folder(INCOMING) as incoming, contextlib.closing(NewFile(incoming)) as new:
            write_all(new.descriptor, record.body)
            os.fsync(new.descriptor)
            self._tree.name(new, checked_key(record.key).split("/"))

    def _sync(self, keys: Iterable[str]) -> None:
        """Sync files, their folders and the folders above; what somebody removed by hand is left out."""
        by_folder: dict[tuple[str, ...], set[str]] = {}
        for key in keys:
            *folders, name = key.split("/")
            by_folder.setdefault(tuple(folders), set()).add(name)
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="settling") as threads:
            for place, names in by_folder.items():
                with contextlib.suppress(FileNotFoundError), self._tree.folder(*place) as parent:
                    in_turn = sorted(names)
                    shares = (in_turn[start::_AT_ONCE] for start in range(_AT_ONCE))
                    list(threads.map(partial(_sync_files, parent), shares))
        for above in {each[:depth] for each in by_folder for depth in range(len(each) + 1)}:
            with contextlib.suppress(FileNotFoundError), self._tree.folder(*above) as folder:
                os.fsync(folder)


class _Upload:
    """A new file on its way into the journal and to its place."""

    __slots__ = ("_new", "_parent", "error", "is_done", "record")

    def __init__(self, record: Record, new: NewFile) -> None:
        self.record = record
        self._new = new
        self._parent = -1
        self.error: OSError | HeadwayError | None = None
        self.is_done = False

    def open_place(self, tree: Tree) -> bool:
        """Make the folders above; False where the file cannot stand there."""
        *folders, name = self.record.key.split("/")
        try:
            self._parent = tree.walk(folders, makes=True, syncs=False)
            if _is_folder(self._parent, name):
                self.error = in_the_way([*folders, name])
        except NotADirectoryError:
            self.error = in_the_way([*folders, name])
        except OSError as error:
            self.error = error
        return self.error is None

    def place(self, tree: Tree) -> None:
        """Let it stand at its place."""
        parts = self.record.key.split("/")
        try:
            self._new.move(parts[-1], self._parent)
        except FileNotFoundError:  # a delete emptied and removed the folder in between
            tree.name(self._new, parts, syncs=False)

    def close(self) -> None:
        """Let go of the folder, and of who waits."""
        if self._parent >= 0:
            os.close(self._parent)
        self.is_done = True


def _is_folder(parent: int, name: str) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return modes.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    return False


def _sync_files(parent: int, names: Sequence[str]) -> None:
    opened = []
    try:
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                opened.append(os.open(name, _READ, dir_fd=parent))
        if hasattr(os, "posix_fadvise"):
            for each in opened:  # Linux begins to write them all before we wait for the first
                os.posix_fadvise(each, 0, 0, os.POSIX_FADV_DONTNEED)
        for each in opened:
            os.fsync(each)
    finally:
        for each in opened:
            os.close(each)
