"""The local forge: a plain git repository, and changes, comments and statuses in Headway's own database."""

from __future__ import annotations

import os
import pwd
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headway.auth.authenticate import LOCAL_USER
from headway.auth.projects import ProjectStore
from headway.auth.users import UserStore
from headway.errors import Conflict, NotFound, TooLarge, UsageError
from headway.forges.git import Git, check_branch_name, open_repository
from headway.forges.local_merge import MergeResult, merge_change
from headway.forges.local_notice import branches_stamp, change_of, notice_pushes
from headway.forges.local_store import ChangeRow, LocalChanges, LocalTalk
from headway.forges.model import (
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
    WantedComment,
    WantedDeployment,
    WantedReaction,
    WantedStatus,
)
from headway.forges.os_user import os_user
from headway.forges.repo_store import RepoStore
from headway.forges.roles import permission_of
from headway.ids import digest_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from headway.clock import Clock
    from headway.db.connection import Database
    from headway.forges.git_merge import MergeMethod
    from headway.forges.model import Wanted

NAME = "local"
OUR_NAME = "headway"
COMMENT_LIMIT = 65_536  # GitHub's, so that a conversation rehearsed here works there

_PAGE = 100
_LOOK_AGAIN = 5.0  # seconds: two pushes within one tick of the file system's clock leave the same stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownChange:
    """A change with everything that was said on it."""

    change: Change
    comments: tuple[PostedComment, ...]
    statuses: tuple[WantedStatus, ...]  # of the head commit
    reactions: dict[str, tuple[str, ...]]  # comment id -> signs


class LocalForge:
    """The `Forge` for repositories on this machine, with the verbs that a website would offer."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Keep changes and comments in `database`; the repositories are where `register_repo` was told."""
        self._database = database
        self._clock = clock
        self._looked: dict[str, tuple[int, float]] = {}  # repository -> what its refs looked like, and when

    # --- the protocol: headway.forges.base.Forge ---------------------------------------------------

    def parse_webhook(self, headers: Mapping[str, str], body: bytes) -> Event | None:  # noqa: ARG002  # the protocol's
        """Return None: a folder sends nothing; it is listened to by `events_since`."""
        return None

    def events_since(self, repo_id: str, cursor: str) -> EventPage:
        """Look for pushes, then return what happened after `cursor`, at most 100 events at once."""
        self._notice_if_touched(repo_id)
        with self._database.read() as tx:
            changes = LocalChanges(tx)
            if cursor == "":
                return EventPage(events=(), cursor=str(changes.last_event(repo_id)))
            found = changes.events_after(repo_id, _seq(cursor), limit=_PAGE)
        last = str(found[-1][0]) if found else cursor
        return EventPage(events=tuple(event for _, event in found), cursor=last)

    def get_change(self, repo_id: str, number: int) -> Change:
        """Return the change with the commits that its branches stand at now."""
        git = self.git(repo_id)
        with self._database.read() as tx:
            return change_of(_found(tx, repo_id, number), git.branch_heads())

    def get_permission(self, repo_id: str, user: str) -> Permission:
        """Return ADMIN for this machine's user and the repository's owner, else what git config or this server grants.

        `git config headway.role.NAME read|triage|write|maintain|admin` lists somebody else; for a folder of git, this
        server's users are the forge's, too.
        """
        git = self.git(repo_id)
        if user in {os_user(), LOCAL_USER, _owner(git.directory)}:
            return Permission.ADMIN
        granted = git.config(r"^headway\.role\.").get(f"headway.role.{user.lower()}", "none")
        try:
            listed = Permission[granted.strip().upper()]
        except KeyError:
            listed = Permission.NONE
        return max(listed, self._permission_here(repo_id, user))

    def _permission_here(self, repo_id: str, user: str) -> Permission:
        with self._database.read() as tx:
            found = UserStore(tx).find(user)
            if found is None or found.disabled:
                return Permission.NONE
            return permission_of(found.role_in(ProjectStore(tx).of_repo(repo_id)))

    def read_file(self, repo_id: str, sha: str, path: str) -> bytes | None:
        """Return a file of one commit; None when it has none there, or a symbolic link."""
        return self.git(repo_id).read_file(sha, path)

    def fetch(self, repo_id: str, sha: str) -> str:
        """Return the repository's own git directory, once it is certain that the commit is there."""
        git = self.git(repo_id)
        git.check_commit(sha)
        return str(git.directory)

    def deliver(self, wanted: Wanted) -> Receipt:
        """Make what is wanted stand in the database; repeating it changes nothing."""
        with self._database.write() as tx:
            RepoStore(tx).get(wanted.repo_id)
            # Two deliveries of one report at once must not both find it missing.
            LocalChanges(tx).lock(wanted.repo_id)
            return self._deliver(tx, wanted)

    # --- what a forge's website offers -----------------------------------------------------------

    def register_repo(self, path: Path, *, by: str = "") -> Repo:
        """Make a repository known by any path in it; again is the same, with the default branch looked up anew."""
        git = open_repository(path)
        # The git directory's real path: a linked working copy or a symbolic link is the same repository.
        place = git.directory.parent if git.directory.name == ".git" else git.directory
        repo = Repo(
            forge=NAME,
            id=f"local-{digest_bytes(os.fsencode(git.directory))[:16]}",
            name=place.name.removesuffix(".git") or "repository",
            location=str(place),
            default_branch=git.default_branch(),
        )
        with self._database.write() as tx:
            is_new = RepoStore(tx).find(repo.id) is None
            RepoStore(tx).add(repo, cursor="0", at=self._clock.now(), by=by or os_user())
            if is_new:
                # What is there already was not pushed now.
                for name, sha in git.branch_heads().items():
                    LocalChanges(tx).set_branch(repo.id, name, sha)
        return repo

    def git(self, repo_id: str) -> Git:
        """Return the repository behind an id, for reading commits.

        Raises:
            NotFound: it was never registered, or its folder is gone.
        """
        with self._database.read() as tx:
            repo = RepoStore(tx).get(repo_id)
        place = Path(repo.location)
        directory = place / ".git" if (place / ".git").exists() else place
        if not (directory / "HEAD").is_file():
            raise NotFound(f"the repository {repo.name} is no longer at {repo.location}", hint="headway repo add PATH")
        return Git(directory.resolve())

    def open_change(
        self,
        repo_id: str,
        head_ref: str,
        *,
        base_ref: str = "",
        title: str = "",
        author: str = "",
        from_fork: bool = False,
    ) -> Change:
        """Propose a branch to another (the default branch), titled by its last commit unless told otherwise.

        Raises:
            NotFound: one of the branches does not exist.
            Conflict: the same proposal is open already.
            UsageError: the branch holds nothing that its base does not have.
        """
        git, at, who = self.git(repo_id), self._clock.now(), author or os_user()
        with self._database.read() as tx:
            base = base_ref or RepoStore(tx).get(repo_id).default_branch
        heads = {name: _head(git, name) for name in (head_ref, base)}
        if git.is_ancestor(heads[head_ref], heads[base]):
            raise UsageError(
                f"{head_ref} has nothing that {base} does not have",
                hint="commit something on it first, or name another base",
            )
        notice_pushes(self._database, repo_id, git, at=at, actor=os_user())
        with self._database.write() as tx:
            changes = LocalChanges(tx)
            changes.lock(repo_id)
            for other in changes.changes(repo_id, ChangeState.OPEN):
                if (other.head_ref, other.base_ref) == (head_ref, base):
                    raise Conflict(
                        f"change {other.number} proposes {head_ref} to {base} already",
                        hint=f"headway change show {other.number}",
                    )
            row = ChangeRow(
                repo_id=repo_id,
                number=changes.next_number(repo_id),
                title=title.strip() or git.commit_info(heads[head_ref]).subject,
                author=who,
                state=ChangeState.OPEN,
                head_ref=head_ref,
                base_ref=base,
                head_sha=heads[head_ref],
                from_fork=from_fork,
                merged_sha=None,
                opened_at=at,
                closed_at=None,
            )
            changes.add(row)
            change = change_of(row, heads)
            changes.append(repo_id, ChangeMoved(delivery="", action="opened", change=change, actor=who), at=at)
        return change

    def list_changes(self, repo_id: str, state: ChangeState | None = None) -> tuple[Change, ...]:
        """Return the changes of a repository, newest first; one whose base is gone is shown as last seen."""
        heads = self.git(repo_id).branch_heads()
        with self._database.read() as tx:
            rows = LocalChanges(tx).changes(repo_id, state)
        return tuple(change_of(row, {row.base_ref: row.head_sha, **heads}) for row in rows)

    def show(self, repo_id: str, number: int) -> ShownChange:
        """Return a change with its comments, their signs, and the statuses of its head commit."""
        change = self.get_change(repo_id, number)
        with self._database.read() as tx:
            talk = LocalTalk(tx)
            comments = talk.comments(repo_id, number)
            return ShownChange(
                change=change,
                comments=comments,
                statuses=talk.statuses(repo_id, change.head_sha),
                reactions=talk.reactions([comment.id for comment in comments]),
            )

    def statuses(self, repo_id: str, sha: str) -> tuple[WantedStatus, ...]:
        """Return what stands at one commit, by context."""
        with self._database.read() as tx:
            return LocalTalk(tx).statuses(repo_id, sha)

    def deployments(self, repo_id: str) -> tuple[WantedDeployment, ...]:
        """Return the deployments that were told of, latest first."""
        with self._database.read() as tx:
            return LocalTalk(tx).deployments(repo_id)

    def add_comment(self, repo_id: str, number: int, *, author: str, body: str, is_ours: bool = False) -> PostedComment:
        """Say something on a change, with the commits of that moment; only a person's comment becomes an event.

        Raises:
            TooLarge: more than 65,536 characters.
        """
        if len(body) > COMMENT_LIMIT:
            raise TooLarge(f"a comment has at most {COMMENT_LIMIT} characters, this one has {len(body)}")
        if not body.strip():
            raise UsageError("the comment is empty")
        git, at = self.git(repo_id), self._clock.now()
        # Pushes first: whoever reads in order must learn of the commit before of what was said about it.
        notice_pushes(self._database, repo_id, git, at=at, actor=os_user())
        with self._database.write() as tx:
            LocalChanges(tx).lock(repo_id)
            change = change_of(_found(tx, repo_id, number), git.branch_heads())
            posted = LocalTalk(tx).add_comment(repo_id, number, author=author, body=body, is_ours=is_ours, at=at)
            if not is_ours:
                LocalChanges(tx).append(repo_id, CommentCreated(delivery="", change=change, comment=posted), at=at)
        return posted

    def close(self, repo_id: str, number: int, *, actor: str) -> Change:
        """Close a change without merging it; closing it twice is the same as once."""
        return self._set_open(repo_id, number, actor=actor, is_open=False)

    def reopen(self, repo_id: str, number: int, *, actor: str) -> Change:
        """Open a closed change again."""
        return self._set_open(repo_id, number, actor=actor, is_open=True)

    def merge(
        self,
        repo_id: str,
        number: int,
        *,
        actor: str,
        method: MergeMethod,
        required: Sequence[str] = (),
        head_sha: str | None = None,
    ) -> MergeResult:
        """Merge a change whose required statuses are all green on its head commit.

        `required` names the contexts (`headway/<project>`); without any, each one that this repository has ever
        reported counts. `head_sha` is what the caller looked at.

        Raises:
            Refused: a status is missing or not green, or the actor may not write here.
            Conflict: the files conflict, or the change has moved.
        """
        git = self.git(repo_id)
        notice_pushes(self._database, repo_id, git, at=self._clock.now(), actor=os_user())
        return merge_change(
            self._database,
            git,
            self.get_change(repo_id, number),
            actor=actor,
            permission=self.get_permission(repo_id, actor),
            method=method,
            required=tuple(required),
            expected_head=head_sha,
            at=self._clock.now(),
        )

    def _notice_if_touched(self, repo_id: str) -> None:
        """Ask git only when something was written where branches are kept, and now and then all the same."""
        git, now = self.git(repo_id), time.monotonic()
        before, stamp = self._looked.get(repo_id), branches_stamp(git.directory)
        if before is not None and before[0] == stamp and now - before[1] < _LOOK_AGAIN:
            return
        notice_pushes(self._database, repo_id, git, at=self._clock.now(), actor=os_user())
        self._looked[repo_id] = (stamp, now)

    def _set_open(self, repo_id: str, number: int, *, actor: str, is_open: bool) -> Change:
        git, at = self.git(repo_id), self._clock.now()
        wanted = ChangeState.OPEN if is_open else ChangeState.CLOSED
        with self._database.write() as tx:
            changes = LocalChanges(tx)
            changes.lock(repo_id)
            row = _found(tx, repo_id, number)
            if row.state is ChangeState.MERGED:
                raise Conflict(f"change {number} is merged", hint="git revert its commit in another change")
            heads = git.branch_heads()
            if row.state is wanted:
                return change_of(row, {row.base_ref: row.head_sha, **heads})
            changes.set_state(row, wanted, at=None if is_open else at, merged_sha=None)
            change = change_of(_found(tx, repo_id, number), {row.base_ref: row.head_sha, **heads})
            action = "reopened" if is_open else "closed"
            changes.append(repo_id, ChangeMoved(delivery="", action=action, change=change, actor=actor), at=at)
        return change

    def _deliver(self, tx: Connection, wanted: Wanted) -> Receipt:
        talk, at = LocalTalk(tx), self._clock.now()
        if isinstance(wanted, WantedComment):
            _found(tx, wanted.repo_id, wanted.number)
            return self._deliver_comment(talk, wanted)
        if isinstance(wanted, WantedStatus):
            talk.set_status(wanted, at=at)
            return Receipt(remote_id=f"{wanted.sha}:{wanted.context}", url=wanted.url)
        if isinstance(wanted, WantedReaction):
            known = {comment.id for comment in talk.comments(wanted.repo_id, wanted.number)}
            if wanted.comment_id not in known:
                raise NotFound(f"change {wanted.number} has no comment {wanted.comment_id}")
            talk.react(wanted.comment_id, wanted.content, at=at)
            return Receipt(remote_id=f"{wanted.comment_id}:{wanted.content}")
        return Receipt(remote_id=talk.set_deployment(wanted, at=at), url=wanted.url)

    def _deliver_comment(self, talk: LocalTalk, wanted: WantedComment) -> Receipt:
        standing = talk.find_ours(wanted.repo_id, wanted.number, wanted.marker)
        if standing is None:
            standing = talk.add_comment(
                wanted.repo_id,
                wanted.number,
                author=OUR_NAME,
                body=wanted.body,
                is_ours=True,
                at=self._clock.now(),
                marker=wanted.marker,
            )
        elif not wanted.fresh and standing.body != wanted.body:
            talk.edit_comment(standing.id, wanted.body, at=self._clock.now())
        return Receipt(remote_id=standing.id)


def _owner(directory: Path) -> str:
    try:
        return pwd.getpwuid(directory.stat().st_uid).pw_name
    except (KeyError, OSError):
        return os_user()


def _found(tx: Connection, repo_id: str, number: int) -> ChangeRow:
    row = LocalChanges(tx).find(repo_id, number)
    if row is None:
        raise NotFound(f"no change {number}", hint="headway change list")
    return row


def _head(git: Git, branch: str) -> str:
    head = git.branch_head(check_branch_name(branch))
    if head is None:
        raise NotFound(f"no branch {branch!r} in {git.directory}", hint="git branch --list")
    return head


def _seq(cursor: str) -> int:
    try:
        return int(cursor)
    except ValueError:
        raise UsageError(f"{cursor!r} is not a cursor of the local forge") from None
