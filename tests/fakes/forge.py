"""A forge in memory: it tells what it is told, moves heads when scripted, and fails on demand."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fakes.bare import BareRepo
from headway.errors import HeadwayError, NotFound
from headway.forges.model import (
    BranchPushed,
    Change,
    ChangeMoved,
    ChangeState,
    CommentCreated,
    Event,
    EventPage,
    Permission,
    PostedComment,
    Receipt,
    Repo,
    Wanted,
    WantedComment,
    WantedDeployment,
    WantedReaction,
    WantedStatus,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


class FakeForge:
    """Commits lie in a bare git repository, since what runs them reads git; everything else is in memory.

    `fail(method, error)` makes the next call of a protocol method fail, before it did anything or, with
    `after=True`, once it was done: a time-out after success. `move_on_read(number, files)` pushes right after
    the next `get_change`, as somebody does who races a maintainer.
    """

    def __init__(self, folder: Path, name: str = "acme/flights") -> None:
        self.repo = Repo(forge="fake", id="fake-1", name=name, location=str(folder), default_branch="main")
        self.changes: dict[int, Change] = {}
        self.permissions: dict[str, Permission] = {}
        self.posted: list[PostedComment] = []
        self.statuses: dict[tuple[str, str], WantedStatus] = {}
        self.reactions: dict[str, list[str]] = defaultdict(list)
        self.deployments: dict[tuple[str, str], WantedDeployment] = {}
        self.deliveries: list[Wanted] = []
        self._folder = folder
        self._heads: dict[str, str] = {}
        self._markers: dict[str, str] = {}
        self._events: list[Event] = []
        self._faults: dict[str, list[tuple[HeadwayError, bool]]] = defaultdict(list)
        self._moves: dict[int, dict[str, str]] = {}
        self._git = BareRepo(folder)
        self._files = self._git.files

    # --- the script ------------------------------------------------------------------------------

    def fail(self, method: str, error: HeadwayError, *, after: bool = False) -> None:
        self._faults[method].append((error, after))

    def move_on_read(self, number: int, files: Mapping[str, str]) -> None:
        self._moves[number] = dict(files)

    def commit(self, branch: str, files: Mapping[str, str], *, base: str = "main", actor: str = "ada") -> str:
        parent = self._heads.get(branch) or self._heads.get(base)
        whole = {**self._files.get(parent or "", {}), **files}
        sha = self._git.write(whole, parent)
        before, self._heads[branch] = self._heads.get(branch), sha
        self._tell(BranchPushed, repo_id=self.repo.id, branch=branch, before_sha=before, after_sha=sha, actor=actor)
        for number, change in self.changes.items():
            if change.state is ChangeState.OPEN and change.head_ref == branch:
                self._tell_change(number, "pushed", actor=actor, before_sha=before)
        return sha

    def open_change(self, branch: str, *, title: str = "", author: str = "ada", from_fork: bool = False) -> Change:
        number = len(self.changes) + 1
        self.changes[number] = Change(
            repo_id=self.repo.id,
            number=number,
            title=title or branch,
            author=author,
            state=ChangeState.OPEN,
            head_ref=branch,
            head_sha=self._heads[branch],
            base_ref="main",
            base_sha=self._heads["main"],
            from_fork=from_fork,
            opened_at=AT,
        )
        self._tell_change(number, "opened", actor=author)
        return self._change(number)

    def add_comment(self, number: int, *, author: str, body: str) -> PostedComment:
        comment = self._post(number, author=author, body=body, is_ours=False)
        self._tell(CommentCreated, change=self._change(number), comment=comment)
        return comment

    def merge(self, number: int, *, actor: str = "ada") -> Change:
        change = self._change(number)
        whole = {**self._files[change.base_sha], **self._files[change.head_sha]}
        merged = self._git.write(whole, change.base_sha, change.head_sha)
        self._heads["main"] = merged
        self.changes[number] = dataclasses.replace(change, state=ChangeState.MERGED, merged_sha=merged)
        self._tell_change(number, "merged", actor=actor)
        self._tell(
            BranchPushed,
            repo_id=self.repo.id,
            branch="main",
            before_sha=change.base_sha,
            after_sha=merged,
            actor=actor,
        )
        return self._change(number)

    def grant(self, user: str, permission: Permission) -> None:
        self.permissions[user] = permission

    def comments(self, number: int) -> list[PostedComment]:
        return [comment for comment in self.posted if comment.number == number]

    # --- the protocol ----------------------------------------------------------------------------

    def parse_webhook(self, headers: Mapping[str, str], body: bytes) -> Event | None:
        return None

    def events_since(self, repo_id: str, cursor: str) -> EventPage:
        self._check("events_since", repo_id)
        start = len(self._events) if cursor == "" else int(cursor)
        return EventPage(events=tuple(self._events[start:]), cursor=str(len(self._events)))

    def get_change(self, repo_id: str, number: int) -> Change:
        self._check("get_change", repo_id)
        change = self._change(number)
        if number in self._moves:
            self.commit(change.head_ref, self._moves.pop(number), actor=change.author)
        return change

    def get_permission(self, repo_id: str, user: str) -> Permission:
        self._check("get_permission", repo_id)
        return self.permissions.get(user, Permission.NONE)

    def read_file(self, repo_id: str, sha: str, path: str) -> bytes | None:
        self._check("read_file", repo_id)
        if sha not in self._files:
            raise NotFound(f"no commit {sha}")
        text = self._files[sha].get(path)
        return None if text is None else text.encode()

    def fetch(self, repo_id: str, sha: str) -> str:
        self._check("fetch", repo_id)
        if sha not in self._files:
            raise NotFound(f"no commit {sha}")
        return str(self._folder)

    def deliver(self, wanted: Wanted) -> Receipt:
        late = self._check("deliver", wanted.repo_id)
        self.deliveries.append(wanted)
        receipt = self._deliver(wanted)
        if late is not None:
            raise late
        return receipt

    # --- inside ----------------------------------------------------------------------------------

    def _deliver(self, wanted: Wanted) -> Receipt:
        if isinstance(wanted, WantedComment):
            return self._deliver_comment(wanted)
        if isinstance(wanted, WantedStatus):
            self.statuses[wanted.sha, wanted.context] = wanted
            return Receipt(remote_id=wanted.context)
        if isinstance(wanted, WantedReaction):
            if wanted.comment_id not in {comment.id for comment in self.comments(wanted.number)}:
                raise NotFound(f"no comment {wanted.comment_id}")
            if wanted.content not in self.reactions[wanted.comment_id]:
                self.reactions[wanted.comment_id].append(wanted.content)
            return Receipt(remote_id=f"{wanted.comment_id}:{wanted.content}")
        if wanted.state == "success":
            for key, other in self.deployments.items():
                if other.environment == wanted.environment and other.state == "success" and other.sha != wanted.sha:
                    self.deployments[key] = dataclasses.replace(other, state="inactive")
        self.deployments[wanted.sha, wanted.environment] = wanted
        return Receipt(remote_id=f"{wanted.sha}:{wanted.environment}")

    def _deliver_comment(self, wanted: WantedComment) -> Receipt:
        self._change(wanted.number)
        for place, comment in enumerate(self.posted):
            if comment.is_ours and comment.number == wanted.number and self._markers[comment.id] == wanted.marker:
                if not wanted.fresh and comment.body != wanted.body:
                    self.posted[place] = dataclasses.replace(comment, body=wanted.body, edited_at=AT)
                return Receipt(remote_id=comment.id)
        comment = self._post(wanted.number, author="headway", body=wanted.body, is_ours=True)
        self._markers[comment.id] = wanted.marker
        return Receipt(remote_id=comment.id)

    def _post(self, number: int, *, author: str, body: str, is_ours: bool) -> PostedComment:
        self._change(number)
        comment = PostedComment(
            id=str(len(self.posted) + 1),
            repo_id=self.repo.id,
            number=number,
            author=author,
            body=body,
            is_ours=is_ours,
            created_at=AT,
        )
        self.posted.append(comment)
        return comment

    def _check(self, method: str, repo_id: str) -> HeadwayError | None:
        if repo_id != self.repo.id:
            raise NotFound(f"no repository {repo_id}")
        if not self._faults[method]:
            return None
        error, after = self._faults[method].pop(0)
        if after:
            return error
        raise error

    def _change(self, number: int) -> Change:
        if number not in self.changes:
            raise NotFound(f"no change {number}")
        change = self.changes[number]
        head = self._heads[change.head_ref] if change.state is ChangeState.OPEN else change.head_sha
        return dataclasses.replace(change, head_sha=head, base_sha=self._heads["main"])

    def _tell_change(self, number: int, action: str, *, actor: str, before_sha: str | None = None) -> None:
        self._tell(ChangeMoved, action=action, change=self._change(number), actor=actor, before_sha=before_sha)

    def _tell(self, kind: type, **fields: object) -> None:
        self._events.append(kind(delivery=f"fake-{len(self._events) + 1}", **fields))
