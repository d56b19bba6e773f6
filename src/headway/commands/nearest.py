"""The word that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST = 64


def nearest(word: str, known: Iterable[str], *, close: int | None = None) -> str | None:
    """Return the known word with the fewest typing errors, None when none is close.

    Close means at most `close` errors; by default one in words of up to five letters, two in longer ones.
    """
    typed = word.casefold()
    if not typed or len(typed) > _LONGEST:
        return None
    best: tuple[int, str] | None = None
    for each in sorted(known):
        limit = close if close is not None else (1 if min(len(typed), len(each)) <= 5 else 2)
        if abs(len(each) - len(typed)) > limit:
            continue
        errors = typing_errors(typed, each.casefold())
        if errors <= limit and (best is None or errors < best[0]):
            best = (errors, each)
    return None if best is None else best[1]


def typing_errors(one: str, other: str) -> int:
    """Return the letters to insert, drop, replace or swap with a neighbour to make one word the other."""
    before_last: list[int] = []
    last = list(range(len(other) + 1))
    for row, letter in enumerate(one, start=1):
        now = [row]
        for column, against in enumerate(other, start=1):
            cost = min(last[column] + 1, now[column - 1] + 1, last[column - 1] + (letter != against))
            is_swap = row > 1 and column > 1 and letter == other[column - 2] and one[row - 2] == against
            now.append(min(cost, before_last[column - 2] + 1) if is_swap else cost)
        before_last, last = last, now
    return last[-1]
