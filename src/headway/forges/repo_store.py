"""The repositories that this server was told of, whatever their forge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from headway.auth.projects import ProjectStore
from headway.db import events, schema
from headway.errors import NotFound
from headway.forges.model import Repo

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

_COLUMNS = [schema.repo.c[name] for name in ("forge", "id", "name", "location", "default_branch")]


class RepoStore:
    """Repositories and how far each has been listened to, inside one transaction."""

    def __init__(self, tx: Connection) -> None:
        """Work inside the caller's transaction."""
        self._tx = tx

    def add(self, repo: Repo, *, cursor: str, at: datetime, by: str) -> Repo:
        """Keep a repository; one that is known keeps its id and cursor and gets the other fields."""
        known = self.find(repo.id)
        facts = {"name": repo.name, "location": repo.location, "default_branch": repo.default_branch}
        if known is None:
            project = ProjectStore(self._tx).add_for_repo(repo.name, at=at, by=by)
            row = {"id": repo.id, "forge": repo.forge, "cursor": cursor, "added_at": at, "project": project, **facts}
            self._tx.execute(schema.repo.insert().values(row))
            events.record(self._tx, "repo", repo.id, to_state="added", at=at, actor=by, detail=facts)
        elif known != repo or not self.is_heard(repo.id):
            self._tx.execute(update(schema.repo).where(schema.repo.c.id == repo.id).values(**facts, removed_at=None))
        return repo

    def remove(self, repo_id: str, *, at: datetime, by: str) -> None:
        """Listen to a repository no more; its jobs, runs and reports stay, and adding it again goes on.

        Raises:
            NotFound: it was never added, or is removed already.
        """
        if not self.is_heard(repo_id):
            raise NotFound(f"no repository {repo_id!r} is listened to", hint="headway repo list")
        self._tx.execute(update(schema.repo).where(schema.repo.c.id == repo_id).values(removed_at=at))
        events.record(self._tx, "repo", repo_id, to_state="removed", at=at, actor=by)

    def is_heard(self, repo_id: str) -> bool:
        """Whether events of a repository are taken in."""
        query = select(schema.repo.c.id).where(schema.repo.c.id == repo_id, schema.repo.c.removed_at.is_(None))
        return self._tx.execute(query).one_or_none() is not None

    def installation(self, repo_id: str) -> int | None:
        """Return through which installation of the forge's App a repository's deliveries come; None = not known."""
        query = select(schema.repo.c.installation).where(schema.repo.c.id == repo_id)
        return self._tx.execute(query).scalar_one_or_none()

    def set_installation(self, repo_id: str, number: int | None) -> bool:
        """Note a repository's installation; False when the repository was never added."""
        done = self._tx.execute(update(schema.repo).where(schema.repo.c.id == repo_id).values(installation=number))
        return done.rowcount == 1

    def drop_installation(self, number: int, *repo_ids: str) -> None:
        """Forget an installation that is gone, or the repositories that it has no more."""
        table = schema.repo.c
        chosen = [table.installation == number, *([table.id.in_(repo_ids)] if repo_ids else [])]
        self._tx.execute(update(schema.repo).where(*chosen).values(installation=None))

    def find(self, repo_id: str) -> Repo | None:
        """Return one repository; None when it was never added."""
        row = self._tx.execute(select(*_COLUMNS).where(schema.repo.c.id == repo_id)).one_or_none()
        return None if row is None else _repo(row)

    def get(self, repo_id: str) -> Repo:
        """Return one repository.

        Raises:
            NotFound: it was never added.
        """
        found = self.find(repo_id)
        if found is None:
            raise NotFound(f"no repository {repo_id!r}", hint="headway repo add PATH")
        return found

    def list(self, *where: ColumnElement[bool]) -> tuple[Repo, ...]:
        """Return every repository that fits and is listened to, in the order in which they were added."""
        heard = schema.repo.c.removed_at.is_(None)
        query = select(*_COLUMNS).where(heard, *where).order_by(schema.repo.c.added_at, schema.repo.c.id)
        rows = self._tx.execute(query)
        return tuple(_repo(row) for row in rows)

    def cursor(self, repo_id: str) -> str:
        """Return up to where its events have been taken in."""
        return (
            self._tx.execute(select(schema.repo.c.cursor).where(schema.repo.c.id == repo_id)).scalar_one_or_none() or ""
        )

    def with_cursors(self) -> tuple[tuple[Repo, str], ...]:
        """Return every repository that is listened to, with up to where its events have been taken in."""
        heard = schema.repo.c.removed_at.is_(None)
        rows = self._tx.execute(select(*_COLUMNS, schema.repo.c.cursor).where(heard).order_by(schema.repo.c.id))
        return tuple((_repo(row), row.cursor) for row in rows)

    def set_cursor(self, repo_id: str, cursor: str) -> None:
        """Note that everything before a cursor has been taken in: same transaction as the inbox rows."""
        self._tx.execute(update(schema.repo).where(schema.repo.c.id == repo_id).values(cursor=cursor))


def _repo(row: Any) -> Repo:
    return Repo(
        forge=row.forge,
        id=row.id,
        name=row.name,
        location=row.location,
        default_branch=row.default_branch,
    )
