"""From a view to a document: which parts a state has, and in which order."""

from __future__ import annotations

from collections.abc import Iterator

from headway.gates.model import Check, CheckState
from headway.reports import escape
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
    code,
    joined,
    link,
    say,
    strong,
)
from headway.reports.elsewhere import elsewhere
from headway.reports.headline import SHORT, headline
from headway.reports.inputs import changed_details, changed_line, moved_line
from headway.reports.model import Curve, ReportState, ReportView
from headway.reports.nextsteps import next_steps
from headway.reports.numbers import about, clock, count, decimals, duration, money, number
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
_MOST_METRICS = 100
_MOST_CHECKS = 200

NAMES = (
    "summary",
    "release",
    "crash",
    "checks",
    "metrics_table",
    "elsewhere",
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
    "elsewhere",
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
    "elsewhere": "runs tracked elsewhere",
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
        "elsewhere": [] if state in _RELEASED else elsewhere(view),
        "notes": _notes(view, state),
        "changed": _changed(view, state),
        "curves": _curves(view, state),
        "tasks": _tasks(view, state),
        "runs_table": _runs(view, state),
        "charts": _charts(view, state),
        "details": _details(view, state),
        "earlier_runs": _earlier(view, state),
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
_RELEASED = (ReportState.DEPLOYED, ReportState.ROLLED_BACK)
_DRAWN = (*_JUDGED, ReportState.RUNNING)


def _summary(view: ReportView, state: ReportState) -> list[Block]:
    """The line of links and costs below the headline."""
    if state in _RELEASED:
        return [Paragraph(spans=_release_facts(view))]
    parts: list[Spans] = []
    if state in _JUDGED and view.verdict and view.verdict.checks:
        parts.append(_gates_count(view))
    if view.number:
        parts.append(say(link(f"Job #{view.number}", view.url)))
    if view.compare_url:
        parts.append(say(link("full comparison", view.compare_url)))
    if state is ReportState.CRASHED:
        parts.append(say(link("full log", view.log_url or view.url)))
    parts.append(say("commit ", code(view.commit[:SHORT])))
    parts += _crash_facts(view) if state is ReportState.CRASHED else _run_facts(view, state)
    lines = [Paragraph(spans=joined(parts, " · "))]
    if view.already_trained and state in _JUDGED:
        lines.append(Paragraph(spans=_already(view)))
    return list(lines)


def _gates_count(view: ReportView) -> Spans:
    checks = judged(view.verdict) if view.verdict else []
    passed = sum(check.state is CheckState.PASSED for check in checks)
    accepted = sum(check.state is CheckState.OVERRIDDEN for check in checks)
    warned = len(checks) - passed - accepted - sum(map(blocks, checks))
    words = [f"{passed} of {len(checks)} gates passed"]
    words += [f"{accepted} accepted"] if accepted else []
    words += [count(warned, "warning")] if warned else []
    return say(", ".join(words))


def _run_facts(view: ReportView, state: ReportState) -> list[Spans]:
    facts = []
    if state not in _JUDGED:
        asked = "asked for" if state is ReportState.PLANNED else "started"
        with_command = say(f"{asked} by ", code(view.command), f" from {view.actor}")
        facts.append(with_command if view.command else say(f"{asked} by {view.actor}"))
    elif view.seconds is not None and not view.already_trained:
        facts.append(say(duration(view.seconds)))
    if state is ReportState.RUNNING and view.seconds_left is not None:
        facts.append(say(f"{about(view.seconds_left)} left"))
    # What was spent, or nothing: a plan says what it would cost in its own line.
    if view.cost is not None and state not in (ReportState.PLANNED, ReportState.QUEUED) and not view.already_trained:
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


def _release_facts(view: ReportView) -> Spans:
    release = view.release
    run = link(f"job #{view.number}", view.url)
    if release is None:
        return say("From commit ", code(view.commit[:SHORT]), ", ", run)
    parts = [say("From commit ", code(release.commit[:SHORT]), ", ", run), say(f"asked for by {release.requested_by}")]
    if release.approved_by:
        parts.append(say(f"approved by {', '.join(release.approved_by)}"))
    if view.release_url:
        parts.append(say(link("deployment", view.release_url)))
    return joined(parts, " · ")


def _release(view: ReportView, state: ReportState) -> list[Block]:
    release = view.release
    if release is None or state not in _RELEASED:
        return []
    found = _some(stages_table(release))
    if release.test_output:
        lines = tuple(release.test_output.splitlines()[:TAIL_LINES])
        found.append(Fold(title="Test in staging: answers, confidence, time", blocks=(Fence(lines=lines),)))
    return found


def _crash(view: ReportView, state: ReportState) -> list[Block]:
    crash = view.crash
    if crash is None or state is not ReportState.CRASHED:
        return []
    found: list[Block] = []
    if crash.reason and not any(crash.reason in escape.clean(line) for line in crash.tail):
        found.append(Paragraph(spans=say(strong("Reason:"), f" {crash.reason}")))
    if crash.tail:
        found.append(Fence(lines=crash.tail[-TAIL_LINES:]))
    if crash.hint:
        found.append(Paragraph(spans=say(strong("Hint:"), f" {crash.hint}")))
    return found


def _checks(view: ReportView, state: ReportState) -> list[Block]:
    """What stands in the way and what was accepted knowingly, in the open."""
    top = _open_checks(view, state)
    found = _withheld(view, state)
    found += _some(checks_table(view, top))
    hidden = sum(map(blocks, view.verdict.checks if view.verdict else ())) - sum(map(blocks, top))
    if top and hidden > 0:
        found.append(Paragraph(spans=say(f"{hidden} more stand in the way: all gates are below.")))
    return found


def _withheld(view: ReportView, state: ReportState) -> list[Block]:
    """Why the numbers are not the commit's, what would judge it, and whose word stands meanwhile."""
    if view.verdict is None or not view.verdict.withheld or state not in _JUDGED:
        return []
    stands = f" The required status stays that of {view.decided_by}." if view.decided_by else ""
    why = view.verdict.withheld
    words = say(
        strong(f"{why[:1].upper()}{why[1:]}."),
        f" This run judges no commit.{stands} To have these values judged, commit them; to judge the commit as it is, ",
        "comment " if view.is_change else "",
        code("/train"),
        " without them.",
    )
    return [Paragraph(spans=words)]


def _open_checks(view: ReportView, state: ReportState) -> list[Check]:
    """The checks that a reader sees without opening anything: those that did not simply pass."""
    if view.verdict is None or state not in _JUDGED:
        return []
    odd = [check for check in worst_first(view.verdict.checks) if check.judged and check.state is not CheckState.PASSED]
    return odd[:TOP_ROWS]


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


def _notes(view: ReportView, state: ReportState) -> list[Block]:
    judged_notes = view.verdict.notes if view.verdict and state in _JUDGED else ()
    notes = tuple(dict.fromkeys((*view.notes, *judged_notes)))
    if not notes:
        return []
    items = [say(note) for note in notes[:_MOST_NOTES]]
    if len(notes) > _MOST_NOTES:
        items.append(say(f"and {len(notes) - _MOST_NOTES} more on the page of the job"))
    return [Items(items=tuple(items))]


def _changed(view: ReportView, state: ReportState) -> list[Block]:
    if view.changed is None or state not in (*_JUDGED, ReportState.CRASHED):
        return []
    found = [Paragraph(spans=changed_line(view.changed))]
    moved = moved_line(view) if state in _JUDGED else ()
    if moved:
        found.append(Paragraph(spans=moved))
    return list(found)


def _curves(view: ReportView, state: ReportState) -> list[Block]:
    if state not in _DRAWN:
        return []
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


def _charts(view: ReportView, state: ReportState) -> list[Block]:
    if state not in _DRAWN:
        return []
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


def _runs(view: ReportView, state: ReportState) -> list[Block]:
    """All runs of this commit, where there is more than the one that the report is about."""
    here = [run for run in view.runs if run.is_this_commit]
    if state in _RELEASED or all(run.number == view.number for run in here):
        return []
    table = runs_table(view, here, with_params=True)
    return [Paragraph(spans=say(strong("Runs of this commit"))), table] if table else []


def _earlier(view: ReportView, state: ReportState) -> list[Block]:
    """The runs of older commits; a release is about one run, so all of them are history there."""
    before = [run for run in view.runs if not run.is_this_commit or state in _RELEASED]
    table = runs_table(view, before[:EARLIER_RUNS], with_params=False)
    title = "Runs of this change" if state in _RELEASED else "Earlier runs of this change"
    return [Fold(title=f"{title} ({len(before)})", blocks=(table,))] if table else []


def _details(view: ReportView, state: ReportState) -> list[Block]:
    """Everything else in one fold: the other metrics and gates, inputs, parameters, steps, isolation."""
    if state in _RELEASED:
        return []
    parts = [*_judged_details(view, state), *_input_details(view)]
    if not parts:
        return []
    names = [name for name, _ in parts]
    title = ", ".join(dict.fromkeys(name for name in names if name)) or "how it ran"
    return [Fold(title=title[:1].upper() + title[1:], blocks=tuple(block for _, block in parts))]


def _judged_details(view: ReportView, state: ReportState) -> Iterator[tuple[str, Block]]:
    """What the open tables leave out."""
    if state not in _JUDGED:
        return
    rows = metric_order(view)
    if len(rows) > TOP_ROWS - 1 and (table := metrics_table(view, rows[:_MOST_METRICS])):
        yield "all metrics", table
    top = _open_checks(view, state)
    rest = [check for check in worst_first(view.verdict.checks if view.verdict else ()) if check not in top]
    if table := checks_table(view, rest[:_MOST_CHECKS]):
        yield ("the other gates" if top else "gates"), table


def _input_details(view: ReportView) -> Iterator[tuple[str, Block]]:
    for table in changed_details(view.changed) if view.changed else ():
        if table is not None:
            yield "changes", table
    if table := pairs_table("Parameter", view.params):
        yield "parameters", table
    if true_state(view) in _JUDGED and (steps := tasks_table(view.tasks)):
        yield "steps", steps
    facts = [say(f"Isolation: {view.isolation}")] if view.isolation else []
    if view.seed is not None:
        facts.append(say(f"seed {view.seed}"))
    if facts:
        yield "", Paragraph(spans=joined(facts, " · "))
