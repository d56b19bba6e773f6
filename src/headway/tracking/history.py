"""Reading the history of a metric: its chunks, then the tail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.tracking.keys import find_key
from headway.tracking.model import KeyKind
from headway.tracking.points import Point, order, tail_of, tidied, unpack_border, unpack_chunk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.tracking.link import Link


def read_history(link: Link, run: int, exp: int, *, name: str) -> list[Point]:
    """Return every point of a metric by timestamp, step, value, each once; empty when there are none."""
    key = find_key(link, exp, kind=KeyKind.METRIC, name=name)
    if key is None:
        return []
    points: list[Point] = []
    is_tidy = True
    border = None
    chunks = link.all("select first, last, data from chunk where run = ? and key = ? order by seq", (run, key))
    for first, last, data in chunks:
        is_tidy = is_tidy and (border is None or border < order(unpack_border(first)))
        border = order(unpack_border(last))
        points += unpack_chunk(data)
    tail: list[Point] = []
    for (data,) in link.all("select data from tail where run = ? order by id", (run,)):
        tail += tail_of(data, key)
    if tail:
        tail = tidied(tail)
        is_tidy = is_tidy and (border is None or border < order(tail[0]))
        points += tail
    return points if is_tidy else tidied(points)


def sampled(points: Sequence[Point], steps: set[int]) -> list[Point]:
    """Return the points whose step was chosen, by step, timestamp, value."""
    return sorted((point for point in points if point[1] in steps), key=lambda p: (p[1], *order(p)))
