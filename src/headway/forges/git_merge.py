"""Merging in the object store: no working copy is needed, and none is touched unless it can follow."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from headway.errors import Conflict, Refused
from headway.forges.git import git_error, run_git

if TYPE_CHECKING:
    from datetime import datetime

    from headway.forges.git import Git, Worktree


class MergeMethod(StrEnum):
    """What the history of the base branch shall show of a change."""

    MERGE = "merge"
    SQUASH = "squash"
    REBASE = "rebase"


def merge_commits(
    git: Git,
    base: str,
    head: str,
    *,
    method: MergeMethod,
    message: str,
    actor: str,
    at: datetime,
) -> str:
    """Return the commit that the base branch should move to; nothing moves yet.

    Raises:
        Conflict: both sides changed the same places; the message names the files.
        Refused: a rebase of a history with merges.
    """
    if method is MergeMethod.REBASE:
        return _rebase(git, base, head, actor=actor, at=at)
    tree = merge_trees(git, base, head)
    if tree == git.tree_of(base):
        return base
    parents = (base, head) if method is MergeMethod.MERGE else (base,)
    return commit_tree(git, tree, parents, message=message, author=actor, at=at)


def merge_trees(git: Git, base: str, head: str) -> str:
    """Return the tree of both sides merged."""
    done = git.attempt("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", base, head)
    tree, *conflicted = (part for part in done.stdout.decode(errors="replace").split("\0") if part)
    if done.returncode == 0:
        return tree
    if done.returncode == 1:
        listed = ", ".join(sorted(set(conflicted))[:10])
        raise Conflict(
            f"the change conflicts with its base in {listed}",
            cause="both sides changed the same lines since they parted",
            hint="git merge the base branch into the change, resolve, commit, and train again",
        )
    raise git_error("merge-tree", done)


def commit_tree(git: Git, tree: str, parents: tuple[str, ...], *, message: str, author: str, at: datetime) -> str:
    """Write a commit object; no ref knows of it yet."""
    stamp = f"@{int(at.timestamp())} +0000"  # without the sign, git takes small numbers for something else
    who = _plain(author)
    environment = {
        "GIT_AUTHOR_NAME": who,
        "GIT_AUTHOR_EMAIL": f"{who}@localhost",
        "GIT_AUTHOR_DATE": stamp,
        "GIT_COMMITTER_NAME": "Headway",
        "GIT_COMMITTER_EMAIL": "headway@localhost",
        "GIT_COMMITTER_DATE": stamp,
    }
    options = [option for parent in parents for option in ("-p", parent)]
    written = git.run("commit-tree", *options, tree, stdin=message.encode(), environment=environment)
    return written.decode().strip()


def move_branch(git: Git, branch: str, *, before: str, after: str, reason: str) -> tuple[Worktree, ...]:
    """Move a branch that still stands at `before`, and every working copy that has it checked out.

    Returns the working copies that were brought along. Local edits of other files stay as they are.

    Raises:
        Conflict: the branch has moved meanwhile.
        Refused: a working copy has local edits in the files that would change; nothing was moved.
    """
    followers = tuple(each for each in git.worktrees() if each.branch == branch)
    for each in followers:
        _check_can_follow(each, before, after)
    done = git.attempt("update-ref", "-m", reason, f"refs/heads/{branch}", after, before)
    if done.returncode != 0:
        raise Conflict(
            f"{branch} has moved while this was merged",
            cause=done.stderr.decode(errors="replace").strip(),
            hint="try again",
        )
    for each in followers:
        followed = run_git("read-tree", "-m", "-u", before, after, cwd=each.path)
        if followed.returncode != 0:
            raise git_error("read-tree", followed)
    return followers


def _check_can_follow(worktree: Worktree, before: str, after: str) -> None:
    # Without a refresh, a file that was only touched counts as edited.
    run_git("update-index", "-q", "--refresh", cwd=worktree.path)
    tried = run_git("read-tree", "-n", "-m", "-u", before, after, cwd=worktree.path)
    if tried.returncode != 0:
        raise Refused(
            f"{worktree.path} has {worktree.branch} checked out, with edits that the merge would overwrite",
            cause=tried.stderr.decode(errors="replace").strip(),
            hint="commit or stash them there, or git checkout another branch, and merge again",
        )


def _rebase(git: Git, base: str, head: str, *, actor: str, at: datetime) -> str:
    if git.is_ancestor(base, head):
        return head
    listed = git.run("rev-list", "--reverse", "--topo-order", "--parents", f"{base}..{head}").decode().splitlines()
    onto = base
    for line in listed:
        commit, *parents = line.split()
        if len(parents) != 1:
            raise Refused(
                f"commit {commit[:12]} merges two histories and cannot be replayed",
                hint="merge with --method merge or --method squash",
            )
        onto = _replay(git, commit, parents[0], onto=onto, actor=actor, at=at)
    return onto


def _replay(git: Git, commit: str, parent: str, *, onto: str, actor: str, at: datetime) -> str:
    # A commit with the new base's files on the old parent makes that parent the merge base, which is what
    # a cherry-pick is; `merge-tree --merge-base` would say it directly, from git 2.40 on.
    stand_in = commit_tree(git, git.tree_of(onto), (parent,), message="stand-in", author=actor, at=at)
    tree = merge_trees(git, stand_in, commit)
    if tree == git.tree_of(onto):
        return onto
    message = git.run("show", "-s", "--format=%B", commit).decode(errors="replace")
    return commit_tree(git, tree, (onto,), message=message, author=git.commit_info(commit).author, at=at)


def _plain(name: str) -> str:
    return "".join(letter for letter in name if letter.isprintable() and letter not in "<>\"'").strip() or "somebody"
