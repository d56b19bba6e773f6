"""Runs small programs as real attempts, for the tests of supervisor, door and sandbox."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from headway.engines.base import Alive, AttemptSpec, DoorSpec, Exited, Lost, Observation
from headway.engines.local import LocalEngine
from headway.engines.order import LocalLimits
from headway.ids import new_id
from headway.sandbox.isolation import IsolationReport

PATIENCE = 90.0

# What a training does, without MLflow: put before a program's own code.
CLIENT = """
import json, os, sys, time, urllib.request
def call(method, path, body=None, raw=None, token=None):
    data = raw if raw is not None else json.dumps(body).encode() if body is not None else None
    headers = {"Content-Type": "application/json"}
    headers["Authorization"] = "Bearer " + (token or os.environ["MLFLOW_TRACKING_TOKEN"])
    request = urllib.request.Request(os.environ["MLFLOW_TRACKING_URI"] + path, data, headers, method=method)
    return urllib.request.urlopen(request, timeout=120).read()
def point(step, key="loss"):
    body = dict(run_id=os.environ["MLFLOW_RUN_ID"], key=key, value=1.5, timestamp=1, step=step)
    return call("POST", "/api/2.0/mlflow/runs/log-metric", body)
def mark(name):
    open(os.path.join(os.environ["HEADWAY_OUT"], name), "w").close()
"""


class Attempts:
    """One engine over a folder of its own."""

    def __init__(self, folder: Path, report: IsolationReport, **limits: Any) -> None:
        self.root = folder / "attempts"
        self.root.mkdir(parents=True, exist_ok=True)
        self.limits = LocalLimits(**{"sample_seconds": 0.3, "drain_seconds": 60, **limits})
        self.engine = LocalEngine(self.root, isolation=report, limits=self.limits)

    def spec(self, code: str, *, server_file: Path | None = None, **changes: Any) -> AttemptSpec:
        name = new_id()
        folder = self.root / name
        (folder / "work").mkdir(parents=True)
        (folder / "work" / "main.py").write_text(code)
        spec = AttemptSpec(
            id=name,
            job_id="job",
            task="task",
            number=1,
            nonce=f"nonce-{name}",
            directory=str(folder),
            argv=("python", "-I", "-S", "main.py"),
            cwd="",
            env_path=sys.prefix,
            grace=timedelta(seconds=1),
            door=DoorSpec(server_file=str(server_file), token="hw_real_token", run_id="run1", experiment_id="7")
            if server_file
            else None,
        )
        return replace(spec, **changes)

    def start(self, code: str, **changes: Any) -> str:
        return self.engine.start(self.spec(code, **changes))

    def run(self, code: str, **changes: Any) -> Exited:
        return self.end(self.start(code, **changes))

    def end(self, handle: str) -> Exited:
        seen = self.wait(handle, lambda seen: isinstance(seen, Exited | Lost))
        assert isinstance(seen, Exited), f"{seen}; {self.complaints(handle)}"
        return seen

    def wait(self, handle: str, wanted: Callable[[Observation], bool]) -> Observation:
        seen: list[Observation] = []

        def there() -> bool:
            seen[:] = [self.engine.observe(handle)]
            return wanted(seen[0])

        wait_until(there, lambda: f"last seen: {seen}; {self.complaints(handle)}")
        return seen[0]

    def wait_alive(self, handle: str) -> Alive:
        seen = self.wait(handle, lambda seen: isinstance(seen, Alive))
        assert isinstance(seen, Alive)
        return seen

    def wait_for_mark(self, handle: str, name: str) -> None:
        """Wait until the code says that it got somewhere (`mark` in CLIENT)."""
        path = self.root / handle / "out" / name
        wait_until(path.exists, lambda: f"no {name}; {self.engine.observe(handle)}; {self.complaints(handle)}")

    def started(self, handle: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.root / handle / "started").read_text())
        return found

    def text(self, handle: str) -> str:
        return "\n".join(line.text for line in self.engine.logs(handle))

    def complaints(self, handle: str) -> str:
        path = self.root / handle / "supervisor.log"
        return f"log: {self.text(handle)[-2000:]}; supervisor: {path.read_text() if path.exists() else ''}"


def wait_until(there: Callable[[], bool], otherwise: Callable[[], str] = lambda: "") -> None:
    deadline = time.monotonic() + PATIENCE
    while not there():
        assert time.monotonic() < deadline, f"it never came to that; {otherwise()}"
        time.sleep(0.02)


def processes_with(marker: str) -> list[int]:
    """The processes of this machine, in whatever namespace, whose arguments contain a text."""
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208  # names are wanted
        if name.isdigit() and int(name) != os.getpid():
            try:
                arguments = Path(f"/proc/{name}/cmdline").read_bytes()
            except OSError:
                continue
            if marker.encode() in arguments:
                found.append(int(name))
    return found
