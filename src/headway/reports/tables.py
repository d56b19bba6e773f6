"""Tables of a report: metrics, checks, runs, tasks, stages, inputs."""

from __future__ import annotations

from collections.abc import Sequence

from headway.gates.model import Check, CheckState
from headway.reports.charts import task_mark
from headway.reports.document import Span, Spans, Table, code, joined, link, say, strong
from headway.reports.headline import SHORT
from headway.reports.model import MetricRow, ReportView, RunRow, TaskView
from headway.reports.numbers import (
    NONE,
    clock,
    count,
    decimals,
    delta,
    duration,
    milliseconds,
    money,
    number,
    percent,
    visible,
)
from headway.reports.wording import (
    arrow,
    change_of,
    check_name,
    interval_text,
    is_maximized,
    judged,
    mark,
    metric_order,
    places_of,
    state_word,
    worst_first,
)
from headway.serving.model import Release, StageRecord

MAX_ROWS = 60
"""Rows of a folded table; more of them are on the page of the run."""

TOP_ROWS = 6
"""Rows of a table that a reader sees without opening anything."""


def _head(*words: str) -> tuple[Spans, ...]:
    return tuple(say(word) for word in words)


def metrics_table(view: ReportView, rows: Sequence[MetricRow], *, worst: Check | None = None) -> Table | None:
    """Baseline, this change, the difference and the gate, one metric a row."""
    if not rows:
        return None
    baseline = say(link(view.baseline_label or "baseline", view.baseline_url))
    body = [_metric_row(view, row, is_first=index == 0) for index, row in enumerate(rows)]
    if worst is not None:
        body.append(_worst_row(view, worst))
    head = (say("Metric"), baseline, say("This change"), say("Change"), say("Gate"))
    return Table(head=head, sides="lrrrl", rows=tuple(body))


def _metric_row(view: ReportView, row: MetricRow, *, is_first: bool) -> tuple[Spans, ...]:
    places, change = places_of(row), change_of(row)
    value = number(row.candidate, places)
    return (
        say(code(row.name, strong=is_first), arrow(view, row.name)),
        say(number(row.baseline, places)),
        say(strong(value) if is_first else value),
        say(delta(change, places), _noise(row, change, places)),
        _gate_cell(view, row.name),
    )


def _noise(row: MetricRow, change: float | None, places: int) -> str:
    """The size of what reruns of equal inputs give, and whether the change is larger."""
    if row.noise is None:
        return ""
    size = visible(row.noise, places)
    reruns = f" in {count(row.reruns, 'rerun')}" if row.reruns else ""
    if change is not None and change and abs(change) <= 2 * row.noise:
        return f" (within noise ±{size}{reruns})"
    return f" (noise ±{size}{reruns})"


def _gate_cell(view: ReportView, metric: str) -> Spans:
    """The gates on the whole metric, the worst sign first."""
    checks = [check for check in (view.verdict.checks if view.verdict else ()) if check.metric == metric]
    whole = worst_first([check for check in checks if not check.slice])
    if not whole:
        return say(NONE)
    limits = ", ".join(check.limit for check in whole if check.limit)
    shown = next((check.interval for check in whole if check.interval), None)
    extra = f"; {interval_text(shown, decimals(shown.low, shown.high))}" if shown else ""
    first = "; no baseline yet" if any("no baseline yet" in check.message for check in whole) else ""
    return say(f"{mark(whole[0])} {limits}{extra}{first}".rstrip())


def worst_slice(view: ReportView) -> Check | None:
    """The slice that lost most against the baseline, or, without one, that stands worst."""
    found = [
        check for check in (judged(view.verdict) if view.verdict else []) if check.slice and check.candidate is not None
    ]
    ranked = worst_first(found)
    return min(ranked, key=lambda check: _goodness(view, check)) if ranked else None


def _goodness(view: ReportView, check: Check) -> tuple[int, float]:
    value = check.change if check.change is not None else check.candidate or 0.0
    return (0 if check.change is not None else 1, value if is_maximized(view, check.metric) is not False else -value)


def _worst_row(view: ReportView, check: Check) -> tuple[Spans, ...]:
    places = decimals(check.candidate, check.baseline)
    return (
        say("worst slice: ", code(check.slice), " ", code(check.metric), arrow(view, check.metric)),
        say(number(check.baseline, places)),
        say(number(check.candidate, places)),
        say(delta(check.change, places)),
        say(f"{mark(check)} {check.limit}".rstrip()),
    )


def checks_table(view: ReportView, checks: Sequence[Check]) -> Table | None:
    """One check a row: both sides, the limit, and why it is not simply passed."""
    if not checks:
        return None
    head = (
        say("Gate"),
        say(link(view.baseline_label or "baseline", view.baseline_url)),
        *_head("This change", "Change", "Limit", ""),
    )
    return Table(head=head, sides="lrrrll", rows=tuple(_check_row(check) for check in checks))


def _check_row(check: Check) -> tuple[Spans, ...]:
    places = decimals(check.candidate, check.baseline)
    rows = f" (n = {check.rows:,})" if check.rows is not None else ""
    value = number(check.candidate, places)
    # Evidence that is missing is not a dash among others.
    value = "missing" if check.state is CheckState.MISSING and check.candidate is None else value
    return (
        (*check_name(check), *say(rows)),
        say(number(check.baseline, places)),
        say(value),
        say(delta(check.change, places)),
        say(check.limit or NONE),
        say(f"{mark(check)} ", _why(check)),
    )


def _why(check: Check) -> str:
    word = state_word(check)
    if check.state is CheckState.OVERRIDDEN:
        return f"{word}: {check.override_reason}" + (f" ({check.message})" if check.message else "")
    if check.interval is not None and not check.message:
        return interval_text(check.interval, decimals(check.interval.low, check.interval.high))
    if check.state is CheckState.PASSED:
        return check.message
    return f"{word}: {check.message}" if check.message else word


def runs_table(view: ReportView, runs: Sequence[RunRow], *, with_params: bool) -> Table | None:
    """Runs side by side: the primary metric, the columns that the project asks for, and what was tried."""
    if not runs:
        return None
    names = _run_metrics(view)
    varied = _varied(runs) if with_params else []
    head = _head("Run", "Commit", *names, *(["Parameters"] if varied else []), "Verdict")
    rows = []
    for run in runs[:MAX_ROWS]:
        here = run.number == view.number
        cells: list[Spans] = [
            say(link(f"#{run.number}", run.url), " (this)" if here else ""),
            say(code(run.commit[:SHORT])),
            *(say(number(run.metrics.get(name), _places(runs, name))) for name in names),
        ]
        if varied:
            params = [say(code(f"{name}={run.params[name]}")) for name in varied if name in run.params]
            cells.append(joined(params, " ") or say(NONE))
        rows.append((*cells, say(run.headline or run.state)))
    return Table(head=head, sides=f"ll{'r' * len(names)}{'l' if varied else ''}l", rows=tuple(rows))


def _run_metrics(view: ReportView) -> list[str]:
    rows = metric_order(view)
    listed = [spec.name for spec in view.metrics if spec.primary] or [row.name for row in rows[:1]]
    return list(dict.fromkeys((*listed, *view.spec.columns)))[:8]


def _places(runs: Sequence[RunRow], name: str) -> int:
    values = [run.metrics[name] for run in runs if name in run.metrics]
    return min(decimals(*values), 6)


def _varied(runs: Sequence[RunRow]) -> list[str]:
    """The parameters that are not the same in all runs."""
    names = dict.fromkeys(name for run in runs for name in run.params)
    return [name for name in names if len({run.params.get(name) for run in runs}) > 1][:5]


def plan_table(view: ReportView) -> Table | None:
    """What would be done: run or reuse, why, for how long and for how much."""
    if not view.tasks:
        return None
    priced = any(task.expected_cost is not None for task in view.tasks)
    head = _head("Step", "Will", "Why", "Time", *(["Cost"] if priced else []))
    rows = tuple(_plan_row(view, task, priced=priced) for task in view.tasks[:MAX_ROWS])
    return Table(head=head, sides="lllrr"[: len(head)], rows=rows)


def _plan_row(view: ReportView, task: TaskView, *, priced: bool) -> tuple[Spans, ...]:
    will = "reuse" if task.state == "reused" else "run"
    cost = money(task.expected_cost, view.currency) if task.expected_cost is not None else NONE
    return (
        say(code(task.name)),
        say(will),
        say(task.why or NONE),
        say(duration(task.expected_seconds)),
        *((say(cost),) if priced else ()),
    )


def tasks_table(tasks: Sequence[TaskView]) -> Table | None:
    """How each task went, and why it ran or was reused."""
    if not tasks:
        return None
    rows = tuple(
        (say(code(task.name)), say(task_mark(task) or task.state), say(task.why or NONE)) for task in tasks[:MAX_ROWS]
    )
    return Table(head=_head("Step", "State", "Why"), sides="lll", rows=rows)


def task_line(tasks: Sequence[TaskView]) -> Spans:
    """The tasks in one line, as long as that can be read."""
    parts: list[Spans] = [say(code(task.name), f" {task_mark(task)}".rstrip()) for task in tasks[:12]]
    if len(tasks) > 12:
        parts.append(say(f"and {len(tasks) - 12} more"))
    return joined(parts, " → ")


def stages_table(release: Release) -> Table | None:
    """The stages of a rollout as they went."""
    if not release.stages:
        return None
    rows = tuple(_stage_row(stage) for stage in release.stages[-MAX_ROWS:])
    head = _head("Stage", "Traffic", "Since", "Requests", "Errors", "p95", "Result")
    return Table(head=head, sides="lrlrrrl", rows=rows)


def _stage_row(stage: StageRecord) -> tuple[Spans, ...]:
    return (
        say(stage.stage),
        say(f"{stage.weight} %" if stage.stage != "staging" else NONE),
        say(clock(stage.since)),
        say(f"{stage.requests:,}"),
        say(percent(stage.error_rate)),
        say(milliseconds(stage.latency_p95_ms)),
        say(_stage_result(stage.result)),
    )


def _stage_result(result: str) -> str:
    if not result:
        return "⏳"
    return "✅" if result == "passed" else f"❌ {result}"


def pairs_table(title: str, values: dict[str, str]) -> Table | None:
    """Names and values, for parameters."""
    if not values:
        return None
    rows = tuple((say(code(name)), say(code(value))) for name, value in sorted(values.items())[:MAX_ROWS])
    return Table(head=_head(title, "Value"), sides="ll", rows=rows)


def moves_table(title: str, moves: dict[str, tuple[str, str]]) -> Table | None:
    """Before and now, for everything that differs."""
    if not moves:
        return None
    rows = tuple(
        (say(code(name)), _side(before), _side(now)) for name, (before, now) in sorted(moves.items())[:MAX_ROWS]
    )
    return Table(head=_head(title, "Before", "Now"), sides="lll", rows=rows)


def _side(value: str) -> tuple[Span, ...]:
    return say(code(value)) if value else say("absent")
