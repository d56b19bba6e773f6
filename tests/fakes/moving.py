"""A real MLflow server with a little of everything, and a terminal with a Headway server of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from fakes.mlflow_source import fill

DEADLINE = 240.0


@dataclass
class Peer:
    """The server that things move out of, its files, and the ids of what it holds."""

    uri: str
    folder: Path
    ids: dict[str, Any] = field(default_factory=dict)

    @property
    def database(self) -> str:
        return f"sqlite:///{self.folder}/mlflow.db"


@dataclass
class Terminal:
    """Types `headway`, on a data directory of its own."""

    home: Path

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HEADWAY_", "MLFLOW_"))}
        return {**kept, "HOME": str(self.home), "HEADWAY_DATA": str(self.home / "data")}

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "headway.cli.main", *words],
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *words: str, code: int = 0) -> str:
        process = self.start(*words)
        out, err = process.communicate(timeout=DEADLINE)
        assert "Traceback" not in err, err
        assert process.returncode == code, f"{words}: {process.returncode}\n{out}\n{err}"
        return out or err

    def moved(self, *words: str, code: int = 0) -> dict[str, Any]:
        """Import, and return the last line that a program reads."""
        return dict(json.loads(self("import", "mlflow", *words, "--json", code=code).splitlines()[-1]))

    @property
    def url(self) -> str:
        return str(json.loads((self.home / "data" / "server.json").read_bytes())["url"])

    @property
    def token(self) -> str:
        return (self.home / "data" / "admin-token").read_text().strip()


@contextmanager
def logging_to(uri: str, token: str = "") -> Iterator[Any]:
    """Yield the unmodified client, turned to one server."""
    before = dict(os.environ)
    os.environ |= {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    os.environ |= {"MLFLOW_TRACKING_TOKEN": token} if token else {}
    import mlflow

    tracking = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    # The registry's address follows the tracking one: set by itself it would outlive this block for every later test.
    try:
        yield mlflow
    finally:
        mlflow.set_tracking_uri(tracking)
        os.environ.clear()
        os.environ |= before


@contextmanager
def mlflow_server(folder: Path) -> Iterator[Peer]:
    """Serve a real MLflow server with a little of everything in it until the block ends."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    found = Peer(f"http://127.0.0.1:{port}", folder)
    words = ["--backend-store-uri", found.database, "--artifacts-destination", str(folder / "art")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "mlflow"), "server", *words, "--port", str(port), "--workers", "1"],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for(lambda: _answers(found.uri))
        with logging_to(found.uri) as mlflow:
            found.ids = fill(mlflow)
        yield found
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def _answers(uri: str) -> bool:
    try:
        return httpx.get(f"{uri}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def wait_for(look: Any) -> None:
    deadline = time.monotonic() + DEADLINE
    while not look():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)


@contextmanager
def terminal_in(home: Path) -> Iterator[Terminal]:
    typed = Terminal(home)
    try:
        yield typed
    finally:
        typed("server", "stop")
