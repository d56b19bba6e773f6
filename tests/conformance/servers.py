"""The servers that the conformance suite can run against: a fresh Headway, a real MLflow server, or any address."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from fakes.wire import empty_postgres, live_wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

API = "/api/2.0/mlflow/"
JSON = {"content-type": "application/json"}
_STARTS_IN = 240  # seconds; a real MLflow server is slow on a loaded machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server, and plain HTTP calls to it."""

    kind: str  # headway | mlflow | other
    uri: str
    http: httpx.Client = field(repr=False)

    def send(self, method: str, path: str, /, body: Any = None, **query: Any) -> httpx.Response:
        """Send one request; a path without a first slash is below `/api/2.0/mlflow/`. Bytes go out as they are."""
        address = path if path.startswith("/") else API + path
        if method == "GET":
            return self.http.get(address, params=query)
        raw = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
        return self.http.request(method, address, content=raw, headers=JSON, params=query)

    def post(self, path: str, body: Any = None, *, method: str = "POST") -> Any:
        """Send a body and return the answer, which must be good."""
        return _good(self.send(method, path, body))

    def get(self, path: str, /, **query: Any) -> Any:
        """Send a query and return the answer, which must be good."""
        return _good(self.send("GET", path, **query))

    def refused(self, path: str, /, body: Any = None, *, method: str = "POST", **query: Any) -> Refusal:
        """Send what must be refused, and return how it was."""
        answer = self.send(method, path, body, **query)
        assert answer.status_code >= 400, f"{path} was accepted: {answer.text[:500]}"
        told = answer.json()
        return Refusal(status=answer.status_code, code=told["error_code"], message=told["message"])

    def experiment(self, **more: Any) -> str:
        """Make an experiment with a name of its own and return its id."""
        return str(self.post("experiments/create", {"name": fresh("exp"), **more})["experiment_id"])

    def run(self, experiment_id: str = "0", **more: Any) -> str:
        """Make a run and return its id."""
        return str(self.post("runs/create", {"experiment_id": experiment_id, **more})["run"]["info"]["run_id"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """How a server refused."""

    status: int
    code: str
    message: str

    def says(self, text: str, code: str = "INVALID_PARAMETER_VALUE", status: int = 400) -> bool:
        """Check status, code and that the message has this text."""
        assert (self.status, self.code) == (status, code), self
        assert text in self.message, self
        return True


def fresh(what: str) -> str:
    """Return a name that nothing on a server has yet."""
    return f"{what}-{uuid.uuid4().hex[:12]}"


@contextlib.contextmanager
def started(name: str, root: Path) -> Iterator[Server]:
    """Run the server of this name until the block ends: headway, headway-postgres, mlflow, or the address of one."""
    with contextlib.ExitStack() as stack:
        if name in ("headway", "headway-postgres"):
            database = empty_postgres(os.environ["HEADWAY_TEST_POSTGRES"]) if name != "headway" else None
            kind, uri = "headway", stack.enter_context(live_wire(root, database=database)).uri
        elif name == "mlflow":
            kind, uri = "mlflow", stack.enter_context(_real_mlflow(root))
        else:
            kind, uri = "other", name
        http = stack.enter_context(httpx.Client(base_url=uri, timeout=120))
        yield Server(kind=kind, uri=uri, http=http)


@contextlib.contextmanager
def _real_mlflow(root: Path) -> Iterator[str]:
    port = _free_port()
    arguments = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    arguments += ["--backend-store-uri", f"sqlite:///{root / 'mlflow.db'}"]
    arguments += ["--artifacts-destination", str(root / "artifacts")]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    log = root / "server.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            arguments,
            cwd=root,
            env=os.environ | quiet,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(f"http://127.0.0.1:{port}", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)


def _wait(uri: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _STARTS_IN
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()[-3000:]
        with contextlib.suppress(httpx.HTTPError):
            answer = httpx.post(f"{uri}{API}runs/search", json={}, timeout=10)
            if answer.status_code == 200:
                return
        time.sleep(0.3)
    message = f"mlflow server did not answer: {log.read_text()[-3000:]}"
    raise AssertionError(message)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _good(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, f"{answer.request.method} {answer.request.url}: {answer.text[:1000]}"
    return answer.json()
