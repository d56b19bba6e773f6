"""Where a command outside a job comes from: commit, uncommitted edits and its words, as the tags of its runs."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headway.cli.here import git_output

PATCH_LIMIT = 5_000_000
_FILE_LIMIT = 1_000_000  # an untracked file beyond it is data, not code
_FILES_LIMIT = 500
_TAG_LIMIT = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What is known of it; a folder without git has a command only."""

    tags: dict[str, str]
    patch: bytes = b""


def origin_of(words: Sequence[str]) -> Origin:
    """Return the tags for runs of this command, and the patch that turns the commit into what lies here."""
    tags = {"headway.command": _cut(shlex.join(words))}
    root, commit = git_output("rev-parse", "--show-toplevel"), git_output("rev-parse", "--verify", "--quiet", "HEAD")
    if not root or not commit:
        return Origin(tags=tags)
    tags["mlflow.source.git.commit"] = commit.decode().strip()
    branch = git_output("symbolic-ref", "--short", "-q", "HEAD")
    if branch:
        tags["mlflow.source.git.branch"] = branch.decode(errors="replace").strip()
    top = Path(root.decode().rstrip("\n"))
    changed = git_output("status", "--porcelain", "-z", "--untracked-files=all", root=top) or b""
    tags["headway.dirty"] = "true" if changed else "false"
    if not changed:
        return Origin(tags=tags)
    patch, left_out = _patch(top)
    if len(patch) > PATCH_LIMIT:
        tags["headway.patch"] = f"left out: it has {len(patch):,} bytes, and at most {PATCH_LIMIT:,} are kept"
        return Origin(tags=tags)
    if left_out:
        tags["headway.patch.left_out"] = _cut(" ".join(left_out))
    if patch:
        tags["headway.patch"] = "headway/working-tree.patch"
    return Origin(tags=tags, patch=patch)


def _patch(top: Path) -> tuple[bytes, list[str]]:
    """Return the diff to HEAD with small untracked files in it, and the names of those that are too large."""
    listed = git_output("ls-files", "--others", "--exclude-standard", "-z", root=top) or b""
    names = [name for name in listed.decode(errors="surrogateescape").split("\0") if name]
    small = [name for name in names if _size(top / name) <= _FILE_LIMIT][:_FILES_LIMIT]
    index = git_output("rev-parse", "--path-format=absolute", "--git-path", "index", root=top)
    objects = git_output("rev-parse", "--path-format=absolute", "--git-path", "objects", root=top)
    with tempfile.TemporaryDirectory(prefix="headway-origin-") as folder:
        own, store = Path(folder) / "index", Path(folder) / "objects"
        store.mkdir()
        if index and (real := Path(index.decode().rstrip("\n"))).exists():
            shutil.copyfile(real, own)
        # Index and objects of our own: nothing is left behind in the repository.
        environment = {
            "GIT_INDEX_FILE": str(own),
            "GIT_OBJECT_DIRECTORY": str(store),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": (objects or b"").decode().rstrip("\n"),
        }
        git_output("add", "--update", "--", ".", root=top, environment=environment)
        if small:
            paths = ("--pathspec-from-file=-", "--pathspec-file-nul")
            stdin = "\0".join(small).encode(errors="surrogateescape")
            git_output("--literal-pathspecs", "add", *paths, root=top, environment=environment, stdin=stdin)
        patch = git_output(
            "diff", "--cached", "--binary", "--no-color", "--no-ext-diff", "HEAD", root=top, environment=environment
        )
    return patch or b"", sorted(set(names) - set(small))


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _cut(text: str) -> str:
    plain = text.encode(errors="replace").decode()
    return plain if len(plain) <= _TAG_LIMIT else plain[: _TAG_LIMIT - 1] + "…"
