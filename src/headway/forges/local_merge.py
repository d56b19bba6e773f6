"""When a local change may be merged, and what is done then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headway.errors import Conflict, Refused
from headway.forges.git_merge import MergeMethod, merge_commits, move_branch
from headway.forges.local_notice import note_merged
from headway.forges.local_store import LocalChanges, LocalTalk
from headway.forges.model import BranchPushed, Change, ChangeState, Permission, StatusState

if TYPE_CHECKING:
    from datetime import datetime

    from headway.db.connection import Database
    from headway.forges.git import Git
    from headway.forges.model import WantedStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeResult:
    """A merged change, and the working copies that were brought to its commit."""

    change: Change
    sha: str
    updated: tuple[str, ...]  # paths


def merge_change(
    database: Database,
    git: Git,
    change: Change,
    *,
    actor: str,
    permission: Permission,
    method: MergeMethod,
    required: tuple[str, ...],
    expected_head: str | None,
    at: datetime,
) -> MergeResult:
    """Move the base branch to the merge and write that down, or refuse and move nothing."""
    _check_may_merge(change, actor=actor, permission=permission, expected_head=expected_head)
    with database.read() as tx:
        talk = LocalTalk(tx)
        contexts = required or talk.contexts(change.repo_id)
        check_green(change, talk.statuses(change.repo_id, change.head_sha), contexts)
    merged = merge_commits(
        git,
        change.base_sha,
        change.head_sha,
        method=method,
        message=_message(change, method),
        actor=actor,
        at=at,
    )
    with database.write() as tx:
        changes, talk = LocalChanges(tx), LocalTalk(tx)
        changes.lock(change.repo_id)
        # Once more, where nothing can change in between: a status may have turned red while we merged.
        check_green(change, talk.statuses(change.repo_id, change.head_sha), contexts)
        followers = move_branch(
            git,
            change.base_ref,
            before=change.base_sha,
            after=merged,
            reason=f"headway: merge change {change.number}",
        )
        changes.set_branch(change.repo_id, change.base_ref, merged)
        done = note_merged(changes, change, merged_sha=merged, at=at, actor=actor)
        if merged != change.base_sha:
            pushed = BranchPushed(
                delivery="",
                repo_id=change.repo_id,
                branch=change.base_ref,
                before_sha=change.base_sha,
                after_sha=merged,
                actor=actor,
            )
            changes.append(change.repo_id, pushed, at=at)
    return MergeResult(change=done, sha=merged, updated=tuple(str(each.path) for each in followers))


def check_green(change: Change, statuses: tuple[WantedStatus, ...], required: tuple[str, ...]) -> None:
    """Do nothing when each required status says success on the head commit.

    Raises:
        Refused: one is missing, unfinished or red; a status of an earlier commit counts for nothing.
    """
    short = change.head_sha[:12]
    if not required:
        raise Refused(
            f"change {change.number} has no status to go by",
            cause="Headway has never reported one in this repository, and missing evidence is not success",
            hint=f'headway change comment {change.number} "/train"',
        )
    standing = {status.context: status for status in statuses}
    for context in required:
        status = standing.get(context)
        if status is None:
            raise Refused(
                f"{context} was never run on {short}, the head of change {change.number}",
                cause="the required status must be green on exactly the commit that is merged",
                hint=f'headway change comment {change.number} "/train"',
            )
        if status.state is not StatusState.SUCCESS:
            raise Refused(
                f"{context} is {status.state.value} on {short}, the head of change {change.number}",
                cause=status.title,
                hint=f"headway change show {change.number}",
            )


def _check_may_merge(change: Change, *, actor: str, permission: Permission, expected_head: str | None) -> None:
    if change.state is not ChangeState.OPEN:
        raise Conflict(f"change {change.number} is {change.state.value} already")
    if permission < Permission.WRITE:
        raise Refused(
            f"{actor} may not merge here",
            cause=f"it needs write permission, this is {permission.name.lower()}",
            hint=f"git config headway.role.{actor} write",
        )
    if expected_head is not None and expected_head != change.head_sha:
        raise Conflict(
            f"change {change.number} was pushed to: its head is {change.head_sha[:12]}, not {expected_head[:12]}",
            hint="look at the new commit, and train it",
        )


def _message(change: Change, method: MergeMethod) -> str:
    trailer = f"Headway-Change: {change.number}\nHeadway-Head: {change.head_sha}\n"
    if method is MergeMethod.SQUASH:
        return f"{change.title} (#{change.number})\n\n{trailer}"
    return f"Merge change #{change.number}: {change.title}\n\n{trailer}"
