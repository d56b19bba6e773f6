"""Secrets of projects: set and named, never shown again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlalchemy import and_, delete, select

from headway.db import events, schema
from headway.errors import NotFound, TooLarge, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

EVERY_REPO = ""

_NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,62}\Z")
_LIMIT = 64 * 1024
# What the launcher sets by itself: a secret of that name would redirect a training's own tools.
_TAKEN = ("HEADWAY_", "MLFLOW_", "LD_", "PYTHON")


class SecretStore:
    """The secrets, inside one transaction.

    Values lie unencrypted in the database, whose file only the owner of the data directory may read (0600):
    a key beside the lock would keep nobody out. No method but `values_for` and `all_values` returns a value,
    and no answer of the API may carry one.
    """

    def __init__(self, tx: Connection) -> None:
        """Work inside the caller's transaction."""
        self._tx = tx

    def set(self, repo_id: str, name: str, *, value: str, by: str, at: datetime) -> None:
        """Keep a value under a name, in place of an earlier one; `EVERY_REPO` serves all repositories.

        Raises:
            UsageError: the name cannot be an environment variable of a task, or the value is empty.
            TooLarge: the value is longer than 64 KB.
        """
        _check(name, value)
        is_new = self._tx.execute(delete(schema.secret).where(_named(repo_id, name))).rowcount == 0
        self._tx.execute(
            schema.secret.insert().values(repo_id=repo_id, name=name, value=value.encode(), set_by=by, set_at=at),
        )
        # The name is told, the value is not.
        events.record(
            self._tx,
            "secret",
            f"{repo_id}/{name}",
            to_state="set" if is_new else "replaced",
            at=at,
            actor=by,
        )

    def list_names(self, repo_id: str) -> tuple[str, ...]:
        """Return the names that a repository can use, its own and everybody's, sorted."""
        rows = self._tx.execute(
            select(schema.secret.c.name).where(schema.secret.c.repo_id.in_([repo_id, EVERY_REPO])).distinct(),
        )
        return tuple(sorted(rows.scalars()))

    def remove(self, repo_id: str, name: str, *, by: str, at: datetime) -> None:
        """Forget a secret.

        Raises:
            NotFound: there is none of that name at that place.
        """
        if self._tx.execute(delete(schema.secret).where(_named(repo_id, name))).rowcount == 0:
            raise NotFound(f"no secret {name}", hint="headway secret list")
        events.record(self._tx, "secret", f"{repo_id}/{name}", from_state="set", to_state="removed", at=at, actor=by)

    def values_for(self, repo_id: str, names: Iterable[str]) -> dict[str, str]:
        """Return the values that a task is started with; a repository's own wins over everybody's.

        Raises:
            NotFound: one of the names was never set.
        """
        wanted = list(names)
        found = {name: value for name, value in self._values(repo_id) if name in wanted}
        missing = [name for name in wanted if name not in found]
        if missing:
            raise NotFound(
                f"no secret {missing[0]}",
                cause="headway.yaml asks for it under env.secrets",
                hint=f"headway secret set {missing[0]}",
            )
        return found

    def all_values(self, repo_id: str) -> tuple[str, ...]:
        """Return every value that a repository's logs and reports must never show."""
        return tuple(sorted({value for _, value in self._values(repo_id)}))

    def _values(self, repo_id: str) -> list[tuple[str, str]]:
        table = schema.secret
        rows = self._tx.execute(
            # The empty repository sorts first, so that a repository's own value comes later and wins.
            select(table.c.name, table.c.value)
            .where(table.c.repo_id.in_([repo_id, EVERY_REPO]))
            .order_by(table.c.repo_id),
        )
        return [(row.name, bytes(row.value).decode()) for row in rows]


def _named(repo_id: str, name: str) -> ColumnElement[bool]:
    return and_(schema.secret.c.repo_id == repo_id, schema.secret.c.name == name)


def _check(name: str, value: str) -> None:
    if not _NAME.match(name):
        raise UsageError(
            f"{name!r} is not a usable name of a secret",
            cause="it becomes an environment variable",
            hint="capital letters, digits and underscores, not starting with a digit; at most 63",
        )
    if name.startswith(_TAKEN) or name in ("PATH", "HOME"):
        raise UsageError(
            f"a secret cannot be called {name}",
            cause="Headway, Python or the loader reads that variable itself",
            hint="choose another name",
        )
    if not value or "\0" in value:
        raise UsageError(f"the value of {name} is empty or has a zero byte", hint="give the value on standard input")
    if len(value.encode()) > _LIMIT:
        raise TooLarge(f"the value of {name} is longer than {_LIMIT} bytes")
