"""The repository, branch and commit that a command is given in."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from headway.cli.client import Client
from headway.errors import NotFound, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """Where the terminal stands."""

    repo: str
    name: str
    default_branch: str
    root: Path
    branch: str
    is_dirty: bool


def here(client: Client) -> Here:
    """Return the repository around the working directory, registered when it was not.

    Raises:
        NotFound: there is none.
    """
    root = _git("rev-parse", "--show-toplevel")
    if root is None:
        raise NotFound(
            "this folder is in no git repository",
            cause=f"looked in {Path.cwd()} and above",
            hint="git init && git add -A && git commit -m start",
        )
    repo = client.post("/repos", path=root)
    return Here(
        repo=repo["id"],
        name=repo["name"],
        default_branch=repo["default_branch"],
        root=Path(root),
        branch=_git("symbolic-ref", "--short", "-q", "HEAD") or "",
        is_dirty=bool(_git("status", "--porcelain", "--untracked-files=normal")),
    )


def commit_for(at: Here, ref: str | None) -> tuple[str, str]:
    """Return (branch, commit) for a ref, or for the working tree as it stands, uncommitted edits included."""
    from headway.forges.git_snapshot import snapshot_worktree

    if ref is not None:
        sha = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
        if sha is None:
            raise UsageError(f"{ref!r} names no commit", hint="git log --oneline, git branch")
        return ref, sha
    if at.is_dirty:
        return f"{at.branch or 'detached'}+dirty", snapshot_worktree(at.root)
    sha = _git("rev-parse", "--verify", "--quiet", "HEAD")
    if sha is None:
        raise UsageError("there is no commit yet", hint="git add -A && git commit -m start")
    return at.branch, sha


def _git(*arguments: str) -> str | None:
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, env=environment, check=False)
    except FileNotFoundError:
        raise NotFound("git is not installed", hint="apt-get install git") from None
    return done.stdout.strip() if done.returncode == 0 else None
