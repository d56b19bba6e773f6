"""What a caller may see, as a condition of SQL: a list filters before it counts, sorts or pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from headway.auth.model import Principal, Role
from headway.db import schema

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

# A condition with its values, as a piece of text with `?`; "" where everything is in sight.
Sight = tuple[str, Sequence[str]]
EVERYTHING: Sight = ("", ())


def in_sight(principal: Principal, column: ColumnElement[Any]) -> list[ColumnElement[bool]]:
    """Return the conditions (none or one) that keep a query to what the caller may see; `column` holds a project."""
    reach = principal.reach
    if reach is None or reach.floor >= Role.VIEWER:
        return []
    if reach.default >= Role.VIEWER:
        return [column.not_in([name for name, role in reach.projects.items() if role < Role.VIEWER])]
    return [column.in_([name for name, role in reach.projects.items() if role >= Role.VIEWER])]


def repos_in_sight(principal: Principal, column: ColumnElement[Any]) -> list[ColumnElement[bool]]:
    """Return the same for a column that holds the id of a repository."""
    seen = in_sight(principal, schema.repo.c.project)
    return [column.in_(select(schema.repo.c.id).where(*seen))] if seen else []


def sight_text(principal: Principal, column: str) -> Sight:
    """Return the same for the tracking store, which writes its statements itself."""
    reach = principal.reach
    if reach is None or reach.floor >= Role.VIEWER:
        return EVERYTHING
    sees_rest = reach.default >= Role.VIEWER
    names = [name for name, role in reach.projects.items() if (role >= Role.VIEWER) != sees_rest]
    if not names:
        return ("1 = 0", ())
    return f"{column} {'not in' if sees_rest else 'in'} ({', '.join('?' * len(names))})", names
