"""Artifacts in a folder of this machine: what a database's rows name is looked for below it, and nowhere else."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from headway.blobs.keys import checked_key
from headway.errors import HeadwayError, UsageError
from headway.tracking.peer.model import PeerFile
from headway.tracking.peer.reader import problem_of

_CHUNK = 1 << 20


class LocalFiles:
    """Files below one root; links are never followed, since whoever logged a run may have planted them."""

    def __init__(self, root: Path | None) -> None:
        """Read below `root`; None when the caller named no folder."""
        self._root = None if root is None else root.resolve()

    def list(self, uri: str) -> Iterator[PeerFile]:
        """Yield the files below an artifact URI."""
        place = self._place(uri)
        if place is not None:
            yield from _walk(place, "")

    @contextlib.contextmanager
    def open(self, uri: str, path: str) -> Iterator[Iterator[bytes]]:
        """Open one file."""
        place = self._place(uri)
        if place is None:
            raise UsageError(f"{path!r} is gone from {uri[:200]}")
        descriptor = os.open(place / checked_key(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UsageError(f"{path!r} is no plain file")
            yield iter(lambda: stream.read(_CHUNK), b"")

    def _place(self, uri: str) -> Path | None:
        """Return the folder that a URI means below the root; None when there is none.

        Raises:
            UsageError: no root was named.
        """
        if self._root is None:
            raise UsageError(
                f"where the artifacts of {uri[:200]} lie was not said",
                hint="name the folder, or a copy of it, with --artifacts DIR; or leave them with --no-artifacts",
            )
        for relative in _candidates(uri, self._root):
            found = self._root
            parts = relative.split("/")
            for part in parts:
                found /= part
                if found.is_symlink() or not found.is_dir():
                    break
            else:
                return found
        return None


def _candidates(uri: str, root: Path) -> Iterator[str]:
    """Yield where below the root a URI may lie: under its own path, or under its last parts, as copies have them."""
    parts = urlsplit(uri)
    path = unquote(parts.path) if parts.scheme else uri
    wanted = [path.strip("/")]
    if parts.scheme in ("", "file"):
        wanted = [path.removeprefix(f"{root}/")] if path.startswith(f"{root}/") else []
    names = [name for name in path.split("/") if name]
    # EXPERIMENT/RUN/artifacts, and EXPERIMENT/models/MODEL/artifacts.
    wanted += ["/".join(names[-length:]) for length in (4, 3) if len(names) >= length]
    for each in wanted:
        with contextlib.suppress(HeadwayError):
            yield checked_key(each)


def _walk(folder: Path, below: str) -> Iterator[PeerFile]:
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda each: each.name)
    for entry in found:
        path = f"{below}/{entry.name}" if below else entry.name
        if entry.is_symlink():
            yield PeerFile(path=path[:1024], problem="it is a link")
        elif problem := problem_of(path, entry.name):
            yield PeerFile(path=path[:1024], problem=problem)
        elif entry.is_dir():
            yield from _walk(Path(entry.path), path)
        elif entry.is_file():
            yield PeerFile(path=path, size=entry.stat(follow_symlinks=False).st_size)
        else:
            yield PeerFile(path=path, problem="it is a device or a pipe")
