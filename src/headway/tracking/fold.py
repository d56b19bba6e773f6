"""Folding: a run's tail, one blob per request, becomes chunks: columns per key, in order and without repeats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.tracking.points import (
    Point,
    order,
    pack_border,
    pack_chunk,
    tidied,
    unpack_border,
    unpack_chunk,
    unpack_tail,
)

if TYPE_CHECKING:
    from headway.tracking.link import Link

FOLD_ROWS = 512
FOLD_POINTS = 16_384
CHUNK_POINTS = 16_384
# A short tail is read as quickly as chunks are, and costs no row per key.
SMALL_ROWS = 16
SMALL_POINTS = 256


class Tails:
    """How long the tails are, as far as this process knows; counted in the database when it does not."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._sizes: dict[int, tuple[int, int]] = {}

    def grown(self, link: Link, run: int, points: int) -> bool:
        """Count one more row of `points`; say whether the tail should be folded now."""
        known = self._sizes.get(run)
        rows, total = _size(link, run) if known is None else (known[0] + 1, known[1] + points)
        if len(self._sizes) > 10_000:
            self._sizes.clear()
        self._sizes[run] = (rows, total)
        return rows >= FOLD_ROWS or total >= FOLD_POINTS

    def is_long(self, link: Link, run: int) -> bool:
        """Say whether the tail of a run that ends is worth folding."""
        rows, total = _size(link, run)
        return rows > SMALL_ROWS or total > SMALL_POINTS

    def forget(self, run: int | None = None) -> None:
        """Count again: the run's tail was folded, or a transaction rolled back."""
        if run is None:
            self._sizes.clear()
        else:
            self._sizes.pop(run, None)


def _size(link: Link, run: int) -> tuple[int, int]:
    row = link.one("select count(*), coalesce(sum(n), 0) from tail where run = ?", (run,))
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def fold(link: Link, run: int) -> None:
    """Move a run's tail into chunks; safe to repeat."""
    rows = link.all("select id, data from tail where run = ? order by id", (run,))
    by_key: dict[int, list[Point]] = {}
    for _, data in rows:
        keys, points = unpack_tail(data)
        if keys.count(keys[0]) == len(keys):
            by_key.setdefault(keys[0], []).extend(points)
            continue
        for key, point in zip(keys, points, strict=True):
            if key in by_key:
                by_key[key].append(point)
            else:
                by_key[key] = [point]
    ends = {
        row[0]: (int(row[1]), int(row[2]), unpack_border(row[3]))
        for row in link.all(
            "select c.key, c.seq, c.n, c.last from chunk c "
            "join (select key, max(seq) as seq from chunk where run = ? group by key) e "
            "on e.key = c.key and e.seq = c.seq where c.run = ?",
            (run, run),
        )
    }
    new: list[tuple[int, int, int, int, bytes, bytes, bytes]] = []
    for key, found in by_key.items():
        seq, size, last = ends.get(key, (-1, 0, None))
        fresh = tidied(found)
        # Chunks double in size, so that a key is rewritten a logarithmic number of times.
        if size and size <= 2 * len(fresh) and size + len(fresh) <= CHUNK_POINTS:
            fresh = _with_chunk(link, (run, key, seq), fresh, last)
            seq -= 1
        for start in range(0, len(fresh), CHUNK_POINTS):
            seq += 1
            part = fresh[start : start + CHUNK_POINTS]
            new.append((run, key, seq, len(part), pack_border(part[0]), pack_border(part[-1]), pack_chunk(part)))
    link.many(
        "insert into chunk (run, key, seq, n, first, last, data) values (?, ?, ?, ?, ?, ?, ?) "
        "on conflict (run, key, seq) do update set "
        "n = excluded.n, first = excluded.first, last = excluded.last, data = excluded.data",
        new,
    )
    # Exactly what was read: on PostgreSQL another process may have appended since.
    list(link.each("delete from tail where id in (??) returning id", [row[0] for row in rows]))


def _with_chunk(link: Link, at: tuple[int, int, int], points: list[Point], last: Point | None) -> list[Point]:
    row = link.one("select data from chunk where run = ? and key = ? and seq = ?", at)
    if row is None:
        return points
    before = unpack_chunk(row[0])
    if last is not None and order(last) < order(points[0]):
        return before + points
    return tidied(before + points)
