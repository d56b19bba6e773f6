"""Curves as text: sparklines that survive everywhere, and Mermaid where it is drawn."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise

from headway.reports.model import Curve, TaskView
from headway.reports.numbers import duration

_BARS = "▁▂▃▄▅▆▇█"
MAX_POINTS = 60
MAX_TASKS = 40


def sparkline(values: Sequence[float], *, width: int = 20) -> str:
    """A curve in one line; a gap where values are not finite, "" where none is."""
    parts = _buckets(values, width)
    finite = [each for each in parts if each is not None]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    return "".join("·" if each is None else _bar(each, low, high) for each in parts)


def _bar(value: float, low: float, high: float) -> str:
    if high == low:
        return _BARS[3]
    # Halved first: the range of two huge numbers of different sign is infinite.
    share = (value / 2 - low / 2) / (high / 2 - low / 2)
    return _BARS[min(len(_BARS) - 1, int(share * len(_BARS)))]


def _buckets(values: Sequence[float], width: int) -> list[float | None]:
    """Means of equal parts; the last value of all stays the last."""
    if len(values) <= width:
        return [each if math.isfinite(each) else None for each in values]
    parts: list[float | None] = []
    for index in range(width):
        part = values[index * len(values) // width : (index + 1) * len(values) // width]
        finite = [each for each in part if math.isfinite(each)]
        parts.append(sum(each / len(finite) for each in finite) if finite else None)
    return parts


def curve_chart(curve: Curve, *, baseline: str = "baseline") -> str | None:
    """Mermaid's `xychart-beta` of a curve and its baseline; None where fewer than two points are finite.

    The grammar takes no exponents, no NaN, no empty list and no trailing dot (mermaid 10.9 and 11): numbers have fixed
    decimals, both lines share the same steps, and what is too small or too large is scaled, which the axis says.
    """
    ours = _finite(curve.steps, curve.values)
    if len(ours) < 2:
        return None
    steps = _steps([step for step, _ in ours])
    lines = [[_at(ours, step) for step in steps]]
    theirs = _finite(curve.baseline_steps, curve.baseline_values)
    title = f"{curve.metric} by step"
    if len(theirs) >= 2:
        lines.append([_at(theirs, step) for step in steps])
        ended = f", ended at step {_fixed(theirs[-1][0], 0)}" if theirs[-1][0] < steps[-1] else ""
        title += f" (1st line: this change, 2nd line: {baseline}{ended})"
    scale, unit = _scale(lines)
    scaled = [[value * scale for value in line] for line in lines]
    low, high = _range(scaled)
    places = _places(high - low)
    text = [
        "xychart-beta",
        f"    title {_quoted(title)}",
        f'    x-axis "step" {_fixed(steps[0], 3)} --> {_fixed(steps[-1], 3)}',
        f"    y-axis {_quoted(curve.metric + unit)} {_fixed(low, places)} --> {_fixed(high, places)}",
    ]
    text += [f"    line [{', '.join(_fixed(value, places) for value in line)}]" for line in scaled]
    return "\n".join(text)


def _finite(steps: Sequence[float], values: Sequence[float]) -> list[tuple[float, float]]:
    """Points in the order of steps, the last value of a step that comes twice."""
    points = {
        step: value
        for step, value in zip(steps, values, strict=False)
        if math.isfinite(step) and math.isfinite(value) and abs(step) < 1e12 and abs(value) < 1e100
    }
    return sorted(points.items())


def _steps(found: list[float]) -> list[float]:
    """Evenly spread steps: Mermaid spreads the points of a line evenly, whatever their steps are."""
    points = min(MAX_POINTS, max(len(found), 2))
    first, last = found[0], found[-1]
    return [first + (last - first) * index / (points - 1) for index in range(points)]


def _at(points: list[tuple[float, float]], step: float) -> float:
    """The curve's value at a step, straight between two points, flat beyond its ends."""
    if step <= points[0][0]:
        return points[0][1]
    for (left, before), (right, after) in pairwise(points):
        if step <= right:
            share = (step - left) / (right - left)
            return before * (1 - share) + after * share
    return points[-1][1]


def _scale(lines: list[list[float]]) -> tuple[float, str]:
    largest = max(abs(value) for line in lines for value in line)
    if largest == 0 or 0.01 <= largest < 1e6:
        return 1.0, ""
    power = -math.floor(math.log10(largest))
    return 10.0**power, f" (times 10 to the power of {power})"


def _range(lines: list[list[float]]) -> tuple[float, float]:
    low, high = min(map(min, lines)), max(map(max, lines))
    margin = (high - low) * 0.05 or max(abs(high) * 0.05, 0.05)
    return low - margin, high + margin


def _places(span: float) -> int:
    return max(0, min(8, 2 - math.floor(math.log10(span))))


def _fixed(value: float, places: int) -> str:
    text = f"{value:.{places}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


_NOT_PLAIN = re.compile(r"[^A-Za-z0-9 ._,:/()+=-]")


def _quoted(text: str) -> str:
    """A title that no version of the grammar stumbles over: quotes, brackets and markup are gone."""
    return f'"{_plain(text, 120)}"'


def _plain(text: str, limit: int) -> str:
    return _NOT_PLAIN.sub("_", text[:limit]).strip() or "_"


_MARKS = {
    "succeeded": "✓",
    "reused": "✓ reused",
    "running": "●",
    "collecting": "●",
    "failed": "✗",
    "cancelled": "✗ cancelled",
    "skipped": "skipped",
}


def task_mark(task: TaskView) -> str:
    """How far a task is, in a few characters: ● 3:10."""
    mark = _MARKS.get(task.state, "")
    spent = f" {duration(task.seconds)}" if mark and task.seconds is not None and task.state != "reused" else ""
    return f"{mark}{spent}"


def task_graph(tasks: Sequence[TaskView]) -> str | None:
    """Mermaid's flowchart of the tasks; None where there is nothing to connect or too much to see."""
    if len(tasks) < 2 or len(tasks) > MAX_TASKS:
        return None
    names = {task.name: f"t{index}" for index, task in enumerate(tasks)}
    text = ["flowchart LR"]
    for task in tasks:
        label = f"{_plain(task.name, 60)} {task_mark(task)}".strip()
        text.append(f'    {names[task.name]}["{label}"]')
    for task in tasks:
        text += [f"    {names[each]} --> {names[task.name]}" for each in task.needs if each in names]
    return "\n".join(text)
