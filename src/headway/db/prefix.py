"""Finding ids by their first characters, by way of the index on them: testing each row would read the whole table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

# No letter, digit, dash or underscore comes after it, in whatever order of letters a PostgreSQL database has.
_LAST = "z"
_LONGEST = 64


def begins_with(column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """Return the condition that an id of at most 64 letters, digits, dashes and underscores begins so."""
    near = column.between(text, text + _LAST * _LONGEST)
    return and_(near, func.substr(column, 1, len(text)) == text)
