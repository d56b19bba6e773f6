"""The chart of growth.py: CPU for a call by the number of runs, and the server's memory, as SVG."""

from __future__ import annotations

import itertools
import json
import math
import sys
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

# The shapes that are drawn; the table has them all.
DRAWN = (
    "first page, 1,000 runs",
    "a run written, 3 calls",
    "1,000 keys, first page",
    "metric and param, by metric",
    "broad metric (9 of 10 runs)",
    "three broad clauses",
    "last page, 100 runs",
    "by metric",
    "selective metric (10 runs)",
    "selective tag (1 run)",
)
_COLOURS = (
    "#1f5fa8",
    "#b3452c",
    "#2e7d4f",
    "#7a4fa3",
    "#a6761d",
    "#00798c",
    "#c2336e",
    "#556270",
    "#3f3fbf",
    "#8c564b",
)
_LEFT, _TOP, _WIDTH, _HEIGHT = 60, 58, 430, 360
_LABELS = 205
_GAP = 16


def draw(report: dict[str, Any], path: Path) -> None:
    """Write the chart of one run of growth.py."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(chart(report), encoding="utf-8")


def chart(report: dict[str, Any]) -> str:
    """Return the SVG."""
    sizes = report["sizes"]
    shapes = {each["name"]: each for each in report["shapes"]}
    lines = [(name, shapes[name]["total_cpu_ms"]) for name in DRAWN if name in shapes]
    most = max(max(values) for _, values in lines)
    least = min(min(values) for _, values in lines)
    low, high = math.floor(math.log10(least)), math.ceil(math.log10(most))
    xs = [_LEFT + _WIDTH * (0.06 + 0.88 * _share(size, sizes)) for size in sizes]
    memory_left = _LEFT + _WIDTH + _LABELS + 60
    width = memory_left + 230
    height = _TOP + _HEIGHT + 52

    def y(value: float) -> float:
        return _TOP + _HEIGHT * (1 - (math.log10(max(value, 1e-3)) - low) / (high - low))

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"',
        ' font-family="system-ui, sans-serif" font-size="12" fill="#222">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        _text(_LEFT, 24, f"CPU for a call by the number of runs, {report['database']}", size=15, weight=600),
        _text(_LEFT, 42, "milliseconds, logarithmic; a level line is a search that does not mind growth", fill="#666"),
    ]
    parts += _grid(low, high, y)
    for size, x in zip(sizes, xs, strict=True):
        parts.append(_line(x, _TOP, x, _TOP + _HEIGHT, "#eee"))
        parts.append(_text(x, _TOP + _HEIGHT + 18, f"{size:,}", anchor="middle"))
    parts.append(_text(_LEFT + _WIDTH / 2, _TOP + _HEIGHT + 38, "runs in the experiment", anchor="middle", fill="#666"))
    places = _spread([y(values[-1]) for _, values in lines])
    for index, ((name, values), place) in enumerate(zip(lines, places, strict=True)):
        colour = _COLOURS[index % len(_COLOURS)]
        points = " ".join(f"{x:.1f},{y(value):.1f}" for x, value in zip(xs, values, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{x:.1f}" cy="{y(value):.1f}" r="3" fill="{colour}"/>'
            for x, value in zip(xs, values, strict=True)
        ]
        end = _LEFT + _WIDTH
        parts.append(_line(xs[-1] + 4, y(values[-1]), end + 4, place, colour, width=0.6))
        parts.append(_text(end + 8, place + 4, f"{name}: {values[-1]:.2g}", fill=colour))
    parts += _memory(report, memory_left)
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _share(size: int, sizes: list[int]) -> float:
    if len(sizes) == 1:
        return 0.5
    return (math.log(size) - math.log(sizes[0])) / (math.log(sizes[-1]) - math.log(sizes[0]))


def _grid(low: int, high: int, y: Any) -> list[str]:
    parts = []
    for power in range(low, high + 1):
        at = y(10.0**power)
        parts.append(_line(_LEFT, at, _LEFT + _WIDTH, at, "#ddd"))
        parts.append(_text(_LEFT - 8, at + 4, f"{10.0**power:g}", anchor="end", fill="#666"))
    return parts


def _memory(report: dict[str, Any], left: float) -> list[str]:
    values, sizes = report["memory_after_mb"], report["sizes"]
    top, limit = 160.0, 120.0
    parts = [
        _text(left, 24, "Memory of the server", size=15, weight=600),
        _text(left, 42, "PSS MB after all searches and pages", fill="#666"),
        _line(left, _TOP + _HEIGHT, left + 190, _TOP + _HEIGHT, "#999"),
    ]
    at = _TOP + _HEIGHT * (1 - limit / top)
    parts.append(_line(left, at, left + 190, at, "#b3452c", dash="4 3"))
    parts.append(_text(left + 190, at - 5, "120 promised", anchor="end", fill="#b3452c"))
    step = 190 / len(sizes)
    for index, (size, value) in enumerate(zip(sizes, values, strict=True)):
        bar = _HEIGHT * min(value, top) / top
        x = left + index * step + step * 0.2
        parts.append(
            f'<rect x="{x:.1f}" y="{_TOP + _HEIGHT - bar:.1f}" width="{step * 0.6:.1f}" height="{bar:.1f}" '
            'fill="#1f5fa8" opacity="0.85"/>'
        )
        parts.append(_text(x + step * 0.3, _TOP + _HEIGHT - bar - 6, f"{value:.0f}", anchor="middle"))
        parts.append(_text(x + step * 0.3, _TOP + _HEIGHT + 18, f"{size:,}", anchor="middle"))
    return parts


def _spread(places: list[float]) -> list[float]:
    """Move labels apart, keeping their order."""
    ranked = sorted(range(len(places)), key=places.__getitem__)
    found = list(places)
    for before, here in itertools.pairwise(ranked):
        found[here] = max(found[here], found[before] + _GAP)
    over = max(0.0, found[ranked[-1]] - (_TOP + _HEIGHT)) if ranked else 0.0
    for here in reversed(ranked):
        found[here] -= over
        over = max(0.0, over - _GAP) if over else 0.0
    for before, here in itertools.pairwise(ranked):
        found[here] = max(found[here], found[before] + _GAP)
    return found


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, *, width: float = 1, dash: str = "") -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"{dashed}/>'


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", fill: str = "#222", size: int = 12, weight: int = 400
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}" font-size="{size}" '
        f'font-weight="{weight}">{escape(text)}</text>'
    )


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]))
