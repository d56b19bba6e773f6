"""Starts, kills and questions the tiny tracking side of `point_server.py`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path


class TrackingSide:
    """A tracking server that can be killed and come back on another port, as a real one may."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def server_file(self) -> Path:
        return self.folder / "server.json"

    def start(self) -> None:
        before = self.server_file.stat().st_mtime_ns if self.server_file.exists() else 0
        script = str(Path(__file__).parent / "point_server.py")
        self._process = subprocess.Popen([sys.executable, "-I", script, "0", str(self.folder)])
        deadline = time.monotonic() + 30
        while not self.server_file.exists() or self.server_file.stat().st_mtime_ns == before:
            assert time.monotonic() < deadline, "the tracking side did not start"
            time.sleep(0.01)

    def kill(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def mode(self, text: str) -> None:
        (self.folder / "mode").write_text(text)

    def requests(self, ending: str = "") -> list[dict]:
        path = self.folder / "requests.jsonl"
        if not path.exists():
            return []
        found = [json.loads(line) for line in path.read_text().splitlines()]
        return [each for each in found if each["path"].endswith(ending)]

    def points(self, key: str = "loss") -> list[int]:
        """The steps of a metric in the order of their arrival, those of batches too."""
        steps: list[int] = []
        for each in self.requests():
            if each["path"].endswith("/log-metric") and each["body"]["key"] == key:
                steps.append(each["body"]["step"])
            if each["path"].endswith("/log-batch"):
                steps += [metric["step"] for metric in each["body"].get("metrics", []) if metric["key"] == key]
        return steps
