"""Files of a task kept by their digest: equal bytes are stored once and can be laid out again elsewhere."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat as modes
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from headway.blobs.keys import checked_key
from headway.errors import HeadwayError, NotFound, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headway.blobs.base import BlobStore

_CHUNK = 1024 * 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """One file of a stored tree."""

    path: str  # relative to the folder it was found in
    digest: str
    size: int
    executable: bool = False


class FileEntry(Protocol):
    """What `materialise` needs to know of a file: `StoredFile` and the plan's `OutputFile` both tell it."""

    @property
    def path(self) -> str:
        """Relative to the folder."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes."""
        ...

    @property
    def executable(self) -> bool:
        """Whether it had an execute bit."""
        ...


def content_key(digest: str) -> str:
    """Return the key under which bytes with this SHA-256 lie."""
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise UsageError(f"{digest!r} is not a SHA-256", hint="give 64 lower-case hexadecimal digits")
    return f"sha256/{digest[:2]}/{digest}"


def store_tree(store: BlobStore, folder: Path, paths: Iterable[str]) -> tuple[StoredFile, ...]:
    """Store the files and folders named by `paths` below `folder`; sorted, each file once, safe to repeat.

    Only regular files with one name count: foreign code wrote the folder, and a link could lead out of it.

    Raises:
        NotFound: a path is absent.
        UsageError: a path leaves the grammar of keys, or holds a link, a device or a file with two names.
    """
    found: dict[str, StoredFile] = {}
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for path in paths:
            for each in _store_path(store, root, checked_key(path.rstrip("/"))):
                found[each.path] = each
    finally:
        os.close(root)
    return tuple(found[path] for path in sorted(found))


def materialise(store: BlobStore, outputs: Iterable[FileEntry], folder: Path) -> None:
    """Write stored files into `folder`, each verified against its digest before it gets its name.

    Raises:
        NotFound: the store lost a file.
        HeadwayError: its bytes are not the ones that were stored.
    """
    for each in outputs:
        target = folder / checked_key(each.path)
        _make_folders(folder, target.parent)
        beside = target.with_name(target.name + "#new")  # outside the grammar, so it is nobody's output
        beside.unlink(missing_ok=True)
        digest = hashlib.sha256()
        mode = 0o755 if each.executable else 0o644
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with store.open(content_key(each.digest)) as source, os.fdopen(descriptor, "wb") as sink:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                sink.write(chunk)
        if digest.hexdigest() != each.digest:
            beside.unlink()
            raise HeadwayError(
                f"the stored bytes of {each.path!r} have changed",
                cause=f"expected SHA-256 {each.digest}, found {digest.hexdigest()}",
                hint="check the disk; run the task again with --no-reuse",
            )
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        beside.replace(target)


def _make_folders(root: Path, wanted: Path) -> None:
    if wanted == root:
        wanted.mkdir(parents=True, exist_ok=True)
        return
    _make_folders(root, wanted.parent)
    if wanted.is_symlink() or wanted.is_file():
        wanted.unlink()  # what stands in the way is not one of the outputs
    wanted.mkdir(exist_ok=True)


def _store_path(store: BlobStore, root: int, path: str) -> Iterator[StoredFile]:
    *folders, name = path.split("/")
    opened = [root]
    try:
        for part in folders:
            opened.append(os.open(part, _FOLDER, dir_fd=opened[-1]))
        yield from _store_entry(store, opened[-1], name, path=path)
    except FileNotFoundError:
        raise NotFound(
            f"the output {path!r} is missing",
            cause="the step ended without writing it",
            hint="write it, or take it out of the step's outputs in headway.yaml",
        ) from None
    except OSError as error:
        raise _not_plain(path, error.strerror or str(error)) from None
    finally:
        for descriptor in opened[1:]:
            os.close(descriptor)


def _store_entry(store: BlobStore, parent: int, name: str, *, path: str) -> Iterator[StoredFile]:
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if modes.S_ISDIR(found.st_mode):
        below = os.open(name, _FOLDER, dir_fd=parent)
        try:
            for each in sorted(os.listdir(below)):  # noqa: PTH208  # a descriptor has no Path
                yield from _store_entry(store, below, each, path=checked_key(f"{path}/{each}"))
        finally:
            os.close(below)
        return
    if not modes.S_ISREG(found.st_mode):
        raise _not_plain(path, "it is a link, a device or a pipe")
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    with os.fdopen(descriptor, "rb") as stream:
        opened = os.fstat(descriptor)
        if not modes.S_ISREG(opened.st_mode) or opened.st_nlink != 1:
            raise _not_plain(path, f"it has {opened.st_nlink} names (hard links)")
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if store.stat(content_key(digest)) is None:
            stream.seek(0)
            stored = store.put(content_key(digest), iter(lambda: stream.read(_CHUNK), b""))
            if stored != digest:
                store.delete(content_key(digest))
                raise _not_plain(path, "it was written to while it was being stored")
    yield StoredFile(path=path, digest=digest, size=opened.st_size, executable=bool(opened.st_mode & 0o111))


def _not_plain(path: str, cause: str) -> UsageError:
    return UsageError(
        f"the output {path!r} is not a plain file or folder",
        cause=cause,
        hint="write outputs as regular files; copy instead of linking",
    )
