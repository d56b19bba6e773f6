"""What an import has done so far, in a file: after a kill it is read again, and nothing is fetched twice for nothing.

The journal only saves work. What is here is always asked of the server, and what is lacking is sent again.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from headway.ids import digest_of


class Journal:
    """Lines of JSON, the newest of a thing wins; a torn last line is passed over."""

    def __init__(self, folder: Path, source: str, target: str) -> None:
        """Open the journal of one source and one server, making it when there is none."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = folder / f"{digest_of([source, target])[:32]}.jsonl"
        self._known: dict[tuple[str, str], Any] = {}
        if self.path.exists():
            self._read()
        self._file = os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8")
        if self.path.stat().st_size:
            self._file.write("\n")  # ends a line that a kill tore

    def _read(self) -> None:
        with self.path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    kind, name, said = json.loads(line)
                    self._known[str(kind), str(name)] = said
                except (ValueError, TypeError):
                    continue

    def said(self, kind: str, name: str) -> Any:
        """Return what was last written of a thing, or None."""
        return self._known.get((kind, name))

    def write(self, kind: str, name: str, said: Any) -> None:
        """Note what became of a thing; `flush` brings it to the file."""
        if self._known.get((kind, name)) != said:
            self._known[kind, name] = said
            self._file.write(json.dumps([kind, name, said], ensure_ascii=False) + "\n")

    def flush(self) -> None:
        """Hand what was written to the system: it outlives this process."""
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
