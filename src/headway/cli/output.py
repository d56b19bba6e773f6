"""What the terminal prints: results on standard output, progress and errors on standard error, JSON never mixed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from headway.errors import HeadwayError


def print_json(value: Any) -> None:
    """Print one JSON document."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def print_error(error: HeadwayError, *, as_json: bool) -> None:
    """Print what happened, why, and what can be pasted to mend it."""
    if as_json:
        print_json(
            {
                "code": error.code,
                "message": error.message,
                "cause": error.cause,
                "hint": error.hint,
                "retryable": error.retryable,
            },
        )
        return
    is_color = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    red, plain = ("\x1b[31m", "\x1b[0m") if is_color else ("", "")
    print(f"{red}error:{plain} {error.message}", file=sys.stderr)
    if error.cause:
        print(f"cause: {error.cause}", file=sys.stderr)
    if error.hint:
        print(f"hint:  {error.hint}", file=sys.stderr)


def say(text: str) -> None:
    """Print a result."""
    print(text)


def note(text: str) -> None:
    """Print progress, where it does not get into a pipe."""
    print(text, file=sys.stderr, flush=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print an aligned table, or the sentence that says what to do when there is nothing."""
    cells = [[_plain(value) for value in row] for row in rows]
    if not cells:
        note(empty)
        return
    widths = [max(len(column), *(len(row[at]) for row in cells)) for at, column in enumerate(columns)]
    for row in [list(columns), *cells]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _plain(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    # A name from a run or a comment must not rewrite the terminal.
    return "".join(letter if letter.isprintable() else "�" for letter in str(value))


def short(sha: str | None) -> str:
    """Return a commit or digest as people say it."""
    return (sha or "")[:7]
