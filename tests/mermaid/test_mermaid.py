"""Every chart of our reports parses in the real Mermaid, 10.9 and 11; `make test-mermaid` installs both."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headway.reports.charts import curve_chart, task_graph
from headway.reports.model import Curve, TaskView

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "golden"
pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (HERE / "node_modules").is_dir(), reason="make test-mermaid installs Mermaid"
)

NAMES = (
    "loss",
    "val_auc by origin",
    '"quoted" and \\"escaped\\"',
    "[brackets] (and) {braces}",
    "<!-- headway:report --> <img src=x onerror=alert(1)>",
    "@acme/leads #123 `code` | cell",
    "line [1, 2]\n    bar [3]",
    "%%{init: {'securityLevel': 'loose'}}%%",
    "end\nflowchart LR\nclick a href javascript:alert(1)",
    "xychart-beta",
    "\x1b[31m\u202e\u200bhidden",
    "señal → größe 損失 🚀",
    "a" * 5000,
    "",
    "-->",
    ";",
    "title",
)
VALUES = (
    (0.1, 0.2, 0.3),
    (1e-3, 1e-9, 5e-324),
    (1e300, -1e300, 1e99),
    (math.nan, 1.0, math.inf, 2.0, -math.inf),
    (1.0, 1.0, 1.0),
    (2.0, 3.0),
    (0.0, -0.0),
    (-5e-7, 5e-7),
    (123456789.0, 123456789.5),
    tuple(math.sin(each / 7) for each in range(5000)),
)
STATES = ("succeeded", "failed", "running", "", "]-->x")


def _fences(text: str) -> list[str]:
    return re.findall(r"^```+mermaid\n(.*?)^```+$", text, re.MULTILINE | re.DOTALL)


def _golden() -> dict[str, str]:
    return {
        f"{path.name}-{at}": chart
        for path in sorted(GOLDEN.rglob("*.md"))
        for at, chart in enumerate(_fences(path.read_text(encoding="utf-8")))
    }


def _hostile() -> dict[str, str]:
    found: dict[str, str] = {}
    for at, name in enumerate(NAMES):
        for number, values in enumerate(VALUES):
            steps = tuple(float(step) for step in range(len(values)))
            curve = Curve(metric=name, steps=steps, values=values, baseline_steps=steps, baseline_values=values[::-1])
            chart = curve_chart(curve, baseline=NAMES[-1 - at])
            if chart is not None:
                found[f"curve {at} {number}"] = chart
    for at in range(len(NAMES)):
        names = [f"{NAMES[at]}{number}" for number in range(5)]
        tasks = [
            TaskView(name=name, state=state, needs=(names[0],) if number else ())
            for number, (name, state) in enumerate(zip(names, STATES, strict=True))
        ]
        graph = task_graph(tasks)
        assert graph is not None
        found[f"tasks {at}"] = graph
    return found


def _parse(charts: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        ["node", "parse.mjs"],
        input=json.dumps(charts),
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_chart_parses_in_both_generations() -> None:
    golden, hostile = _golden(), _hostile()
    told = _parse({**golden, **hostile})
    assert told["problems"] == []
    sys.stdout.write(
        f"\n{len(golden)} charts of golden reports and {len(hostile)} hostile ones parse in {', '.join(told['seen'])}\n"
    )
    assert golden
    assert len(hostile) > 100
    assert told["seen"] == {"mermaid": len(golden) + len(hostile), "mermaid-10": len(golden) + len(hostile)}


@pytest.mark.parametrize(
    "chart",
    [
        "xychart-beta\n    line [1e-3, 2]",
        "xychart-beta\n    line [NaN]",
        "xychart-beta\n    line []",
        'xychart-beta\n    title "a \\" b"\n    line [1, 2]',
        "flowchart LR\n    a[x]-->",
    ],
)
def test_the_parser_refuses_what_is_no_chart(chart: str) -> None:
    assert len(_parse({"bad": chart})["problems"]) == 2
