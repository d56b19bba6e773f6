"""Column types: instants as whole milliseconds, records as JSON text."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Dialect, Text
from sqlalchemy.types import TypeDecorator

from headway.clock import from_millis, to_millis


class Instant(TypeDecorator[datetime]):
    """An aware UTC instant, kept as milliseconds since 1970: equal on both databases and in JSON."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> int | None:
        """To the database."""
        return None if value is None else to_millis(value)

    def process_result_value(self, value: int | None, _dialect: Dialect) -> datetime | None:
        """From the database."""
        return None if value is None else from_millis(value)


class Json(TypeDecorator[Any]):
    """Anything that msgspec encodes, as JSON text; comes back as plain lists and mappings."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: Dialect) -> str | None:
        """To the database."""
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, _dialect: Dialect) -> Any:
        """From the database."""
        return None if value is None else msgspec.json.decode(value)
