"""What a project's own tracker says of the commit: its runs, which of them counts, and since when it says nothing."""

from __future__ import annotations

from headway.reports.document import Block, Paragraph, Spans, Table, joined, link, say, strong
from headway.reports.model import ReportView
from headway.reports.numbers import NONE, decimals, number
from headway.tracking.outside import Outside, OutsideRun, minute

_MOST_RUNS = 5
_MOST_METRICS = 4


def elsewhere(view: ReportView) -> list[Block]:
    """One line on the tracker, and a table of its runs; nothing where there is neither a run nor a problem."""
    outside = view.outside
    if outside is None or not (outside.runs or outside.away_since):
        return []
    found: list[Block] = [Paragraph(spans=_line(outside))]
    if outside.runs:
        found.append(_table(view, outside))
    return found


def _line(outside: Outside) -> Spans:
    where = say("Tracked elsewhere, in ", link(outside.host, outside.uri), ", and tagged with this commit")
    if outside.away_since is None:
        return where
    away = f"{outside.host} cannot be reached since {minute(outside.away_since)}"
    away += f": {outside.cause}" if outside.cause else ""
    if not outside.runs or outside.answered_at is None:
        return say(strong(away))
    return (*where, *say(" (as of ", minute(outside.answered_at), "; ", strong(away), ")"))


def _table(view: ReportView, outside: Outside) -> Table:
    shown = outside.runs[:_MOST_RUNS]
    names = _names(view, outside)
    head = ("Run", "State", *names, "By", "Counts")
    rows = tuple(_row(run, outside, names) for run in shown)
    return Table(head=tuple(say(word) for word in head), sides=f"ll{'r' * len(names)}ll", rows=rows)


def _row(run: OutsideRun, outside: Outside, names: list[str]) -> tuple[Spans, ...]:
    values = [run.metrics.get(name) for name in names]
    return (
        joined([say(link(run.name or run.run_id, run.url)), say("external")], " · "),
        say(run.status.lower()),
        *(say(number(value, min(decimals(value), 6))) for value in values),
        say(run.user or NONE),
        say(_counts(run, outside)),
    )


def _counts(run: OutsideRun, outside: Outside) -> str:
    if run is not outside.chosen:
        return NONE
    if not outside.is_judged:
        return "shown only"
    if outside.taken:
        listed = ", ".join(outside.taken[:_MOST_METRICS])
        return f"for {listed}" + (" …" if len(outside.taken) > _MOST_METRICS else "")
    return "beside our own run"


def _names(view: ReportView, outside: Outside) -> list[str]:
    known = {name for run in outside.runs for name in run.metrics}
    wanted = [spec.name for spec in sorted(view.metrics, key=lambda each: not each.primary)]
    named = [name for name in (*wanted, *view.spec.columns) if name in known]
    return list(dict.fromkeys((*named, *sorted(known))))[:_MOST_METRICS]
