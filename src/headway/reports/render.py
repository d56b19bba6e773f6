"""A view to one living Markdown comment, within the length that a forge takes; pure."""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Iterable, Sequence

from headway.reports import escape
from headway.reports.document import Document, Section, say
from headway.reports.headline import SHORT
from headway.reports.markdown import write_section, write_spans
from headway.reports.model import Report, ReportState, ReportView
from headway.reports.numbers import count
from headway.reports.sections import NAMES, compose
from headway.reports.template import fill
from headway.reports.wording import true_state

BUDGET = 60_000
"""Characters of a comment: GitHub refuses more than 65,536."""

_NOT_NAME = re.compile(r"[^A-Za-z0-9._-]")

_MUST = {ReportState.FAILED: ("checks",), ReportState.CRASHED: ("crash",)}
"""What a template may move, but not leave out: why it is not green."""


def marker(project: str) -> str:
    """The hidden line that the comment is found by."""
    return f"<!-- headway:report project={_NOT_NAME.sub('_', project)} -->"


def render(view: ReportView, *, secrets: Iterable[str] = ()) -> Report:
    """The report of a view; the same view gives the same text."""
    hidden = tuple(secrets)
    if hidden:
        view = redacted(view, hidden)
    document = compose(view)
    title = write_spans(document.headline, limit=300)
    first = f"{marker(view.project)}\n### {title}"
    state = true_state(view)
    return Report(
        marker=marker(view.project),
        headline=plain(document),
        body=_within(view, document, first=first),
        passed=state in (ReportState.PASSED, ReportState.DEPLOYED) and _release_is_fine(view),
    )


def _release_is_fine(view: ReportView) -> bool:
    if view.state is not ReportState.DEPLOYED or view.release is None:
        return True
    return view.release.state.value not in ("failed", "refused", "rolling_back", "rolled_back")


def plain(document: Document) -> str:
    """The headline without any markup, for a status or the subject of a mail."""
    return escape.clean("".join(span.text for span in document.headline), limit=300)


def _within(view: ReportView, document: Document, *, first: str) -> str:
    """Leave out whole sections, always in the same order, until the text fits; and say which."""
    kept = list(document.sections)
    gone: list[Section] = []
    texts = {section.name: write_section(section) for section in kept}
    while True:
        body = _assemble(view, kept, texts=texts, first=first, gone=gone)
        droppable = [section for section in kept if section.drop]
        if len(body) <= BUDGET:
            return body
        if not droppable:
            return first
        worst = max(droppable, key=lambda section: section.drop)
        kept.remove(worst)
        gone.append(worst)


def _assemble(
    view: ReportView,
    kept: Sequence[Section],
    *,
    texts: dict[str, str],
    first: str,
    gone: Sequence[Section],
) -> str:
    parts = [texts[section.name] for section in kept]
    # Without the sections that were too long, the template's own words may be what does not fit.
    if view.template is not None and len(gone) < len(NAMES) // 2:
        parts = _templated(view, kept, texts=texts, first=first)
    if gone:
        names = ", ".join(section.title for section in gone)
        parts.append(write_spans(say(f"Left out because a comment has a limited length: {names}."), limit=600))
    return "\n\n".join((first, *(part for part in parts if part))) + "\n"


def _templated(view: ReportView, kept: Sequence[Section], *, texts: dict[str, str], first: str) -> list[str]:
    """The team's text with the sections in their places; why it is not green is added where it is missing."""
    here = {section.name for section in kept}
    values = {name: texts.get(name, "") if name in here else "" for name in NAMES}
    values["headline"] = first.split("### ", 1)[1]
    values |= {name: escape.inline(text) for name, text in _words(view).items()}
    text, notes, used = fill(view.template or "", values)
    missing = [name for name in _MUST.get(true_state(view), ()) if name not in used]
    added = [values[name] for name in missing if values[name]]
    said = [f"- {escape.inline(note, limit=300)}" for note in notes[:5]]
    return [*added, text, "\n".join(said)]


def _words(view: ReportView) -> dict[str, str]:
    return {
        "project": view.project,
        "number": str(view.number),
        "commit": view.commit[:SHORT],
        "actor": view.actor,
        "command": view.command,
        "baseline": view.baseline_label,
        "state": true_state(view).value,
        "checks_count": count(len(view.verdict.checks) if view.verdict else 0, "check"),
    }


def redacted(view: ReportView, secrets: tuple[str, ...]) -> ReportView:
    """The view without any of the secrets, before a single character is escaped and their forms change."""
    clean = _redact(view, secrets)
    if not isinstance(clean, ReportView):
        raise TypeError("a redacted view is a view")
    return clean


def _redact(value: object, secrets: tuple[str, ...]) -> object:
    if isinstance(value, str):
        return value if isinstance(value, enum.Enum) else escape.redact(value, secrets)
    if isinstance(value, tuple):
        return tuple(_redact(each, secrets) for each in value)
    if isinstance(value, dict):
        return {_redact(key, secrets): _redact(each, secrets) for key, each in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return dataclasses.replace(value, **{each.name: _redact(getattr(value, each.name), secrets) for each in fields})
    return value
