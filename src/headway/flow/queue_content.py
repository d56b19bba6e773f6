"""What is in a merge queue's commit, and how far it may be trusted: no further than the least trusted change in it."""

from __future__ import annotations

from dataclasses import dataclass

from headway.app import App
from headway.commands.inbox import InboxStore
from headway.commands.model import Command
from headway.environments.model import Tier
from headway.errors import Conflict, Refused
from headway.flow.grants import check_granted
from headway.flow.projects import tip_of
from headway.flow.repos import forge_of, git_at
from headway.forges.git_merge import merge_trees
from headway.forges.model import Change, QueueEntered

# "merge-queue:main": where a job of a queue's commit stands, and which branch it is to become; no branch is called so.
QUEUE = "merge-queue:"
_MOST_ENTRIES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One link of the queue: what was added to which commit."""

    told: QueueEntered
    changes: tuple[Change, ...]


def is_queue(branch: str) -> bool:
    """Whether a branch's name is that of a merge queue's commits."""
    return branch.startswith(QUEUE)


def target_of(branch: str) -> str:
    """Return the branch that a queue's commit is to become."""
    return branch.removeprefix(QUEUE)


def queue_tier(app: App, command: Command) -> Tier:
    """Return the trust in a queue's commit: a fork's as soon as a fork's change is in it.

    Raises:
        Refused: it cannot be told which changes are in it.
    """
    changes = [change for entry in _entries(app, command) for change in entry.changes]
    return Tier.FORK if any(change.from_fork for change in changes) else Tier.CHANGE


def check_content(app: App, command: Command) -> None:
    """Return when every fork's change in a queue's commit is granted, and the commit holds exactly what was granted.

    Raises:
        Refused: nobody has granted that commit, or the queue's files are not those of base and grant merged.
    """
    for entry in _entries(app, command):
        for change in entry.changes:
            if change.from_fork:
                check_granted(app, change)
                _check_exact(app, entry, change)


def _check_exact(app: App, entry: _Entry, change: Change) -> None:
    told = entry.told
    git = git_at(app, told.repo_id, told.sha)
    for sha in (told.base_sha, change.head_sha):
        git_at(app, told.repo_id, sha)
    try:
        is_exact = len(entry.changes) == 1 and merge_trees(git, told.base_sha, change.head_sha) == git.tree_of(told.sha)
    except Conflict:
        is_exact = False
    if not is_exact:
        raise Refused(
            f"the queue's commit {told.sha[:12]} is not exactly its base and the granted {change.head_sha[:12]}",
            cause="code from a fork runs only as it was reviewed",
            hint="take the change out of the queue and put it in again",
        )


def _entries(app: App, command: Command) -> list[_Entry]:
    """Return what lies between the branch and a queue's commit, newest first."""
    repo_id, sha = command.repo_id, command.head_sha or ""
    tip = tip_of(app, repo_id, target_of(command.branch))
    found: list[_Entry] = []
    while tip is None or not git_at(app, repo_id, sha).is_ancestor(sha, tip):
        with app.database.read() as tx:
            told = InboxStore(tx).entered(repo_id, sha)
        if told is None or not told.numbers or len(found) >= _MOST_ENTRIES:
            raise Refused(
                f"it cannot be told which changes are in the queue's commit {sha[:12]}",
                cause="the queue told of it before this server listened, or names no change",
                hint="take the changes out of the queue and put them in again",
            )
        forge = forge_of(app, repo_id)
        found.append(_Entry(told=told, changes=tuple(forge.get_change(repo_id, number) for number in told.numbers)))
        sha = told.base_sha
    return found
