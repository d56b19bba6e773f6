"""From a view to a document: which parts a state has, and in which order."""

from __future__ import annotations

from collections.abc import Iterator

from headway.gates.model import CheckState
from headway.reports.charts import curve_chart, sparkline, task_graph
from headway.reports.document import (
    Block,
    Diagram,
    Document,
    Fence,
    Fold,
    Items,
    Paragraph,
    Section,
    Spans,
    Table,
    code,
    joined,
    link,
    say,
    strong,
)
from headway.reports.headline import SHORT, headline
from headway.reports.inputs import changed_details, changed_line, moved_line
from headway.reports.model import Curve, ReportState, ReportView
from headway.reports.nextsteps import next_steps
from headway.reports.numbers import about, clock, decimals, duration, money, number
from headway.reports.tables import (
    TOP_ROWS,
    checks_table,
    metrics_table,
    pairs_table,
    plan_table,
    runs_table,
    stages_table,
    task_line,
    tasks_table,
    worst_slice,
)
from headway.reports.wording import blocks, judged, metric_order, primary_row, true_state, worst_first

EARLIER_RUNS = 5
TAIL_LINES = 30
_MOST_NOTES = 8
_MOST_CURVES = 4

NAMES = (
    "summary",
    "release",
    "crash",
    "checks",
    "metrics_table",
    "notes",
    "changed",
    "curves",
    "tasks",
    "runs_table",
    "charts",
    "details",
    "earlier_runs",
    "next_step",
)
"""Every section, in the order of the report without a template."""

# Left out first comes first; the verdict's line and the link to the page are never left out.
_DROP = (
    "charts",
    "details",
    "earlier_runs",
    "tasks",
    "runs_table",
    "curves",
    "notes",
    "changed",
    "metrics_table",
    "checks",
    "release",
    "next_step",
    "crash",
)

_TITLES = {
    "release": "stages of the release",
    "crash": "end of the log",
    "checks": "gates",
    "metrics_table": "metrics",
    "notes": "notes",
    "changed": "what changed",
    "curves": "curves",
    "tasks": "steps",
    "runs_table": "runs of this commit",
    "charts": "charts",
    "details": "all metrics, gates, parameters and steps",
    "earlier_runs": "earlier runs",
    "next_step": "next step",
    "summary": "summary",
}


def compose(view: ReportView) -> Document:
    """Every section that has something to say in this state."""
    state = true_state(view)
    built = {
        "summary": _summary(view, state),
        "release": _release(view, state),
        "crash": _crash(view, state),
        "checks": _checks(view, state),
        "metrics_table": _metrics(view, state),
        "notes": _notes(view),
        "changed": _changed(view, state),
        "curves": _curves(view),
        "tasks": _tasks(view, state),
        "runs_table": _runs(view),
        "charts": _charts(view),
        "details": _details(view),
        "earlier_runs": _earlier(view),
        "next_step": next_steps(view, state),
    }
    sections = [_section(name, built[name]) for name in NAMES if built[name]]
    return Document(headline=headline(view), sections=tuple(sections))


def _section(name: str, parts: list[Block]) -> Section:
    drop = len(_DROP) - _DROP.index(name) if name in _DROP else 0
    return Section(name=name, title=_TITLES[name], blocks=tuple(parts), drop=drop)


def _some(*parts: Block | None) -> list[Block]:
    return [part for part in parts if part is not None]


_JUDGED = (ReportState.PASSED, ReportState.FAILED)


def _summary(view: ReportView, state: ReportState) -> list[Block]:
    """The line of links and costs below the headline."""
    parts: list[Spans] = []
    if state in _JUDGED and view.verdict and view.verdict.checks:
        parts.append(_gates_count(view))
    parts.append(say(link(f"Run #{view.number}", view.url)))
    if view.compare_url:
        parts.append(say(link("full comparison", view.compare_url)))
    if state is ReportState.CRASHED:
        parts.append(say(link("full log", view.log_url or view.url)))
    parts.append(say("commit ", code(view.commit[:SHORT])))
    parts += _crash_facts(view) if state is ReportState.CRASHED else _run_facts(view, state)
    lines = [Paragraph(spans=joined(parts, " · "))]
    if view.already_trained:
        lines.append(Paragraph(spans=_already(view)))
    return list(lines)


def _gates_count(view: ReportView) -> Spans:
    checks = judged(view.verdict) if view.verdict else []
    good = sum(not blocks(check) for check in checks)
    return say(f"{good} of {len(checks)} gates passed")


def _run_facts(view: ReportView, state: ReportState) -> list[Spans]:
    facts = []
    started = say("started by ", code(view.command), f" from {view.actor}") if view.command else say(f"by {view.actor}")
    if state not in _JUDGED:
        facts.append(started)
    if state in _JUDGED and view.seconds is not None and not view.already_trained:
        facts.append(say(duration(view.seconds)))
    if state is ReportState.RUNNING and view.seconds_left is not None:
        facts.append(say(f"{about(view.seconds_left)} left"))
    if view.cost is not None and state is not ReportState.PLANNED and not view.already_trained:
        facts.append(say(money(view.cost, view.currency)))
    return facts


def _crash_facts(view: ReportView) -> list[Spans]:
    crash = view.crash
    if crash is None:
        return []
    facts = [say(f"exit code {crash.exit_code}")] if crash.exit_code is not None else []
    return [*facts, say(f"attempt {crash.attempt} of {crash.attempts}")]


def _already(view: ReportView) -> Spans:
    start = say(strong("Already trained:"), " the same code, data, environment and parameters gave this result")
    where = say(" in ", link(view.earlier_run, view.earlier_url)) if view.earlier_run else ()
    return (*start, *where, *say(". Nothing was run again."))


def _release(view: ReportView, state: ReportState) -> list[Block]:
    release = view.release
    if release is None or state not in (ReportState.DEPLOYED, ReportState.ROLLED_BACK):
        return []
    parts = [say("from commit ", code(release.commit[:SHORT])), say(f"asked for by {release.requested_by}")]
    if release.approved_by:
        parts.append(say(f"approved by {', '.join(release.approved_by)}"))
    if view.release_url:
        parts.append(say(link("deployment", view.release_url)))
    found: list[Block] = [Paragraph(spans=joined(parts, " · ")), *_some(stages_table(release))]
    if release.test_output:
        lines = tuple(release.test_output.splitlines()[:TAIL_LINES])
        found.append(Fold(title="Test in staging: answers, confidence, time", blocks=(Fence(lines=lines),)))
    return found


def _crash(view: ReportView, state: ReportState) -> list[Block]:
    crash = view.crash
    if crash is None or state is not ReportState.CRASHED:
        return []
    found: list[Block] = []
    if crash.reason:
        found.append(Paragraph(spans=say(strong("Reason:"), f" {crash.reason}")))
    if crash.tail:
        found.append(Fence(lines=crash.tail[-TAIL_LINES:]))
    if crash.hint:
        found.append(Paragraph(spans=say(strong("Hint:"), f" {crash.hint}")))
    return found


def _checks(view: ReportView, state: ReportState) -> list[Block]:
    """What stands in the way, in the open; a pass shows only what a reader must know of."""
    verdict = view.verdict
    if verdict is None or state not in _JUDGED:
        return []
    if state is ReportState.FAILED:
        top = worst_first(verdict.checks)[:TOP_ROWS]
    else:
        top = [check for check in worst_first(verdict.checks) if check.judged and check.state is not CheckState.PASSED]
    found = _some(checks_table(view, top[:TOP_ROWS]))
    hidden = sum(blocks(check) for check in verdict.checks) - sum(blocks(check) for check in top[:TOP_ROWS])
    if hidden > 0:
        found.append(Paragraph(spans=say(f"{hidden} more stand in the way: see all gates below.")))
    return found


def _metrics(view: ReportView, state: ReportState) -> list[Block]:
    if state is ReportState.RUNNING:
        return _so_far(view)
    if state not in _JUDGED:
        return []
    rows = metric_order(view)[: TOP_ROWS - 1]
    return _some(metrics_table(view, rows, worst=worst_slice(view) if state is ReportState.PASSED else None))


def _so_far(view: ReportView) -> list[Block]:
    row = primary_row(view)
    parts: list[Spans] = []
    if row is not None and row.candidate is not None:
        places = decimals(row.candidate, row.baseline)
        compared = f" (baseline {number(row.baseline, places)})" if row.baseline is not None else ""
        parts.append(say(code(row.name), " so far ", strong(number(row.candidate, places)), compared))
    if view.updated_at is not None:
        parts.append(say(f"updated {clock(view.updated_at)}"))
    return [Paragraph(spans=joined(parts, " · "))] if parts else []


def _notes(view: ReportView) -> list[Block]:
    notes = tuple(dict.fromkeys((*view.notes, *(view.verdict.notes if view.verdict else ()))))
    if not notes:
        return []
    items = [say(note) for note in notes[:_MOST_NOTES]]
    if len(notes) > _MOST_NOTES:
        items.append(say(f"and {len(notes) - _MOST_NOTES} more on the page of the run"))
    return [Items(items=tuple(items))]


def _changed(view: ReportView, state: ReportState) -> list[Block]:
    if view.changed is None or state not in (*_JUDGED, ReportState.CRASHED):
        return []
    found = [Paragraph(spans=changed_line(view.changed))]
    moved = moved_line(view) if state in _JUDGED else ()
    if moved:
        found.append(Paragraph(spans=moved))
    return list(found)


def _curves(view: ReportView) -> list[Block]:
    items = [line for curve in view.curves[:_MOST_CURVES] if (line := _curve_line(view, curve))]
    return [Items(items=tuple(items))] if items else []


def _curve_line(view: ReportView, curve: Curve) -> Spans:
    line = sparkline(curve.values)
    if not line:
        return ()
    places = decimals(curve.values[0], curve.values[-1])
    ends = f" {number(curve.values[0], places)} → {number(curve.values[-1], places)}"
    steps = f" by step {number(curve.steps[-1], 0)}" if curve.steps else ""
    before = sparkline(curve.baseline_values)
    if not before:
        return say(code(curve.metric), f" {line}{ends}{steps}")
    last = number(curve.baseline_values[-1], places)
    return say(code(curve.metric), f" {line}{ends}{steps}; {view.baseline_label or 'baseline'} {before} → {last}")


def _charts(view: ReportView) -> list[Block]:
    label = view.baseline_label or "baseline"
    drawn = [chart for curve in view.curves[:_MOST_CURVES] if (chart := curve_chart(curve, baseline=label))]
    if not drawn:
        return []
    title = "Learning curve" if len(drawn) == 1 else "Learning curves"
    return [Fold(title=title, blocks=tuple(Diagram(source=chart) for chart in drawn))]


def _tasks(view: ReportView, state: ReportState) -> list[Block]:
    if state in (ReportState.PLANNED, ReportState.QUEUED):
        return _some(plan_table(view))
    if state not in (ReportState.RUNNING, ReportState.CRASHED, ReportState.CANCELLED) or not view.tasks:
        return []
    found: list[Block] = [Paragraph(spans=task_line(view.tasks))]
    graph = task_graph(view.tasks)
    if graph and state is ReportState.RUNNING:
        found.append(Fold(title="Graph", blocks=(Diagram(source=graph),)))
    return found


def _runs(view: ReportView) -> list[Block]:
    """All runs of this commit, where there is more than the one that the report is about."""
    here = [run for run in view.runs if run.is_this_commit]
    if len(here) < 2 and all(run.number == view.number for run in here):
        return []
    table = runs_table(view, here, with_params=True)
    return [Paragraph(spans=say(strong("Runs of this commit"))), table] if table else []


def _earlier(view: ReportView) -> list[Block]:
    before = [run for run in view.runs if not run.is_this_commit]
    table = runs_table(view, before[:EARLIER_RUNS], with_params=False)
    return [Fold(title=f"Earlier runs ({len(before)})", blocks=(table,))] if table else []


def _details(view: ReportView) -> list[Block]:
    """Everything else, one fold: metrics, gates, inputs, parameters, steps, isolation."""
    inner = list(_detail_blocks(view))
    return [Fold(title="All metrics, gates, parameters, environment", blocks=tuple(inner))] if inner else []


def _detail_blocks(view: ReportView) -> Iterator[Block]:
    judged_here = true_state(view) in _JUDGED
    checks = worst_first(view.verdict.checks)[:200] if view.verdict and judged_here else []
    rows = metric_order(view)[:100] if judged_here else []
    tables: list[Table | None] = [metrics_table(view, rows), checks_table(view, checks)]
    tables += changed_details(view.changed) if view.changed else []
    tables.append(pairs_table("Parameter", view.params))
    if judged_here:
        tables.append(tasks_table(view.tasks))
    yield from _some(*tables)
    facts = []
    if view.isolation:
        facts.append(say(f"Isolation: {view.isolation}"))
    if view.seed is not None:
        facts.append(say(f"seed {view.seed}"))
    if facts:
        yield Paragraph(spans=joined(facts, " · "))
