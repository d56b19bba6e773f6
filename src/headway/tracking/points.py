"""Points as packed columns: a blob per request (tail), chunks per run and key after folding.

A point is the tuple (timestamp, step, value), which is also MLflow's order of a history; NaN stands where 0 would.
"""

from __future__ import annotations

import itertools
import math
import operator
import struct
import sys
from array import array
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Point = tuple[int, int, float]
_BORDER = struct.Struct("<qqd")
_VALUE = operator.itemgetter(2)
_LITTLE = sys.byteorder == "little"


def _bytes(column: array[int] | array[float]) -> bytes:
    if not _LITTLE:
        column.byteswap()
    return column.tobytes()


def _column(kind: str, data: bytes) -> Any:
    column: Any = array(kind)
    column.frombytes(data)
    if not _LITTLE:
        column.byteswap()
    return column


def pack_tail(keys: Sequence[int], stamps: Sequence[int], steps: Sequence[int], values: Sequence[float]) -> bytes:
    """Return the blob of one request: key ids, timestamps, steps, values."""
    return b"".join(
        (_bytes(array("q", keys)), _bytes(array("q", stamps)), _bytes(array("q", steps)), _bytes(array("d", values))),
    )


def unpack_tail(data: bytes) -> tuple[Sequence[int], Iterable[Point]]:
    """Return the key ids of one request's points, and the points."""
    size = len(data) // 4
    points = zip(
        _column("q", data[size : 2 * size]),
        _column("q", data[2 * size : 3 * size]),
        _column("d", data[3 * size :]),
        strict=True,
    )
    return _column("q", data[:size]), points


def tail_of(data: bytes, key: int) -> Iterable[Point]:
    """Return one key's points of one request."""
    keys, points = unpack_tail(data)
    if keys.count(key) == len(keys):
        return points
    return itertools.compress(points, map(key.__eq__, keys))


def pack_chunk(points: Sequence[Point]) -> bytes:
    """Return the blob of one chunk: timestamps, steps, values."""
    stamps, steps, values = zip(*points, strict=True)
    return b"".join((_bytes(array("q", stamps)), _bytes(array("q", steps)), _bytes(array("d", values))))


def unpack_chunk(data: bytes) -> list[Point]:
    """Return the points of a chunk, in order."""
    size = len(data) // 3
    return list(
        zip(
            _column("q", data[:size]),
            _column("q", data[size : 2 * size]),
            _column("d", data[2 * size :]),
            strict=True,
        ),
    )


def pack_border(point: Point) -> bytes:
    """Return the first or last point of a chunk as it is kept beside it."""
    return _BORDER.pack(*point)


def unpack_border(data: bytes) -> Point:
    """Return the point that `pack_border` kept."""
    found: Point = _BORDER.unpack(data)
    return found


def order(point: Point) -> tuple[int, int, float, bool]:
    """Return what points are ordered by: NaN stands where 0 would, after it."""
    stamp, step, value = point
    return (stamp, step, 0.0, True) if value != value else (stamp, step, value, False)  # noqa: PLR0124  # NaN


def tidied(points: list[Point]) -> list[Point]:
    """Return points in order, each once: clients retry what was already stored."""
    if math.isnan(sum(map(_VALUE, points))):  # a NaN among them, or a sum beyond all numbers: the careful way
        points = sorted(points, key=order)
        found = [points[0]]
        found.extend(b for a, b in itertools.pairwise(points) if order(a) != order(b))
        return found
    points = sorted(points)
    if all(map(operator.lt, points, itertools.islice(points, 1, None))):
        return points
    return sorted(set(points))
