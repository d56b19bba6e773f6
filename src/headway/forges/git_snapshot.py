"""A commit of a working copy as it lies there, uncommitted edits included, without touching it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from headway.clock import from_millis
from headway.errors import UsageError
from headway.forges.git import Git, git_error, open_repository, run_git
from headway.forges.git_merge import commit_tree

SNAPSHOT_REFS = "refs/headway/snapshots"


def snapshot_worktree(path: Path) -> str:
    """Return a commit with exactly the files of the working copy that `path` lies in; ignored ones are left out.

    A clean working copy is its own HEAD. Equal files on an equal HEAD give the equal commit. A ref keeps
    garbage collection away from it; index, branches and files stay untouched.

    Raises:
        UsageError: the repository is bare, so there is nothing to take a picture of.
    """
    git = open_repository(path)
    top = run_git("rev-parse", "--path-format=absolute", "--show-toplevel", cwd=path)
    if top.returncode != 0:
        raise UsageError(f"{path} has no working copy", hint="name a commit or a branch instead")
    root = Path(top.stdout.decode().rstrip("\n"))
    # HEAD is asked in the working copy: a linked one has a HEAD of its own.
    asked = run_git("rev-parse", "--verify", "--quiet", "HEAD^{commit}", cwd=root)
    head = asked.stdout.decode().strip() or None
    tree = _write_tree(root)
    if head is not None and git.tree_of(head) == tree:
        return head
    return _commit(git, tree, head)


def _write_tree(root: Path) -> str:
    with tempfile.TemporaryDirectory(prefix="headway-snapshot-") as folder:
        index = Path(folder) / "index"
        real = (
            run_git("rev-parse", "--path-format=absolute", "--git-path", "index", cwd=root).stdout.decode().rstrip("\n")
        )
        if Path(real).exists():
            # A copy knows the files that have not changed: only the others are read again.
            shutil.copyfile(real, index)
        environment = {"GIT_INDEX_FILE": str(index)}
        _in_worktree(root, environment, "add", "--all", "--", ".")
        return _in_worktree(root, environment, "write-tree")


def _in_worktree(root: Path, environment: dict[str, str], *arguments: str) -> str:
    done = run_git(*arguments, cwd=root, environment=environment)
    if done.returncode != 0:
        raise git_error(arguments[0], done)
    return done.stdout.decode().strip()


def _commit(git: Git, tree: str, head: str | None) -> str:
    # The date of HEAD, not of today: the same files asked twice must be the same commit.
    at = git.commit_info(head).at if head else from_millis(0)
    parents = (head,) if head else ()
    sha = commit_tree(git, tree, parents, message="Uncommitted work\n", author="Headway", at=at)
    git.run("update-ref", f"{SNAPSHOT_REFS}/{sha}", sha)
    return sha
