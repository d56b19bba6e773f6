"""Write the tree of one commit into a folder: plain files from plain objects, nothing of git's that could run."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from headway.errors import HeadwayError, StorageFull, UsageError
from headway.pipelines.git_tree import read_tree, stream_blobs
from headway.pipelines.model import GitTree

_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenSource:
    """What stands in the folder now."""

    tree: GitTree
    files: int
    left_out: tuple[str, ...]  # links that lead out of the repository, submodules: clauses for the log


def write_source(git_dir: Path, sha: str, folder: Path) -> WrittenSource:
    """Write everything that commit `sha` tracks into the empty or absent `folder`.

    The whole repository, because projects import from folders beside them; a step starts in its project's
    folder. Attributes, filters and hooks of the repository have no effect.

    Raises:
        NotFound: no such commit.
        UsageError: `folder` is not empty, or the tree is not writable as it stands.
    """
    tree = read_tree(git_dir, sha)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty", cause="left-over files would be part of the source")
    files = {path: entry for path, entry in tree.entries.items() if not entry.is_link and not entry.is_submodule}
    try:
        _write_files(git_dir, tree, folder, paths=tuple(files))
        # Last, so that no file was written through a link.
        left_out = [*_write_links(git_dir, tree, folder), *_left_submodules(tree)]
    except OSError as error:
        raise StorageFull("the source could not be written", cause=str(error), hint="free space and retry") from error
    return WrittenSource(tree=tree, files=len(files), left_out=tuple(left_out))


def is_safe_link(path: str, target: str) -> bool:
    """Return whether a link at `path` can only lead to something inside the repository.

    Climbing is allowed first and only as high as the link's own folder is deep: those folders are real.
    What follows may pass through other links, and each of them is safe by itself.
    """
    if target.startswith("/") or not target or "\0" in target:
        return False
    parts = [part for part in target.split("/") if part not in ("", ".")]
    climbs = 0
    while climbs < len(parts) and parts[climbs] == "..":
        climbs += 1
    return climbs <= path.count("/") and ".." not in parts[climbs:]


def _write_files(git_dir: Path, tree: GitTree, folder: Path, *, paths: tuple[str, ...]) -> None:
    by_blob: dict[str, list[str]] = {}
    for path in paths:
        by_blob.setdefault(tree.entries[path].blob, []).append(path)
    for parent in sorted({posixpath.dirname(path) for path in paths}):
        (folder / parent).mkdir(parents=True, exist_ok=True)
    for blob, size, stream in stream_blobs(git_dir, tuple(by_blob)):
        first, *others = by_blob[blob]
        _write_file(folder / first, stream, size, mode=tree.entries[first].mode)
        for other in others:
            with (folder / first).open("rb") as again:
                _write_file(folder / other, again, size, mode=tree.entries[other].mode)


def _write_file(path: Path, stream: IO[bytes], size: int, *, mode: str) -> None:
    permissions = 0o755 if mode == "100755" else 0o644
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, permissions)
    with os.fdopen(descriptor, "wb") as target:
        left = size
        while left:
            data = stream.read(min(left, _CHUNK))
            if not data:
                raise HeadwayError(f"{path.name} ended {left} bytes too early", hint="fetch the commit again")
            target.write(data)
            left -= len(data)


def _write_links(git_dir: Path, tree: GitTree, folder: Path) -> list[str]:
    links = {path: entry.blob for path, entry in tree.entries.items() if entry.is_link}
    targets = {blob: stream.read(size) for blob, size, stream in stream_blobs(git_dir, tuple(set(links.values())))}
    left_out = []
    for path, blob in links.items():
        target = targets[blob].decode("utf-8", "surrogateescape")
        if is_safe_link(path, target):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).symlink_to(target)
        else:
            left_out.append(f"{path} is left out: the link leads out of the repository")
    return left_out


def _left_submodules(tree: GitTree) -> list[str]:
    return [f"{path} is left out: it is a submodule" for path, entry in tree.entries.items() if entry.is_submodule]
