"""Archives of plain files: tar as everybody can read it, taken apart by a reader that knows no tricks.

Used on both sides: the server packs a commit's files, a pod packs outputs, and neither trusts what the other sends.
The standard library's extraction is not used: its filter was bypassed more than once, and it follows headers that
we never write (pax, sparse files, hard links, devices).
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import tarfile
from pathlib import Path
from typing import BinaryIO, Iterable, Iterator, NamedTuple  # noqa: UP035  # Python 3.9 runs this too

_BLOCK = 512
_CHUNK = 1 << 20
_LONGEST_PATH = 4096
_LONGEST_PART = 255
_DEEPEST = 100
_NAME_BYTES = 256  # of one entry's name, on average: all of them are kept until the end
_DIGITS = re.compile(rb"[0-7]{1,12}")
_MOMENT = 946_684_800  # every file's time: equal files make equal archives
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class BadArchive(ValueError):
    """The archive is broken, or holds what is not taken; the text says what and where."""


class TooMuch(BadArchive):
    """The archive holds more than the limits allow."""


class Limits(NamedTuple):
    """How much an archive may unfold to."""

    bytes: int
    entries: int = 100_000


class Unpacked(NamedTuple):
    """What was written."""

    files: int
    bytes: int


class _Entry(NamedTuple):
    path: str
    kind: bytes
    size: int
    target: str
    executable: bool


# --- packing --------------------------------------------------------------------------------------


def pack(folder: Path, stream: BinaryIO, names: Iterable[str], *, links: bool = False) -> None:
    """Write what stands at `names` below `folder` to `stream`; a name that is not there is left out.

    Raises:
        BadArchive: a link, where `links` does not allow them, or a device, a pipe, a socket.
    """
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.GNU_FORMAT) as archive:
        seen: set[str] = set()
        for name in names:
            for path in _below(folder, name.rstrip("/")):
                if path not in seen:
                    seen.add(path)
                    _add(archive, folder, path, links=links)


def pieces(folder: Path, names: Iterable[str]) -> Iterator[bytes]:
    """Return the archive that `pack` would write, made while it is read; looked through before the first piece.

    Raises:
        BadArchive: as `pack`; while it is read, when a file has become another or shorter.
    """
    paths = [path for name in names for path in _below(folder, name.rstrip("/"))]
    for path in paths:
        _header(folder, path)
    return _flowing(folder, paths)


def _flowing(folder: Path, paths: list[str]) -> Iterator[bytes]:
    total = 0
    for path in paths:
        info = _header(folder, path)
        head = info.tobuf(tarfile.GNU_FORMAT)
        yield head
        total += len(head) + info.size + -info.size % _BLOCK
        if info.isreg():
            yield from _content(folder / path, info.size)
    end = 2 * _BLOCK
    yield b"\0" * (end + -(total + end) % tarfile.RECORDSIZE)


def _header(folder: Path, path: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.mtime = _MOMENT
    found = os.lstat(folder / path)
    if stat.S_ISDIR(found.st_mode):
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    elif stat.S_ISREG(found.st_mode):
        info.size, info.mode = found.st_size, 0o755 if found.st_mode & 0o111 else 0o644
    else:
        raise _not_plain(path, found.st_mode)
    return info


def _content(path: Path, size: int) -> Iterator[bytes]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        left = size
        while left:
            data = stream.read(min(left, _CHUNK))
            if not data:
                raise BadArchive(f"{path.name} has become shorter while it was sent")
            left -= len(data)
            yield data
    if size % _BLOCK:
        yield b"\0" * (-size % _BLOCK)


def _not_plain(path: str, mode: int) -> BadArchive:
    return BadArchive(f"{path} is no plain file: {'a link' if stat.S_ISLNK(mode) else 'a device, pipe or socket'}")


def _below(folder: Path, name: str) -> Iterator[str]:
    parts_of(name)
    place = folder / name
    if not os.path.lexists(place):
        return
    # What lies behind a link is not below the folder.
    for parent in place.relative_to(folder).parents:
        if parent.parts and (folder / parent).is_symlink():
            raise BadArchive(f"{parent} is a link, and {name} lies behind it")
    yield name
    if place.is_symlink() or not place.is_dir():
        return
    for root, folders, files in os.walk(place):
        folders.sort()
        here = Path(root).relative_to(folder)
        for each in sorted((*folders, *files)):
            yield str(here / each)


def _add(archive: tarfile.TarFile, folder: Path, path: str, *, links: bool) -> None:
    info = tarfile.TarInfo(path)
    info.mtime = _MOMENT
    mode = os.lstat(folder / path).st_mode
    if stat.S_ISDIR(mode):
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(info)
    elif stat.S_ISLNK(mode) and links:
        info.type, info.linkname = tarfile.SYMTYPE, str((folder / path).readlink())
        archive.addfile(info)
    elif stat.S_ISREG(mode):
        descriptor = os.open(folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            found = os.fstat(descriptor)
            info.size, info.mode = found.st_size, 0o755 if found.st_mode & 0o111 else 0o644
            archive.addfile(info, stream)
    else:
        raise _not_plain(path, mode)


# --- unpacking ------------------------------------------------------------------------------------


def unpack(stream: BinaryIO, folder: Path, *, limits: Limits, links: bool = False) -> Unpacked:
    """Write an archive's folders and files into the empty `folder`; `links` takes those that stay inside it, too.

    Nothing is followed, replaced or written twice; what was written before an error is the caller's to remove.

    Raises:
        BadArchive: a broken archive, a name that leads elsewhere, a link, a device; more than the limits.
    """
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _Unpacking(stream, root, limits).run(links=links)
    finally:
        os.close(root)


class _Unpacking:
    """One archive on its way into one folder."""

    def __init__(self, stream: BinaryIO, root: int, limits: Limits) -> None:
        self._stream = stream
        self._root = root
        self._limits = limits
        self._folders: set[str] = {""}
        self._entries = 0
        self._names = 0
        self._bytes = 0
        self._files = 0

    def run(self, *, links: bool) -> Unpacked:
        """Take one entry after the other; links come last, so that nothing is ever written through one."""
        waiting: list[_Entry] = []
        for entry in self._read():
            if entry.kind == b"5":
                self._make_folder(entry.path)
            elif entry.kind == b"0":
                self._write_file(entry)
            elif not links or not is_safe_link(entry.path, entry.target):
                raise BadArchive(f"{entry.path} is a link: only plain files and folders are taken")
            else:
                self._count(entry.path + entry.target)
                waiting.append(entry)
        for entry in waiting:
            with self._parent(entry.path) as (parent, name), _once(entry.path):
                os.symlink(entry.target, name, dir_fd=parent)
        return Unpacked(self._files, self._bytes)

    def _read(self) -> Iterator[_Entry]:
        names: dict[bytes, str] = {}
        for _ in range(3 * self._limits.entries + 3):  # a name, a link's target, and the entry itself
            block = self._exactly(_BLOCK)
            if not block.strip(b"\0"):
                return
            entry = read_header(block)
            if entry.kind in (b"L", b"K"):
                if entry.size > _LONGEST_PATH + 1:
                    raise BadArchive("a name in it is too long")
                names[entry.kind] = _text(self._exactly(entry.size + -entry.size % _BLOCK)[: entry.size])
                continue
            path, target = names.pop(b"L", entry.path), names.pop(b"K", entry.target)
            yield entry._replace(path=path.rstrip("/"), target=target)
        raise TooMuch(f"it names more than {self._limits.entries} files and folders, some of them again and again")

    def _make_folder(self, path: str) -> None:
        parts = parts_of(path)
        for depth in range(1, len(parts) + 1):
            whole = "/".join(parts[:depth])
            if whole in self._folders:
                continue
            self._count(whole)
            with self._open("/".join(parts[: depth - 1])) as parent, _once(whole):
                os.mkdir(parts[depth - 1], 0o755, dir_fd=parent)
            self._folders.add(whole)

    def _write_file(self, entry: _Entry) -> None:
        self._count(entry.path)
        self._bytes += entry.size
        if self._bytes > self._limits.bytes:
            raise TooMuch(f"it unfolds to more than {self._limits.bytes} bytes")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        mode = 0o755 if entry.executable else 0o644
        with self._parent(entry.path) as (parent, name), _once(entry.path):
            descriptor = os.open(name, flags, mode, dir_fd=parent)
        with os.fdopen(descriptor, "wb") as target:
            left = entry.size
            while left:
                data = self._stream.read(min(left, _CHUNK))
                if not data:
                    raise BadArchive(f"it ends in the middle of {entry.path}")
                target.write(data)
                left -= len(data)
        self._exactly(-entry.size % _BLOCK)
        self._files += 1

    @contextlib.contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        parts = parts_of(path)
        above = "/".join(parts[:-1])
        if above:
            self._make_folder(above)
        with self._open(above) as descriptor:
            yield descriptor, parts[-1]

    @contextlib.contextmanager
    def _open(self, path: str) -> Iterator[int]:
        descriptor = os.dup(self._root)
        try:
            for part in path.split("/") if path else ():
                below = os.open(part, _FOLDER_FLAGS, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    def _count(self, name: str) -> None:
        self._entries += 1
        self._names += len(name)
        if self._entries > self._limits.entries:
            raise TooMuch(f"it holds more than {self._limits.entries} files and folders")
        if self._names > self._limits.entries * _NAME_BYTES + _LONGEST_PATH:
            raise TooMuch(f"its names are longer than {_NAME_BYTES} bytes on average, for the most files it may hold")

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._stream.read(size - len(data))
            if not part:
                raise BadArchive("it ends too early")
            data += part
        return data


def read_header(block: bytes) -> _Entry:
    """Return what one header block says.

    Raises:
        BadArchive: its checksum is wrong, or it is of a kind that is not taken.
    """
    try:
        stated = int(block[148:156].strip(b"\0 ") or b"0", 8)
    except ValueError:
        stated = -1
    if stated != sum(block[:148]) + 256 + sum(block[156:512]):
        raise BadArchive("it is no tar archive, or it is broken")
    kind = b"0" if block[156:157] in (b"0", b"\0") else block[156:157]
    path = _text(block[:100])
    if block[257:263] == b"ustar\0" and block[345:500].strip(b"\0"):
        path = f"{_text(block[345:500])}/{path}"
    if kind not in (b"0", b"2", b"5", b"L", b"K"):
        raise BadArchive(f"{path} is no plain file or folder (kind {kind!r})")
    size = _number(block[124:136])
    if size and kind in (b"2", b"5"):
        raise BadArchive(f"{path} has bytes and is no file")
    return _Entry(path, kind, size, _text(block[157:257]), bool(_number(block[100:108]) & 0o111))


def parts_of(path: str) -> list[str]:
    """Return the parts of a relative path that leads nowhere but down.

    Raises:
        BadArchive: it does not.
    """
    parts = path.split("/")
    is_plain = "\0" not in path and len(os.fsencode(path)) <= _LONGEST_PATH and len(parts) <= _DEEPEST
    if not is_plain or any(part in ("", ".", "..") or len(os.fsencode(part)) > _LONGEST_PART for part in parts):
        raise BadArchive(f"the name {path[:200]!r} is not taken: it must lead downwards from the folder")
    return parts


def is_safe_link(path: str, target: str) -> bool:
    """Return whether a link at `path` can only lead to something below the archive's folder."""
    if target.startswith("/") or not target or "\0" in target:
        return False
    parts = [part for part in target.split("/") if part not in ("", ".")]
    climbs = 0
    while climbs < len(parts) and parts[climbs] == "..":
        climbs += 1
    return climbs <= path.count("/") and ".." not in parts[climbs:]


@contextlib.contextmanager
def _once(path: str) -> Iterator[None]:
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        raise BadArchive(f"{path} is in it twice, or lies below a file") from error


def _text(field: bytes) -> str:
    return os.fsdecode(field.split(b"\0", 1)[0])


def _number(field: bytes) -> int:
    """Read octal digits, or the binary form of what is too large for them; never a sign, which `int` would take."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b"\0 ") or b"0"
    if not _DIGITS.fullmatch(digits):
        raise BadArchive("a number in it cannot be read")
    return int(digits, 8)
