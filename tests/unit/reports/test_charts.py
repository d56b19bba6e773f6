import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.reports.charts import MAX_POINTS, curve_chart, sparkline, task_graph, task_mark
from headway.reports.model import Curve, TaskView

# What mermaid 10.9 and 11 both take: fixed decimals, no trailing dot, no exponent, quoted titles without quotes.
NUMBER = r"-?\d+(?:\.\d+)?"
TITLE = r'"[A-Za-z0-9 ._,:/()+=-]+"'
GRAMMAR = re.compile(
    rf"xychart-beta\n"
    rf"    title {TITLE}\n"
    rf'    x-axis "step" {NUMBER} --> {NUMBER}\n'
    rf"    y-axis {TITLE} {NUMBER} --> {NUMBER}\n"
    rf"    line \[{NUMBER}(?:, {NUMBER})*\]"
    rf"(?:\n    line \[{NUMBER}(?:, {NUMBER})*\])?",
)

values = st.floats() | st.floats(-1e6, 1e6)


@given(st.text(), st.lists(values, max_size=200), st.lists(values, max_size=200), st.lists(values, max_size=20))
def test_whatever_a_job_logs_the_chart_can_be_parsed(
    name: str, found: list[float], steps: list[float], before: list[float]
) -> None:
    counted = tuple(float(i) for i in range(len(before)))
    curve = Curve(
        metric=name, steps=tuple(steps), values=tuple(found), baseline_steps=counted, baseline_values=tuple(before)
    )
    chart = curve_chart(curve, baseline=name)
    if chart is None:
        return
    assert GRAMMAR.fullmatch(chart), chart
    assert len(chart) < 5_000
    low, high = re.search(rf"y-axis .* ({NUMBER}) --> ({NUMBER})\n", chart).groups()  # type: ignore[union-attr]  # matched
    assert float(low) < float(high)
    for line in re.findall(r"line \[(.*)\]", chart):
        points = line.split(", ")
        assert 2 <= len(points) <= MAX_POINTS
        assert all(float(low) <= float(point) <= float(high) for point in points)


def _curve(*found: float, steps: tuple[float, ...] | None = None) -> Curve:
    return Curve(metric="loss", steps=steps or tuple(float(i) for i in range(len(found))), values=found)


def test_points_that_are_no_numbers_are_left_out() -> None:
    chart = curve_chart(_curve(1.0, math.nan, 3.0, math.inf))
    assert chart is not None
    assert "line [1, 3]" in chart


@pytest.mark.parametrize("found", [(), (1.0,), (math.nan, math.nan, 1.0)])
def test_one_point_is_no_curve(found: tuple[float, ...]) -> None:
    assert curve_chart(_curve(*found)) is None


def test_tiny_losses_are_scaled_and_the_axis_says_so() -> None:
    chart = curve_chart(_curve(3e-6, 1e-6))
    assert chart is not None
    assert '"loss (times 10 to the power of 6)"' in chart
    assert "line [3, 1]" in chart


def test_uneven_steps_are_spread_evenly() -> None:
    chart = curve_chart(_curve(0.0, 1.0, 10.0, steps=(0.0, 1.0, 10.0)))
    assert chart is not None
    assert "line [0, 5, 10]" in chart


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    chart = curve_chart(_curve(*(float(i) for i in range(10_000))))
    assert chart is not None
    points = chart.rsplit("[", 1)[1].rstrip("]").split(", ")
    assert (len(points), points[0], points[-1]) == (MAX_POINTS, "0", "9999")


def test_a_baseline_that_ended_earlier_is_said() -> None:
    curve = Curve(
        metric="auc",
        steps=(0.0, 10.0),
        values=(0.5, 0.9),
        baseline_steps=(0.0, 5.0),
        baseline_values=(0.5, 0.7),
    )
    chart = curve_chart(curve, baseline='production "v7"')
    assert chart is not None
    assert 'title "auc by step (1st line: this change, 2nd line: production _v7_, ended at step 5)"' in chart
    assert chart.endswith("line [0.5, 0.7]")


def test_a_flat_curve_has_a_range() -> None:
    chart = curve_chart(_curve(0.0, 0.0))
    assert chart is not None
    assert "-0.05 --> 0.05" in chart


@pytest.mark.parametrize(
    ("found", "line"),
    [
        ([], ""),
        ([math.nan], ""),
        ([1.0], "▄"),
        ([0.0, 1.0], "▁█"),
        ([0.0, math.nan, 1.0], "▁·█"),
        ([1e308, -1e308], "█▁"),
        ([float(i) for i in range(8)], "▁▂▃▄▅▆▇█"),
    ],
)
def test_sparklines(found: list[float], line: str) -> None:
    assert sparkline(found) == line


@given(st.lists(st.floats(), max_size=300))
def test_a_sparkline_fits(found: list[float]) -> None:
    assert len(sparkline(found)) <= 20
    assert set(sparkline(found)) <= set("▁▂▃▄▅▆▇█·")


def test_long_curves_become_means_of_their_parts() -> None:
    assert sparkline([0.0] * 50 + [1.0] * 50, width=4) == "▁▁██"
    assert sparkline([math.nan] * 50 + [1.0] * 50, width=4) == "··▄▄"


def test_tasks_as_a_graph() -> None:
    tasks = [
        TaskView(name='evil"]; click x "javascript:alert(1)', state="running", seconds=190.0),
        TaskView(name="after", state="pending", needs=('evil"]; click x "javascript:alert(1)', "unknown")),
    ]
    assert task_graph(tasks) == (
        'flowchart LR\n    t0["evil___ click x _javascript:alert(1) ● 3 min 10 s"]\n    t1["after"]\n    t0 --> t1'
    )


def test_nothing_to_connect_and_too_much_to_see() -> None:
    task = TaskView(name="a", state="running")
    assert task_graph([task]) is None
    assert task_graph([task] * 100) is None


@pytest.mark.parametrize(
    ("state", "text"),
    [("pending", ""), ("reused", "✓ reused"), ("failed", "✗ 3 s"), ("skipped", "skipped 3 s"), ("other", "")],
)
def test_marks(state: str, text: str) -> None:
    assert task_mark(TaskView(name="a", state=state, seconds=3.0)) == text
