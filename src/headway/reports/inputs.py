"""What changed beside what moved."""

from __future__ import annotations

from headway.reports.document import Spans, Table, code, joined, say, strong
from headway.reports.model import ReportView, WhatChanged
from headway.reports.numbers import NONE, count, delta
from headway.reports.tables import MAX_ROWS, moves_table, worst_slice
from headway.reports.wording import change_of, metric_order, places_of

_SHOWN = 4
"""Names said in a line before the rest is only counted."""


def changed_line(changed: WhatChanged) -> Spans:
    """Code, parameters, data and environment against the baseline, in one line."""
    files = _files(changed.files)
    params = _moves("", changed.params) or say("parameters same")
    data = _moves("data: ", changed.data) or say("data same")
    packages = _moves("environment: ", changed.packages) or say("environment same")
    return (*say(strong("What changed:"), " "), *joined([files, params, data, packages], " · "))


def _files(files: tuple[str, ...]) -> Spans:
    if not files:
        return say("code same")
    if len(files) > 2:
        return say(count(len(files), "file"))
    return joined([say(code(name)) for name in files], ", ")


def _moves(prefix: str, moves: dict[str, tuple[str, str]]) -> Spans:
    if not moves:
        return ()
    parts = [_move(name, *sides) for name, sides in sorted(moves.items())[:_SHOWN]]
    if len(moves) > _SHOWN:
        parts.append(say(f"{len(moves) - _SHOWN} more"))
    return (*say(prefix), *joined(parts, ", "))


def _move(name: str, before: str, now: str) -> Spans:
    if not before:
        return say(code(name), f" {_short(now)} added")
    if not now:
        return say(code(name), f" {_short(before)} removed")
    return say(code(name), f" {_short(before)} → {_short(now)}")


def _short(value: str) -> str:
    """Digests and long values by their first characters."""
    return value if len(value) <= 24 else f"{value[:12]}…"


def moved_line(view: ReportView) -> Spans:
    """The metrics that moved, and the slice that lost most."""
    parts = []
    for row in metric_order(view):
        change = change_of(row)
        text = delta(change, places_of(row))
        if change is not None and text not in ("0", NONE):
            hidden = row.noise is not None and abs(change) <= 2 * row.noise
            parts.append(say(code(row.name), f" {text}", " (within noise)" if hidden else ""))
    if not parts and not any(change_of(row) is not None for row in view.rows):
        return ()
    shown = parts[:_SHOWN] or [say("nothing")]
    if len(parts) > _SHOWN:
        shown.append(say(f"{len(parts) - _SHOWN} more"))
    worst = worst_slice(view)
    if worst is not None and worst.change is not None:
        shown.append(say("worst slice ", code(worst.slice), f" {delta(worst.change, 3)}"))
    return (*say(strong("What moved:"), " "), *joined(shown, " · "))


def changed_details(changed: WhatChanged) -> list[Table | None]:
    """Every input that differs, in tables."""
    files = tuple((say(code(name)),) for name in changed.files[:MAX_ROWS])
    return [
        Table(head=(say("Changed file"),), sides="l", rows=files) if files else None,
        moves_table("Changed parameter", changed.params),
        moves_table("Changed data", changed.data),
        moves_table("Changed package", changed.packages),
    ]
