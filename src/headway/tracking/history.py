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


def thinned(points: Sequence[Point], most: int, *, first: int | None, last: int | None) -> list[Point]:
    """Return at most `most` points by step, evenly chosen among those between two steps, the last one always.

    As MLflow chooses: the points stand in `most` boxes of as equal size as can be, and the first of each is taken.
    """
    inside = [p for p in points if (first is None or p[1] >= first) and (last is None or p[1] <= last)]
    inside.sort(key=lambda p: (p[1], *order(p)))
    if len(inside) <= most:
        return inside
    size, larger = divmod(len(inside), most)
    starts = [box * size + min(box, larger) for box in range(most)]
    return [*(inside[start] for start in starts[:-1]), inside[-1]]
