"""Projects as a boundary between people: what each holds, and what a thing that was just made belongs to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from headway.auth.model import NO_PROJECT, Principal, Role, TokenKind
from headway.db import events, schema
from headway.errors import Conflict, NotFound, Refused, UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

_project = schema.project
_repo = schema.repo

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_UNUSABLE = re.compile(r"[^A-Za-z0-9._-]+")

# The tag by which a client that knows nothing of projects names one.
PROJECT_TAG = "headway.project"


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project and the repositories that belong to it."""

    name: str
    repos: tuple[str, ...]  # their names
    created_at: datetime
    created_by: str


def may_use(own: str, other: str) -> bool:
    """Whether what a project's files name may be another's: its own things, and those that are open to all members."""
    return other in (NO_PROJECT, own)


class ProjectStore:
    """The projects, inside one transaction."""

    def __init__(self, tx: Connection) -> None:
        """Work inside the caller's transaction."""
        self._tx = tx

    def add(self, name: str, *, at: datetime, by: str) -> None:
        """Make a project.

        Raises:
            UsageError: the name cannot be one.
            Conflict: it is taken.
        """
        if not _NAME.match(name):
            raise UsageError(
                f"{name[:128]!r} is not a usable project name",
                hint="letters, digits and . _ -, beginning with a letter or digit; at most 128",
            )
        if self._exists(name):
            raise Conflict(f"there is a project {name} already", hint="headway project list")
        self._insert(name, at=at, by=by)
        events.record(self._tx, "project", name, to_state="added", at=at, actor=by)

    def _insert(self, name: str, *, at: datetime, by: str) -> None:
        self._tx.execute(_project.insert().values(name=name, created_at=at, created_by=by))

    def add_for_repo(self, repo_name: str, *, at: datetime, by: str) -> str:
        """Make a project of its own for a repository and return its name: the repository's, numbered where taken."""
        base = _UNUSABLE.sub("-", repo_name.rstrip("/").rpartition("/")[2]).strip("-._")[:100] or "project"
        name, number = base, 1
        while self._exists(name):
            number += 1
            name = f"{base}-{number}"
        self._insert(name, at=at, by=by)  # that the repository was added is the event
        return name

    def get(self, name: str) -> str:
        """Return the project that a person means: its name, or that of a headway.yaml in one of its repositories.

        Raises:
            NotFound: there is none.
            UsageError: repositories of several projects have a headway.yaml of that name.
        """
        if self._exists(name):
            return name
        job = schema.job
        query = select(_repo.c.project).join(job, job.c.repo_id == _repo.c.id).where(job.c.project == name).distinct()
        found = sorted(self._tx.execute(query).scalars())
        if not found or found == [NO_PROJECT]:
            raise NotFound(
                f"there is no project {name[:128]}", hint="headway project list, or headway project add NAME"
            )
        if len(found) > 1:
            raise UsageError(f"{name} is in several projects", hint=f"name one of {', '.join(found)}")
        return str(found[0])

    def list(self, *where: ColumnElement[bool]) -> tuple[Project, ...]:
        """Return every project that fits by name."""
        repos: dict[str, list[str]] = {}
        for row in self._tx.execute(select(_repo.c.project, _repo.c.name).order_by(_repo.c.name)):
            repos.setdefault(row.project, []).append(row.name)
        return tuple(
            Project(
                name=row.name,
                repos=tuple(repos.get(row.name, ())),
                created_at=row.created_at,
                created_by=row.created_by,
            )
            for row in self._tx.execute(select(_project).where(*where).order_by(_project.c.name))
        )

    def of_repo(self, repo_id: str) -> str:
        """Return the project of a repository; of no project where it is unknown."""
        found = self._tx.execute(select(_repo.c.project).where(_repo.c.id == repo_id)).scalar_one_or_none()
        return str(found or NO_PROJECT)

    def _exists(self, name: str) -> bool:
        return self._tx.execute(select(_project.c.name).where(_project.c.name == name)).first() is not None

    def for_new(self, principal: Principal, wanted: str = NO_PROJECT) -> str:
        """Return the project of an experiment or model that a caller makes by hand.

        What the caller names, else the token's own; somebody who may write in one project alone makes things there,
        whoever may write everywhere makes them open to all members.

        Raises:
            NotFound: the named project is not there, or not the caller's to see.
            Refused: the caller may only look there.
            UsageError: it could be one of several.
        """
        if wanted:
            return self._named(principal, wanted)
        if principal.project or principal.kind is TokenKind.ATTEMPT or principal.reach is None:
            return principal.project
        if principal.reach.default >= Role.CONTRIBUTOR:
            return NO_PROJECT
        own = sorted(name for name, role in principal.reach.projects.items() if role >= Role.CONTRIBUTOR)
        if len(own) == 1:
            return own[0]
        if not own:
            raise Refused(
                f"{principal.user} may not make this", cause="it needs the role contributor in a project", hint=_ASK
            )
        raise UsageError(
            f"say which project it belongs to: {', '.join(own)}",
            hint=f"set the tag {PROJECT_TAG} when making it, or use a token of one project (headway token create)",
        )

    def _named(self, principal: Principal, wanted: str) -> str:
        role = principal.role_in(wanted)
        if role < Role.VIEWER or not self._exists(wanted):
            raise NotFound(f"there is no project {wanted[:128]}", hint="headway project list")
        if role < Role.CONTRIBUTOR:
            raise Refused(f"{principal.user} may only look at {wanted}", hint=_ASK)
        return wanted


_ASK = "ask an administrator: headway user grant NAME PROJECT contributor"
