"""What was pushed to a local repository since it was last looked at: each happening becomes one event."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from headway.errors import Conflict, NotFound
from headway.forges.git_merge import merge_trees
from headway.forges.local_store import ChangeRow, LocalChanges
from headway.forges.model import BranchPushed, Change, ChangeMoved, ChangeState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from headway.db.connection import Database
    from headway.forges.git import Git


def branches_stamp(directory: Path) -> int:
    """Return a number that changes when git writes a branch: it renames a file into one of these folders."""
    kept = [directory / "packed-refs", directory / "reftable"]
    kept += [Path(folder) for folder, _, _ in os.walk(directory / "refs" / "heads")]
    found = []
    for path in kept:
        with contextlib.suppress(OSError):
            found.append((str(path), path.stat().st_mtime_ns, path.stat().st_ino))
    return hash(tuple(found))


def notice_pushes(database: Database, repo_id: str, git: Git, *, at: datetime, actor: str) -> None:
    """Compare every branch with where it was last seen, and append what happened; safe to repeat and to race."""
    with database.read() as tx:
        seen = LocalChanges(tx).branches(repo_id)
    if git.branch_heads() == seen:
        return
    with database.write() as tx:
        changes = LocalChanges(tx)
        changes.lock(repo_id)
        # Read again while nobody else can note anything: an older picture would look like a push back.
        seen, heads = changes.branches(repo_id), git.branch_heads()
        moved = [name for name in sorted(seen.keys() | heads.keys()) if seen.get(name) != heads.get(name)]
        for name in moved:
            _note_branch(changes, repo_id, name, before=seen.get(name), after=heads.get(name), at=at, actor=actor)
        for row in changes.changes(repo_id, ChangeState.OPEN):
            _note_change(changes, row, git, heads=heads, seen=seen, moved=moved, at=at, actor=actor)


def change_of(row: ChangeRow, heads: Mapping[str, str]) -> Change:
    """Return a change with the commits that its two branches stand at; a closed one keeps its last.

    Raises:
        NotFound: the base branch of an open change is gone, so nothing says which rules apply.
    """
    is_open = row.state is ChangeState.OPEN
    base_sha = heads.get(row.base_ref)
    if base_sha is None and is_open:
        raise NotFound(
            f"change {row.number} is proposed to {row.base_ref!r}, and that branch is gone",
            hint=f"restore the branch, or close the change: headway change close {row.number}",
        )
    return Change(
        repo_id=row.repo_id,
        number=row.number,
        title=row.title,
        author=row.author,
        state=row.state,
        head_ref=row.head_ref,
        head_sha=heads.get(row.head_ref, row.head_sha) if is_open else row.head_sha,
        base_ref=row.base_ref,
        base_sha=base_sha or row.merged_sha or row.head_sha,
        from_fork=row.from_fork,
        merged_sha=row.merged_sha,
        opened_at=row.opened_at,
    )


def _note_branch(
    changes: LocalChanges,
    repo_id: str,
    name: str,
    *,
    before: str | None,
    after: str | None,
    at: datetime,
    actor: str,
) -> None:
    changes.set_branch(repo_id, name, after)
    if after is None:
        return
    pushed = BranchPushed(delivery="", repo_id=repo_id, branch=name, before_sha=before, after_sha=after, actor=actor)
    changes.append(repo_id, pushed, at=at)


def _note_change(
    changes: LocalChanges,
    row: ChangeRow,
    git: Git,
    *,
    heads: Mapping[str, str],
    seen: Mapping[str, str],
    moved: list[str],
    at: datetime,
    actor: str,
) -> None:
    if row.base_ref not in heads:
        return
    change = change_of(row, heads)
    if change.head_sha != row.head_sha:
        changes.set_head(row.repo_id, row.number, before=row.head_sha, after=change.head_sha)
        told = ChangeMoved(delivery="", action="pushed", change=change, actor=actor, before_sha=row.head_sha)
        changes.append(row.repo_id, told, at=at)
    # Somebody ran `git merge` by hand, or a merge of ours was cut off after it had moved the branch.
    if row.base_ref in moved and _holds(git, change, before=seen.get(row.base_ref)):
        note_merged(changes, change, merged_sha=change.base_sha, at=at, actor=actor)


def _holds(git: Git, change: Change, *, before: str | None) -> bool:
    """Say whether the base branch has taken a change in: its commits, or, squashed or rebased, the same files."""
    if git.is_ancestor(change.head_sha, change.base_sha):
        return True
    if before is None or not git.is_ancestor(before, change.base_sha):
        return False
    try:
        merged = merge_trees(git, before, change.head_sha)
    except Conflict:
        return False
    # A change that brings nothing would be found in every commit.
    if merged == git.tree_of(before):
        return False
    made = git.run("log", "--format=%T", f"--max-count={_MOST_COMMITS}", f"{before}..{change.base_sha}")
    return merged in made.decode().split()


_MOST_COMMITS = 200


def note_merged(changes: LocalChanges, change: Change, *, merged_sha: str, at: datetime, actor: str) -> Change:
    """Write that a change was merged, with its event, and return it so."""
    row = changes.find(change.repo_id, change.number)
    if row is None or not changes.set_state(_at_head(row, change), ChangeState.MERGED, at=at, merged_sha=merged_sha):
        return change
    merged = changes.find(change.repo_id, change.number)
    heads = {change.base_ref: merged_sha}
    told = change_of(merged, heads) if merged is not None else change
    changes.append(
        change.repo_id,
        ChangeMoved(delivery="", action="merged", change=told, actor=actor, before_sha=change.base_sha),
        at=at,
    )
    return told


def _at_head(row: ChangeRow, change: Change) -> ChangeRow:
    values = {name: getattr(row, name) for name in ChangeRow.__dataclass_fields__}
    return ChangeRow(**{**values, "head_sha": change.head_sha})
