"""Read a commit from a git directory by its sha: no checkout, no hooks, no configuration of the repository's author."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from headway.errors import HeadwayError, NotFound, TooLarge, UsageError
from headway.pipelines.model import GitTree, TreeEntry

_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_ENTRY = re.compile(rb"(\d{6}) (blob|commit) ([0-9a-f]{40,64}) +(\d+|-)\t(.*)", re.DOTALL)
_OPTIONS = (
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "protocol.allow=never",
    "-c",
    "safe.directory=*",
    "-c",
    "core.quotePath=false",
)
_ENVIRONMENT = {
    "PATH": os.environ.get("PATH", os.defpath),
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
}
_MAX_FILES = 200_000
_MAX_READ = 64 * 1024 * 1024


def checked_sha(sha: str) -> str:
    """Return `sha` when it is a full object name; anything else could be a ref or a flag.

    Raises:
        UsageError: it is shorter, longer or has other characters.
    """
    if _SHA.match(sha):
        return sha
    raise UsageError(f"{sha!r} is no full commit sha", hint="give all 40 (or 64) hexadecimal digits")


def read_tree(git_dir: Path, sha: str) -> GitTree:
    """Return what the commit `sha` tracks.

    Raises:
        NotFound: the git directory has no such commit.
        UsageError: the tree has a path that no checkout may write.
    """
    tree = _verified_tree(git_dir, checked_sha(sha))
    entries: dict[str, TreeEntry] = {}
    for record in run_git(git_dir, ("ls-tree", "-r", "-z", "-l", "--full-tree", tree)).split(b"\0"):
        found = _ENTRY.match(record)
        if found is None:
            continue
        path = _checked_path(found[5])
        size = 0 if found[4] == b"-" else int(found[4])
        entries[path] = TreeEntry(mode=found[1].decode(), blob=found[3].decode(), size=size)
        if len(entries) > _MAX_FILES:
            raise TooLarge(f"commit {sha[:12]} tracks more than {_MAX_FILES:,} files")
    return GitTree(commit=sha, tree=tree, entries=entries)


def read_blob(git_dir: Path, blob: str) -> bytes:
    """Return the content of one tracked file."""
    return run_git(git_dir, ("cat-file", "blob", checked_sha(blob)))


def stream_blobs(git_dir: Path, blobs: Sequence[str]) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Yield (sha, size, stream) for each blob, from one git process; read exactly `size` bytes of each stream.

    Raises:
        HeadwayError: an object is missing or git ended early.
    """
    process = subprocess.Popen(
        _command(git_dir, ("cat-file", "--batch")),
        env=_ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("pipes were asked for")
    with process:
        try:
            for start in range(0, len(blobs), 500):
                # Few names at a time: neither pipe can then fill while the other side waits.
                part = blobs[start : start + 500]
                process.stdin.write(("\n".join(part) + "\n").encode())
                process.stdin.flush()
                yield from _answers(process.stdout, part)
        finally:
            process.kill()


class TreeFiles(Mapping[str, bytes]):
    """The files of one folder of a commit as a mapping of path to bytes, each read when asked for."""

    def __init__(self, git_dir: Path, tree: GitTree, root: str = "") -> None:
        """`root` is the folder in the repository, "" = the top."""
        prefix = f"{root}/" if root else ""
        self._git_dir = git_dir
        self._entries = {
            path.removeprefix(prefix): entry
            for path, entry in tree.entries.items()
            if path.startswith(prefix) and not entry.is_link and not entry.is_submodule
        }

    def __getitem__(self, path: str) -> bytes:
        """Return the bytes of one file; links are no files.

        Raises:
            TooLarge: it is larger than anything that is read whole.
        """
        entry = self._entries[path]
        if entry.size > _MAX_READ:
            raise TooLarge(f"{path} has {entry.size:,} bytes; at most {_MAX_READ:,} are read")
        return read_blob(self._git_dir, entry.blob)

    def __contains__(self, path: object) -> bool:
        return path in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def run_git(git_dir: Path, arguments: Sequence[str]) -> bytes:
    """Run one git command that only reads, and return its output.

    Raises:
        NotFound: git says that the object or the directory is not there.
    """
    done = subprocess.run(
        _command(git_dir, arguments),
        env=_ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=300,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise NotFound(f"git could not read {arguments[-1]!r}", cause=said[:500], hint="fetch the commit again")
    return done.stdout


def _verified_tree(git_dir: Path, sha: str) -> str:
    found = run_git(git_dir, ("rev-parse", f"{sha}^{{commit}}", f"{sha}^{{tree}}"))
    commit, tree = found.decode().split()
    if commit != sha:
        # An annotated tag resolves to another object than the one that was approved.
        raise UsageError(f"{sha[:12]} is no commit but leads to {commit[:12]}", hint=f"name the commit {commit}")
    return tree


def _checked_path(raw: bytes) -> str:
    try:
        path = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"the tracked path {raw!r} is not UTF-8", hint="rename the file") from None
    parts = path.split("/")
    if any(part in ("", ".", "..") or part.lower() == ".git" for part in parts) or "\\" in path:
        raise UsageError(f"the tracked path {path!r} would leave the source folder", hint="rename the file")
    return path


def _answers(stdout: IO[bytes], part: Sequence[str]) -> Iterator[tuple[str, int, IO[bytes]]]:
    for blob in part:
        header = stdout.readline().split()
        if len(header) != 3 or header[0].decode() != blob or header[1] != b"blob":
            raise HeadwayError(
                f"git could not read blob {blob[:12]}", cause=b" ".join(header).decode("utf-8", "replace")
            )
        yield blob, int(header[2]), stdout
        stdout.read(1)


def _command(git_dir: Path, arguments: Sequence[str]) -> tuple[str, ...]:
    return ("git", *_OPTIONS, f"--git-dir={git_dir}", *arguments)
