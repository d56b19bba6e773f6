"""A whole Headway as people start it: a process on a fixed port that can be killed and started again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

PATIENCE = 120.0


class HeadwayServer:
    """Token login is on; what it keeps is asked for over HTTP, as anybody would."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.data.mkdir(parents=True)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self._port = taken.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def token(self) -> str:
        return (self.data / "admin-token").read_text().strip()

    def start(self) -> None:
        """Start it, unless it runs, and wait until it answers."""
        if self._process is None:
            environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADWAY_")}
            environment |= {"HEADWAY_DATA": str(self.data), "HEADWAY_PORT": str(self._port)}
            with (self.data / "test-server.log").open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "headway.cli.main", "server", "start"],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self.url}/health", timeout=5).read()
                return
            assert self._process.poll() is None, (self.data / "test-server.log").read_text()[-3000:]
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill server and worker as a power cut would."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def send(self, method: str, path: str, body: Any = None, /, **query: Any) -> bytes:
        """Ask the server something as its admin."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        address = f"{self.url}{path}" + (f"?{urlencode(query)}" if query else "")
        request = urllib.request.Request(address, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                found: bytes = answer.read()
                return found
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read()[:500]!r}") from None

    def ask(self, method: str, path: str, body: Any = None, /, **query: Any) -> Any:
        """Ask something that is answered in JSON; the path is below MLflow's."""
        return json.loads(self.send(method, f"/api/2.0/mlflow/{path}", body, **query))

    def runs(self, experiment: str, filter_string: str = "") -> list[dict[str, Any]]:
        """Return the runs of an experiment by its name, the oldest first; none when there is no such experiment."""
        named = self.ask("GET", "experiments/search", None, max_results=1000)["experiments"]
        ids = [each["experiment_id"] for each in named if each["name"] == experiment]
        if not ids:
            return []
        asked = {"experiment_ids": ids, "filter": filter_string, "order_by": ["attributes.start_time ASC"]}
        found: list[dict[str, Any]] = self.ask("POST", "runs/search", asked).get("runs", [])
        return found

    def history(self, run: str, key: str) -> list[tuple[int, float]]:
        """Return every point of a metric as (step, value)."""
        found = self.ask("GET", "metrics/get-history", None, run_id=run, metric_key=key).get("metrics", [])
        return [(int(each.get("step", 0)), each["value"]) for each in found]

    def files(self, run: str, path: str = "") -> dict[str, int]:
        """Return every artifact of a run with its size."""
        query = {"run_id": run, **({"path": path} if path else {})}
        found: dict[str, int] = {}
        for each in self.ask("GET", "artifacts/list", None, **query).get("files", []):
            if each.get("is_dir"):
                found |= self.files(run, each["path"])
            else:
                found[each["path"]] = int(each.get("file_size", 0))
        return found

    def content(self, run: str, path: str) -> bytes:
        """Return one artifact."""
        return self.send("GET", "/get-artifact", None, run_id=run, path=path)


def told(pairs: list[dict[str, str]] | None) -> dict[str, Any]:
    """Return params, tags or metrics of the wire by their keys."""
    return {each["key"]: each.get("value", "") for each in pairs or []}
