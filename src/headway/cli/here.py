"""The repository, branch and commit that a command is given in."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headway.cli.client import Client
from headway.errors import NotFound, Refused, UsageError


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
    root = find_root()
    repo = _registered(client, root)
    return Here(
        repo=repo["id"],
        name=repo["name"],
        default_branch=repo["default_branch"],
        root=root,
        branch=_git("symbolic-ref", "--short", "-q", "HEAD") or "",
        is_dirty=bool(_git("status", "--porcelain", "--untracked-files=normal")),
    )


def _registered(client: Client, root: Path) -> dict[str, Any]:
    """Return the repository as the server knows it; only an administrator makes a new one known.

    Raises:
        Refused: it is not known yet, or of a project that is not the caller's.
    """
    try:
        return dict(client.post("/repos", path=str(root)))
    except Refused:
        place = _place()
        known = next((each for each in client.get("/repos") if each["location"] == place), None)
    if known is None:
        raise Refused(
            f"the server does not know the repository {root} yet, or it is of a project that is not yours",
            cause="making one known needs the role admin; working in it needs the role contributor in its project",
            hint=f"ask an administrator for: headway repo add {root}; headway login status shows your roles",
        )
    return dict(known)


def _place() -> str:
    """Return where the repository lies, as the server names it: a linked working copy is the same repository."""
    folder = Path(_git("rev-parse", "--path-format=absolute", "--git-common-dir") or ".git").resolve()
    return str(folder.parent if folder.name == ".git" else folder)


def find_root() -> Path:
    """Return the top folder of the repository around the working directory.

    Raises:
        NotFound: there is no repository, or no git.
        Refused: git does not trust the repository's owner.
    """
    done = _run("rev-parse", "--show-toplevel")
    if done.returncode == 0 and done.stdout.strip():
        return Path(done.stdout.strip())
    if "dubious ownership" in done.stderr:
        raise Refused(
            "git does not trust this repository: it belongs to somebody else",
            cause=done.stderr.strip().splitlines()[0],
            hint=f"git config --global --add safe.directory {Path.cwd()}",
        )
    raise NotFound(
        "this folder is in no git repository with a working tree",
        cause=f"looked in {Path.cwd()} and above",
        hint="git init && git add -A && git commit -m start",
    )


def commit_for(at: Here, ref: str | None) -> tuple[str, str]:
    """Return (branch, commit) for a ref, or for the working tree as it stands, uncommitted edits included."""
    if ref is not None:
        sha = resolve(ref)
        if sha is None:
            raise UsageError(f"{ref!r} names no commit", hint="git branch --all, or git log --oneline")
        return _branch_of(ref, at), sha
    _check_has_config(at)
    if at.is_dirty:
        from headway.forges.git_snapshot import snapshot_worktree

        return f"{at.branch or 'detached'}+dirty", snapshot_worktree(at.root)
    return at.branch or "detached", head_commit()


def head_commit() -> str:
    """Return the commit that is checked out.

    Raises:
        UsageError: there is none yet, so there is nothing that a job could be compared with or go back to.
    """
    sha = resolve("HEAD")
    if sha is None:
        raise UsageError("there is no commit yet", hint="git add -A && git commit -m start")
    return sha


def resolve(ref: str) -> str | None:
    """Return the commit that a branch, tag or digest names; None when it names none."""
    return _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")


def _branch_of(ref: str, at: Here) -> str:
    """HEAD~1 is no branch: what people see later must say where it stood."""
    if _git("show-ref", "--verify", "--quiet", f"refs/heads/{ref}") is not None:
        return ref
    return at.branch if ref in ("HEAD", "@") and at.branch else "detached"


def _check_has_config(at: Here) -> None:
    listing = ("ls-files", "--cached", "--others", "--exclude-standard", "--", "headway.yaml", "*/headway.yaml")
    if not _git("-C", str(at.root), *listing):
        raise NotFound(
            f"there is no headway.yaml in {at.root}", hint="headway init writes one; headway run SCRIPT needs none"
        )


def git_text(*arguments: str, root: Path, stdin: str = "", environment: dict[str, str] | None = None) -> str:
    """Return what a git command prints.

    Raises:
        UsageError: it failed; git's own words are the cause.
    """
    done = _run("-C", str(root), *arguments, stdin=stdin, environment=environment)
    if done.returncode != 0:
        raise UsageError(f"git {arguments[0]} failed", cause=done.stderr.strip())
    return done.stdout.strip()


def git_output(
    *arguments: str, root: Path | None = None, environment: dict[str, str] | None = None, stdin: bytes = b""
) -> bytes | None:
    """Return what a git command prints, as it is; None when it fails, there is no repository, or no git."""
    whole = os.environ | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C.UTF-8"} | (environment or {})
    words = ["git", *(("-C", str(root)) if root else ()), *arguments]
    try:
        done = subprocess.run(words, input=stdin, capture_output=True, env=whole, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def is_ignored(path: Path) -> bool:
    """Whether git leaves a file of the working tree out."""
    return _run("check-ignore", "-q", "--", str(path)).returncode == 0


def _git(*arguments: str) -> str | None:
    done = _run(*arguments)
    return done.stdout.strip() if done.returncode == 0 else None


def _run(
    *arguments: str, stdin: str = "", environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    whole = os.environ | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C.UTF-8"} | (environment or {})
    try:
        return subprocess.run(["git", *arguments], input=stdin, capture_output=True, text=True, env=whole, check=False)
    except FileNotFoundError:
        raise NotFound(
            "git is not installed, or not on PATH",
            cause="Headway reads every commit with git",
            hint="apt-get install git, or brew install git",
        ) from None
