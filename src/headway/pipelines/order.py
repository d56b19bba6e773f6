"""The order of steps: each after everything that it needs, otherwise as written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def in_order(needs: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Return the names so that each comes after what it needs; ties stay in the order given.

    Raises:
        UsageError: some need each other in a circle, which is named, or one that is not there.
    """
    waiting = {name: set(wanted) for name, wanted in needs.items()}
    for name, wanted in waiting.items():
        unknown = wanted - needs.keys()
        if unknown:
            raise UsageError(f"step {name!r} needs {min(unknown)!r}, and there is no such step")
    done: dict[str, None] = {}
    while waiting:
        ready = next((name for name, wanted in waiting.items() if wanted <= done.keys()), None)
        if ready is None:
            circle = " -> ".join(_circle(waiting, done))
            raise UsageError(f"steps need each other in a circle: {circle}", hint="remove one `needs`, input or output")
        done[ready] = None
        del waiting[ready]
    return tuple(done)


def _circle(waiting: Mapping[str, set[str]], done: Mapping[str, None]) -> list[str]:
    walked = [next(iter(waiting))]
    while True:
        following = min(waiting[walked[-1]] - done.keys())
        if following in walked:
            return [*walked[walked.index(following) :], following]
        walked.append(following)
