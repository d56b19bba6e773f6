"""What our App asks of GitHub and why: one list for the manifest, for doctor and for the documentation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """One permission, its level, and what stops without it."""

    name: str
    level: str  # read | write
    why: str
    without: str


NEEDED: tuple[Needed, ...] = (
    Needed(
        name="metadata",
        level="read",
        why="the repository's number and default branch, people's roles, the rules of a branch",
        without="GitHub gives no App anything without it",
    ),
    Needed(
        name="contents",
        level="read",
        why="fetch exactly the commit that is trained; hear of pushes and of `repository_dispatch`",
        without="no commit can be fetched",
    ),
    Needed(
        name="pull_requests",
        level="write",
        why="read the head and the base of a change; comment under it",
        without="no change can be read",
    ),
    Needed(
        name="issues",
        level="write",
        why="comments under a pull request and reactions to them are those of its issue",
        without="no report, no sign that a command was taken",
    ),
    Needed(
        name="checks",
        level="write",
        why="one check run a project at the head of a change, its buttons, and being asked to run again",
        without="nothing can be required before a merge",
    ),
    Needed(
        name="deployments",
        level="write",
        why="record each release, its progress and what it replaced",
        without="releases are not seen at GitHub",
    ),
    Needed(
        name="environments",
        level="read",
        why="mirror the reviewers, the wait timer and the self-review rule of an environment in our own gate",
        without="reviewers that are set at GitHub are not asked for",
    ),
    Needed(
        name="merge_queues",
        level="read",
        why="hear that a merge queue waits for our check at the commit that it made",
        without="a merge queue that requires our check stands still",
    ),
)

EVENTS: dict[str, str] = {
    "issue_comment": "a command under a change",
    "pull_request": "heads as they come (the ledger of commits), labels, merges",
    "push": "the default branch moved",
    "check_run": "a button under our check, or its re-run",
    "check_suite": "all checks are asked to run again",
    "merge_group": "a merge queue waits for our check",
    "repository_dispatch": "another system asks for something",
}
"""Events that our App subscribes to, and what each is for."""

_RANK = {"": 0, "read": 1, "write": 2, "admin": 3}


def missing(granted: dict[str, str]) -> tuple[Needed, ...]:
    """Return the permissions that an installation lacks, or has at a lower level than we need."""
    return tuple(each for each in NEEDED if _RANK.get(granted.get(each.name, ""), 0) < _RANK[each.level])


def beyond(granted: dict[str, str]) -> dict[str, str]:
    """Return what an installation has and we never use: less can be lost with fewer."""
    needed = {each.name: each.level for each in NEEDED}
    return {name: level for name, level in granted.items() if _RANK.get(level, 0) > _RANK.get(needed.get(name, ""), 0)}
