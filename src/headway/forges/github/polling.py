"""Listening without a public address: what moved since the last look, by comparing heads and listing comments.

The cursor holds what was seen: heads of open changes, the default branch, the newest comment, the newest event. A
first look tells nothing, since what is there already did not happen now.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import msgspec

from headway.errors import NotFound, UsageError
from headway.forges.github.payloads import (
    Comment,
    IssueEvent,
    Pull,
    change_of,
    comment_of,
    login,
    to_list,
    to_type,
    unknown_change,
)
from headway.forges.github.reading import COMMENT_LIVES, refusal_of
from headway.forges.model import (
    BranchPushed,
    Change,
    ChangeLabelled,
    ChangeMoved,
    ChangeState,
    CommentCreated,
    Event,
    EventPage,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headway.clock import Clock
    from headway.forges.github.api import GitHubApi
    from headway.forges.github.comments import Comments
    from headway.forges.github.missed import Missed
    from headway.forges.github.tokens import Access
    from headway.forges.model import Repo

_Dated = TypeVar("_Dated", Comment, IssueEvent)
_ISSUE = re.compile(r"/issues/(\d+)\Z")


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """How the repository looked at the last look."""

    branch: str
    heads: dict[str, str]  # number of an open change -> head commit
    comment: int  # the newest comment's id: ids only grow
    delivery: int = 0  # the newest of the App's deliveries
    event: int | None = None  # the newest event of issues: labels; None = never looked at


class Poller:
    """Looks at one repository at a time; keeps nothing but what the cursor says."""

    def __init__(
        self,
        api: GitHubApi,
        comments: Comments,
        clock: Clock,
        *,
        missed: Missed | None = None,
        finds_labels: bool = False,
    ) -> None:
        """Read through `api`; `comments` knows which are ours; `missed` where webhooks come in too.

        `finds_labels` is for where none do: a webhook's label has another identity, and would count twice.
        """
        self._api = api
        self._comments = comments
        self._clock = clock
        self._missed = missed
        self._finds_labels = finds_labels

    def look(self, repo: Repo, cursor: str, access: Access) -> EventPage:
        """Return what happened since the cursor was made."""
        tip = self.branch_tip(repo, repo.default_branch, access)
        pulls = self._open(repo, access)
        heads = {str(pull.number): pull.head.sha for pull in pulls}
        if cursor == "":
            newest = self._newest_comment(repo, access)
            latest = self._missed.newest() if self._missed else 0
            _, event = self._labels_since(repo, pulls, None, access)
            start = Seen(branch=tip, heads=heads, comment=newest, delivery=latest, event=event)
            return EventPage(events=(), cursor=_cursor(start))
        seen = _seen(cursor)
        events: list[Event] = [*self._moves(repo, pulls, seen, tip, access)]
        said, newest = self._comments_since(repo, seen, access)
        events += said
        labels, event = self._labels_since(repo, pulls, seen.event, access)
        events += labels
        lost, latest = self._missed.since(repo, seen.delivery) if self._missed else ([], seen.delivery)
        events += lost
        fresh = Seen(branch=tip, heads=heads, comment=newest, delivery=latest, event=event)
        return EventPage(events=tuple(events), cursor=_cursor(fresh))

    def branch_tip(self, repo: Repo, branch: str, access: Access) -> str:
        """Return the commit that a branch stands at now."""
        path = f"/repos/{repo.name}/branches/{quote(branch)}"  # a branch may be called a#b or 100%
        return str(self._api.get(path, access).data["commit"]["sha"])

    def _open(self, repo: Repo, access: Access) -> list[Pull]:
        pages = self._api.pages(f"/repos/{repo.name}/pulls", access, state="open", sort="created", direction="asc")
        return [pull for page in pages for pull in to_list(page, Pull, "pull requests")]

    def _moves(self, repo: Repo, pulls: list[Pull], seen: Seen, tip: str, access: Access) -> list[Event]:
        events: list[Event] = []
        for pull in pulls:
            before = seen.heads.get(str(pull.number))
            if before != pull.head.sha:
                change = change_of(pull, repo.id, base_tip=tip if pull.base.ref == repo.default_branch else "")
                events.append(self._moved(change, "opened" if before is None else "pushed", before))
        still = {str(pull.number) for pull in pulls}
        for number in sorted(set(seen.heads) - still, key=int):
            change = self._left(repo, int(number), access)
            action = "merged" if change.state is ChangeState.MERGED else "closed"
            events.append(self._moved(change, action, None))
        if tip != seen.branch:
            events.append(
                BranchPushed(
                    delivery=f"poll:push:{repo.id}:{seen.branch}:{tip}",
                    repo_id=repo.id,
                    branch=repo.default_branch,
                    before_sha=seen.branch,
                    after_sha=tip,
                    actor="",
                ),
            )
        return events

    def _left(self, repo: Repo, number: int, access: Access) -> Change:
        """Return a change that is not open any more; one that GitHub took away, as it does with spam, is closed."""
        try:
            pull = to_type(self._api.get(f"/repos/{repo.name}/pulls/{number}", access).data, Pull, "pull request")
        except NotFound:  # the repository itself has just answered
            return unknown_change(repo.id, number, state=ChangeState.CLOSED)
        return change_of(pull, repo.id)

    def _moved(self, change: Change, action: str, before: str | None) -> ChangeMoved:
        return ChangeMoved(
            delivery=f"poll:{action}:{change.repo_id}:{change.number}:{before or ''}:{change.head_sha}",
            action=action,
            change=change,
            actor=change.author,
            before_sha=before,
        )

    def _newest_comment(self, repo: Repo, access: Access) -> int:
        answer = self._api.get(
            f"/repos/{repo.name}/issues/comments", access, sort="created", direction="desc", per_page=1
        )
        return max((comment.id for comment in to_list(answer.data, Comment, "comments")), default=0)

    def _comments_since(self, repo: Repo, seen: Seen, access: Access) -> tuple[list[Event], int]:
        pages = self._api.pages(f"/repos/{repo.name}/issues/comments", access, sort="created", direction="desc")
        fresh = self._fresh((to_list(page, Comment, "comments") for page in pages), after=seen.comment)
        said = [event for comment in fresh if (event := self._said(repo, comment, access)) is not None]
        return said, max([seen.comment, *(comment.id for comment in fresh)])

    def _labels_since(
        self, repo: Repo, pulls: list[Pull], after: int | None, access: Access
    ) -> tuple[list[Event], int | None]:
        """Return the labels that were put on open changes after an event, and the newest event."""
        if not self._finds_labels:
            return [], after
        pages = self._api.pages(f"/repos/{repo.name}/issues/events", access)  # the newest first
        found = (to_list(page, IssueEvent, "issue events") for page in pages)
        if after is None:
            return [], max((each.id for each in next(found, [])), default=0)
        fresh = self._fresh(found, after=after)
        still = {pull.number: change_of(pull, repo.id) for pull in pulls}
        labels = [event for each in fresh if (event := self._labelled(each, still)) is not None]
        return labels, max([after, *(each.id for each in fresh)])

    def _labelled(self, told: IssueEvent, still: dict[int, Change]) -> Event | None:
        change = still.get(told.issue.number) if told.issue is not None else None
        is_old = self._clock.now() - told.created_at > COMMENT_LIVES
        if told.event != "labeled" or told.label is None or change is None or is_old:
            return None
        return ChangeLabelled(
            delivery=f"poll:label:{change.repo_id}:{told.id}",
            change=change,
            label=told.label.name,
            actor=login(told.actor),
            at=min(told.created_at, self._clock.now()),
        )

    def _fresh(self, pages: Iterator[list[_Dated]], *, after: int) -> list[_Dated]:
        """Return what is newer than an id, oldest first; pages come the newest first.

        Not by GitHub's `since`: that is a time, and an id says exactly what is new.
        """
        found: list[_Dated] = []
        for page in pages:
            fresh = [each for each in page if each.id > after]
            found += fresh
            is_old = bool(page) and self._clock.now() - page[-1].created_at > COMMENT_LIVES
            if len(fresh) < len(page) or not page or is_old:
                break
        return sorted(found, key=lambda each: each.id)

    def _said(self, repo: Repo, comment: Comment, access: Access) -> Event | None:
        issue = _ISSUE.search(comment.issue_url)
        if issue is None or self._comments.is_ours(comment, access):
            return None
        if refusal_of(comment, self._clock.now()) or comment.updated_at != comment.created_at:
            return None  # an edited comment may not be what its author wrote
        if "/pull/" not in comment.html_url:
            return None  # an issue, not a change
        number = int(issue.group(1))
        change = unknown_change(repo.id, number)
        return CommentCreated(
            delivery=f"poll:comment:{comment.id}",
            change=change,
            comment=comment_of(comment, repo.id, number, lambda _: False),
        )


def open_heads(cursor: str) -> dict[int, str]:
    """Return the heads of the changes that were open when a cursor was made."""
    return {int(number): sha for number, sha in _seen(cursor).heads.items()}


def _cursor(seen: Seen) -> str:
    return msgspec.json.encode(seen).decode()


def _seen(cursor: str) -> Seen:
    try:
        return msgspec.json.decode(cursor, type=Seen)
    except msgspec.DecodeError as error:
        raise UsageError(f"{cursor[:80]!r} is no cursor of GitHub's events", cause=str(error)) from None
