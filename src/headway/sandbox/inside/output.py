"""The attempt's log: everything that foreign code prints but its secrets, up to a limit, never holding it up."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from durable import write_all
from mask import Mask

_CHUNK = 1 << 16


class LogPump:
    """Moves bytes from the pipe into the log and throws away what is over the limit."""

    def __init__(self, pipe: int, path: Path, *, limit: int, hidden: list[str]) -> None:
        self._pipe = pipe
        self._mask = Mask(hidden)
        self._log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._left = limit
        self._limit = limit
        self._at_line_start = True
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._pump, name="log", daemon=True)
        self.dropped = 0

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def join(self) -> None:
        """Wait until every writer has closed its end, then say how much was dropped."""
        self._thread.join()
        if self.dropped:
            self.say(f"{self.dropped:,} further bytes of output were dropped")

    def say(self, text: str) -> None:
        """Write a line of our own; these are few, and not counted against the limit."""
        with self._lock:
            lead = "" if self._at_line_start else "\n"
            self._put(f"{lead}[headway] {text}\n".encode())
            self._at_line_start = True

    def _pump(self) -> None:
        while data := os.read(self._pipe, _CHUNK):
            self._keep(self._mask.take(data))
        self._keep(self._mask.end())

    def _keep(self, data: bytes) -> None:
        kept = data[: self._left]
        self._left -= len(kept)
        if kept:
            with self._lock:
                self._put(kept)
                self._at_line_start = kept.endswith(b"\n")
        if len(kept) < len(data):
            if not self.dropped:
                self.say(f"log cut here: it reached {self._limit >> 20} MB; raise HEADWAY_LOG_LIMIT_MB to keep more")
            self.dropped += len(data) - len(kept)

    def _put(self, data: bytes) -> None:
        try:
            write_all(self._log, data)
        except OSError:  # a full disk must not stop the training; the loss is counted
            self.dropped += len(data)
