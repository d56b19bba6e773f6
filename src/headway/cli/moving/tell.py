"""Who imports is told how far it is: one live line for people, lines of JSON for programs."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from headway.cli.output import count, megabytes, say
from headway.cli.progress import Progress

_SECONDS = 0.5  # between two lines of progress


class Teller:
    """Says how far the import is; threads may share it."""

    def __init__(self, *, as_json: bool) -> None:
        """Speak to a program, or to a person."""
        self._as_json = as_json
        self._progress = Progress(is_quiet=as_json)
        self._lock = threading.Lock()
        self._at = 0.0
        self._doing = ""
        self._files = 0
        self._bytes = 0

    def event(self, name: str, **fields: Any) -> None:
        """Say something that stays."""
        if self._as_json:
            say(json.dumps({"event": name, **fields}, ensure_ascii=False))

    def begin(self, text: str) -> None:
        """Say what is read."""
        self.event("begin", source=text)
        if not self._as_json:
            self._progress.line(f"from {text}")

    def runs(self, experiment: str, seen: int, new: int) -> None:
        """Say how many runs were seen and how many of them were new."""
        with self._lock:
            self._doing = f"{experiment}: {count(seen, 'run')}, {new} new" if seen else experiment
            self._state(runs=seen, new=new, experiment=experiment)

    def copied(self, files: int, size: int) -> None:
        """Count files that were copied."""
        with self._lock:
            self._files += files
            self._bytes += size
            self._state(files=self._files, bytes=self._bytes)

    def model(self, name: str) -> None:
        """Say that a registered model was brought."""
        with self._lock:
            self._doing = f"model {name}"
            self._state(model=name)

    def end(self) -> None:
        """Take the live line away."""
        self._progress.clear()

    def _state(self, **fields: Any) -> None:
        if time.monotonic() - self._at < _SECONDS:
            return
        self._at = time.monotonic()
        self.event("progress", **fields)
        numbers = f"{count(self._files, 'file')}, {megabytes(self._bytes)}" if self._files else ""
        self._progress.state(self._doing, numbers)
