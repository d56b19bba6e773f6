"""A small real git repository with a working copy, for whoever needs commits in a test."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

IDENTITY = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")


class Repository:
    """`main` is checked out and has one commit; `commit` leaves main checked out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        self.commit("main", {"README.md": "read me\n"})

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *IDENTITY, *arguments], cwd=self.path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def head(self, branch: str = "main") -> str:
        return self.git("rev-parse", f"refs/heads/{branch}")

    def branches(self) -> list[str]:
        return self.git("for-each-ref", "--format=%(refname:short)", "refs/heads").split()

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, text in files.items():
            place = self.path / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(text if isinstance(text, bytes) else text.encode())

    def commit(self, branch: str, files: Mapping[str, str | bytes], message: str = "") -> str:
        """Commit files on a branch, started at main when it does not exist."""
        if branch != "main":
            self.git("checkout", "-q", *(() if branch in self.branches() else ("-b",)), branch)
        self.write(files)
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", message or f"Change {', '.join(files)}")
        sha = self.git("rev-parse", "HEAD")
        if branch != "main":
            self.git("checkout", "-q", "main")
        return sha
