"""An attempt's log as lines with offsets, as every engine gives it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.engines.base import LogLine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LONGEST_LINE = 1 << 16


def read_lines(path: Path, offset: int, *, ended: bool) -> Iterator[LogLine]:
    """Yield lines from byte `offset`; a last line without its end only when nothing will follow.

    Whether it has `ended` must be known before the reading: what comes later is complete.
    """
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return
    with stream:
        stream.seek(offset)
        while raw := stream.readline(_LONGEST_LINE):
            if not raw.endswith(b"\n") and len(raw) < _LONGEST_LINE and not ended:
                return
            offset += len(raw)
            yield LogLine(text=raw.decode("utf-8", errors="replace").rstrip("\r\n"), next_offset=offset)
