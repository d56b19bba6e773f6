"""Logs as JSON lines on standard error, or readable on a terminal; controls and known secrets never get through."""

from __future__ import annotations

import base64
import json
import logging
import re
import sys
from collections import OrderedDict
from collections.abc import MutableMapping
from threading import Lock
from typing import Any
from urllib.parse import quote, quote_plus

# structlog imports rich for tracebacks in colour, which are off here: a sixth of what a server's start imports.
_rich = sys.modules.get("rich")
sys.modules["rich"] = None  # type: ignore[assignment]  # how Python spells "cannot be imported"
import structlog  # noqa: E402

if _rich is None:
    del sys.modules["rich"]
else:
    sys.modules["rich"] = _rich


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
            _without_secrets,
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


# --- secrets ---------------------------------------------------------------------------------------

HIDDEN = "***"
SHORTEST_SECRET = 4
_MOST_HIDDEN = 256  # tokens of an hour each come and go; the newest are the ones that still open something

_TOKEN = re.compile(r"\b(?:gh[pousr]|github_pat)_[A-Za-z0-9_.-]{16,}")  # GitHub's marks; of any length

_hidden: OrderedDict[str, tuple[str, ...]] = OrderedDict()
_hiding = Lock()


def hide(*secrets: str) -> None:
    """Never print these from now on: in logs, in errors, in reports. They may have any length and form."""
    with _hiding:
        for secret in secrets:
            if len(secret) < SHORTEST_SECRET:
                continue
            if secret not in _hidden:
                # The longest first: a short form inside a longer one would leave the rest of it standing.
                _hidden[secret] = tuple(sorted(forms_of(secret), key=lambda each: (-len(each), each)))
            _hidden.move_to_end(secret)
            while len(_hidden) > _MOST_HIDDEN:
                _hidden.popitem(last=False)


def conceal(text: str) -> str:
    """Return the text without anything that was given to `hide`, and without what looks like a forge's token.

    A token may be one that another of our processes took: by its marks alone it is known here.
    """
    text = _TOKEN.sub(HIDDEN, text)
    with _hiding:
        waiting = list(_hidden.values())
    for forms in waiting:
        for form in forms:
            if form in text:
                text = text.replace(form, HIDDEN)
    return text


def forms_of(secret: str) -> set[str]:
    """Return how a secret may look elsewhere: by line, JSON-escaped, URL-encoded, in hex, in base64 at every offset."""
    lines = [line.strip() for line in secret.splitlines() if len(line.strip()) >= 8]
    forms: set[str] = set()
    for each in {secret, secret.strip(), *lines}:
        forms |= {
            each,
            quote(each, safe=""),
            quote(each),
            quote_plus(each),
            quote(each, safe="").lower(),
            json.dumps(each)[1:-1],
            json.dumps(each, ensure_ascii=False)[1:-1],
            repr(each)[1:-1],
            each.encode().hex(),
            *_base64(each.encode()),
        }
    return {form for form in forms if len(form) >= SHORTEST_SECRET}


def _base64(value: bytes) -> set[str]:
    """How the bytes look inside base64 at each of the three offsets, as far as only they decide."""
    forms = set()
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + value).decode()
        start = (offset * 8 + 5) // 6
        # The characters at both ends also hold bits of the neighbours.
        whole = encoded[start : (offset + len(value)) * 8 // 6]
        if len(whole) >= 6:
            forms |= {whole, whole.replace("+", "-").replace("/", "_")}
    forms |= {base64.b64encode(value).decode(), base64.urlsafe_b64encode(value).decode()}
    return forms


def _without_secrets(_logger: object, _name: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in line.items():
        line[key] = _concealed(value)
    return line


def _concealed(value: Any) -> Any:
    if isinstance(value, str):
        return conceal(value)
    if isinstance(value, dict):
        return {_concealed(key): _concealed(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_concealed(each) for each in value]
    return value if value is None or isinstance(value, bool | int | float) else conceal(str(value))
