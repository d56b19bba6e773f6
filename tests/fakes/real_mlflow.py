"""A real MLflow server in a folder, that can be killed and started again at the same address."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from fakes.wire import listening

_STARTS_IN = 240  # seconds; it is slow on a loaded machine
_QUIET = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


@dataclass
class RealMlflow:
    """One worker, SQLite, a port of its own for life."""

    root: Path
    port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        if not self.port:
            with listening() as sock:
                self.port = int(sock.getsockname()[1])
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self.root / 'mlflow.db'}"]
        command += ["--artifacts-destination", str(self.root / "artifacts")]
        with (self.root / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.root, env=os.environ | _QUIET, stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + _STARTS_IN
        while time.monotonic() < until:
            try:
                if httpx.get(f"{self.uri}/health", timeout=2).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            assert self._process.poll() is None, (self.root / "server.log").read_text()[-2000:]
            time.sleep(0.2)
        raise AssertionError((self.root / "server.log").read_text()[-2000:])

    def kill(self) -> None:
        """End it and all that it started: at once, as a power cut would."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)
            self._process = None
