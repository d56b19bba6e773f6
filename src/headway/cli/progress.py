"""Progress of something that takes a while: one live line where a person watches, plain lines elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
import time

from headway.cli.output import clean_line, cut, note

_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_CLEAR = "\r\x1b[2K"


class Progress:
    """Says on standard error what is going on; a pipe, a log file and CI get no control characters."""

    def __init__(self, *, is_quiet: bool) -> None:
        """Quiet says nothing at all, as `--json` wants."""
        self._is_quiet = is_quiet
        self._is_live = not is_quiet and sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
        self._told = ""
        self._began = time.monotonic()
        self._has_line = False

    def line(self, text: str) -> None:
        """Say one line that stays, such as one of a log."""
        if not self._is_quiet:
            self.clear()
            note(f"  {clean_line(text)}")

    def state(self, what: str, numbers: str = "") -> None:
        """Say what is going on now; repeated as often as one likes."""
        if self._is_quiet or not what:
            return
        if self._is_live:
            self._draw("  ".join(part for part in (what, numbers) if part))
        elif what != self._told:
            note(f"· {what}")
        if what != self._told:
            self._told, self._began = what, time.monotonic()

    def clear(self) -> None:
        """Take the live line away."""
        if self._has_line:
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()
            self._has_line = False

    def _draw(self, text: str) -> None:
        spent = int(time.monotonic() - self._began)
        sign = _SPINNER[int(time.monotonic() * 5) % len(_SPINNER)]
        line = cut(f"{sign} {clean_line(text)}", shutil.get_terminal_size().columns - 8)
        sys.stderr.write(f"{_CLEAR}{line}  {spent // 60}:{spent % 60:02}")
        sys.stderr.flush()
        self._has_line = True


def numbers_text(metrics: dict[str, float], most: int = 4) -> str:
    """Return the latest metrics as one short text."""
    return "  ".join(f"{name} {value:.4g}" for name, value in list(metrics.items())[:most])
