"""A pipeline as a drawing: layers from left to right, nodes that are links; works without a script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headway.reports.model import TaskView
from headway.reports.numbers import duration
from headway.web.states import Sign, sign

WIDTH, HEIGHT = 176, 48
_GAP_X, _GAP_Y, _MARGIN = 56, 18, 4
_LETTERS = 20
_MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A task in its place."""

    name: str
    label: str
    note: str
    sign: Sign
    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A line from one task to one that needs it."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Everything to draw, and the same in words."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    width: float
    height: float
    words: str


def draw(tasks: Sequence[TaskView]) -> Graph | None:
    """Return the drawing of a pipeline; None when there is nothing to draw."""
    shown = list(tasks)[:_MOST]
    if not shown:
        return None
    layers = _ordered(shown, _layers(shown))
    tallest = max(len(layer) for layer in layers)
    height = tallest * HEIGHT + (tallest - 1) * _GAP_Y + 2 * _MARGIN
    nodes: dict[str, Node] = {}
    for column, layer in enumerate(layers):
        own = len(layer) * HEIGHT + (len(layer) - 1) * _GAP_Y
        top = (height - own) / 2
        for row, task in enumerate(layer):
            nodes[task.name] = _node(task, x=_MARGIN + column * (WIDTH + _GAP_X), y=top + row * (HEIGHT + _GAP_Y))
    edges = tuple(_edge(nodes[need], nodes[task.name]) for task in shown for need in task.needs if need in nodes)
    return Graph(
        nodes=tuple(nodes.values()),
        edges=edges,
        width=len(layers) * WIDTH + (len(layers) - 1) * _GAP_X + 2 * _MARGIN,
        height=height,
        words="; ".join(_words(task) for task in shown),
    )


def _layers(tasks: list[TaskView]) -> dict[str, int]:
    """Return how far from the start each task stands: one more than the farthest it needs."""
    known = {task.name for task in tasks}
    depth: dict[str, int] = {}
    waiting = tasks
    while waiting:
        ready = [task for task in waiting if all(need in depth for need in task.needs if need in known)]
        if not ready:  # a circle cannot be planned; should one be stored, it is drawn at the end
            ready = waiting
        for task in ready:
            depth[task.name] = 1 + max((depth.get(need, 0) for need in task.needs if need in known), default=-1)
        waiting = [task for task in waiting if task.name not in depth]
    return depth


def _ordered(tasks: list[TaskView], depth: dict[str, int]) -> list[list[TaskView]]:
    """Return the layers with each task near the middle of what it needs, so that lines cross little."""
    layers: list[list[TaskView]] = [[] for _ in range(max(depth.values()) + 1)]
    for task in tasks:
        layers[depth[task.name]].append(task)
    place: dict[str, float] = {}
    for layer in layers:
        middle = {
            task.name: _mean([place[need] for need in task.needs if need in place], index)
            for index, task in enumerate(layer)
        }
        layer.sort(key=lambda task: middle[task.name])
        place |= {task.name: index - len(layer) / 2 for index, task in enumerate(layer)}
    return [layer for layer in layers if layer]


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _node(task: TaskView, *, x: float, y: float) -> Node:
    label = task.name if len(task.name) <= _LETTERS else f"{task.name[: _LETTERS - 8]}…{task.name[-7:]}"
    shown = sign(task.state)
    spent = f" · {duration(task.seconds)}" if task.seconds is not None and task.state != "reused" else ""
    return Node(name=task.name, label=label, note=f"{shown.mark} {shown.word}{spent}", sign=shown, x=x, y=y)


def _edge(start: Node, end: Node) -> Edge:
    x1, y1 = start.x + WIDTH, start.y + HEIGHT / 2
    x2, y2 = end.x, end.y + HEIGHT / 2
    middle = (x1 + x2) / 2
    return Edge(path=f"M{x1:g} {y1:g} C{middle:g} {y1:g} {middle:g} {y2:g} {x2:g} {y2:g}")


def _words(task: TaskView) -> str:
    needs = f" after {', '.join(task.needs)}" if task.needs else ""
    return f"{task.name}{needs}: {sign(task.state).word}"
