"""A bare git repository whose commits are written by plumbing: no working copy, no checkout, quick."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class BareRepo:
    """Commits by whole contents; refs are written only where somebody fetches by them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, dict[str, str]] = {}  # commit -> what it holds
        subprocess.run(["git", "init", "--bare", "-q", str(folder)], check=True, capture_output=True)

    def write(self, files: Mapping[str, str], *parents: str | None) -> str:
        """Write a commit that holds exactly these files."""
        options = [option for parent in parents if parent for option in ("-p", parent)]
        identity = ["-c", "user.name=fake", "-c", "user.email=fake@localhost"]
        sha = self.git(
            *identity, "commit-tree", "-m", f"Commit {len(self.files) + 1}", *options, self._write_tree(files)
        )
        self.files[sha] = dict(files)
        return sha

    def point(self, ref: str, sha: str) -> None:
        self.git("update-ref", ref, sha)

    def git(self, *arguments: str, text: str = "") -> str:
        done = subprocess.run(
            ["git", "--git-dir", str(self.folder), *arguments], input=text, text=True, check=True, capture_output=True
        )
        return done.stdout.strip()

    def _blob(self, content: str | bytes) -> str:
        raw = content if isinstance(content, bytes) else content.encode()
        done = subprocess.run(
            ["git", "--git-dir", str(self.folder), "hash-object", "-w", "--stdin"],
            input=raw,
            check=True,
            capture_output=True,
        )
        return done.stdout.decode().strip()

    def _write_tree(self, files: Mapping[str, str]) -> str:
        entries: dict[str, str] = {}
        for name in {path.partition("/")[0] for path in files}:
            below = {path.partition("/")[2]: text for path, text in files.items() if path.startswith(f"{name}/")}
            if below:
                entries[name] = f"040000 tree {self._write_tree(below)}\t{name}"
            else:
                blob = self._blob(files[name])
                entries[name] = f"100644 blob {blob}\t{name}"
        return self.git("mktree", text="".join(f"{entries[name]}\n" for name in sorted(entries)))
