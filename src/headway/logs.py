"""Logs as JSON lines on standard error, or readable ones on a terminal; control characters never get through."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog


def configure(*, process: str) -> None:
    """Set up logging for a whole process; `process` names it on every line."""
    is_terminal = sys.stderr.isatty()
    readable = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer: Any = readable if is_terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _printable,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)


def logger() -> Any:
    """Return the logger; every call names its event and gives values as keywords."""
    return structlog.get_logger()


def _printable(_logger: object, _name: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    # A newline or an escape sequence in a value must not forge a line or rewrite a terminal.
    for key, value in line.items():
        if isinstance(value, str) and key != "exception":
            line[key] = "".join(letter if letter.isprintable() else "�" for letter in value)
    return line
