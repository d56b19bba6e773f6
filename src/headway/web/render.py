"""Templates to HTML: everything foreign is escaped and stripped of what cannot be seen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from headway.reports import numbers
from headway.reports.document import Spans
from headway.reports.escape import LINE_LIMIT, terminal_line
from headway.tracking.outside import host_of
from headway.web.assets import asset
from headway.web.markdown import to_html
from headway.web.states import sign
from headway.web.unseen import visible

SHORT = 7


def _shown(value: object) -> object:
    if value is None:
        return numbers.NONE
    if isinstance(value, str) and not isinstance(value, Markup):
        return visible(value)
    return value


def when(at: datetime | int | None) -> Markup:
    """Return an instant as `<time>`; the page's script turns it into the reader's words ("5 min ago")."""
    if at is None:
        return Markup("–")
    instant = datetime.fromtimestamp(at / 1000, UTC) if isinstance(at, int) else at.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        instant.isoformat(timespec="seconds"), f"{instant:%d %b %H:%M} UTC"
    )


def href(text: str) -> str:
    """Return an address that may be linked to: http or a path of ours; else nothing."""
    return text if re.match(r"(https?://[^\s\\]|/(?![/\\]))", text) else ""


def path_part(text: object) -> str:
    """Return a name as one segment of a path."""
    return quote(str(text), safe="")


def query(values: Mapping[str, object]) -> str:
    """Return a query string of everything that is set."""
    kept = {name: value for name, value in values.items() if value not in (None, "", ())}
    return f"?{urlencode(kept, doseq=True)}" if kept else ""


def log_line(text: str) -> str:
    """Return a line of a log as it may be shown."""
    return terminal_line(text)[: LINE_LIMIT * 10]


def unmarked(spans: Spans) -> Spans:
    """Return a headline without its leading sign: the page shows the state in its own way."""
    if not spans:
        return spans
    return (replace(spans[0], text=_MARK.sub("", spans[0].text)), *spans[1:])


_MARK = re.compile(r"\A[^\w<@#`'\"(]+")


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "when": when,
        "href": href,
        "part": path_part,
        "query": query,
        "number": numbers.number,
        "delta": numbers.delta,
        "duration": numbers.duration,
        "ms": numbers.milliseconds,
        "percent": numbers.percent,
        "host": host_of,
        "short": lambda text: str(text or "")[:SHORT],
        "log_line": log_line,
        "unmarked": unmarked,
        "markdown": to_html,
        "kind": lambda value: type(value).__name__,
    }
    made.globals |= {"asset": asset, "sign": sign, "count": numbers.count, "decimals": numbers.decimals}
    return made


_ENVIRONMENT = _environment()


def fill(template: str, values: Mapping[str, Any]) -> str:
    """Return a template filled with values; a name that it needs and does not get is an error."""
    return _ENVIRONMENT.get_template(template).render(values)
