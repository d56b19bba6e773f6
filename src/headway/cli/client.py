"""The terminal's way to the server: finds the one of this data directory, or starts one that stops when idle."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from headway.errors import (
    Conflict,
    GateFailed,
    HeadwayError,
    LoginNeeded,
    NotFound,
    NotThereYet,
    Refused,
    StorageFull,
    TooLarge,
    Unreachable,
    UsageError,
)

IDLE_STOP_SECONDS = 900
START_SECONDS = 30.0

_ERRORS: dict[str, type[HeadwayError]] = {
    kind.code: kind
    for kind in (
        UsageError,
        GateFailed,
        LoginNeeded,
        Refused,
        NotFound,
        Conflict,
        TooLarge,
        NotThereYet,
        Unreachable,
        StorageFull,
        HeadwayError,
    )
}


def data_folder() -> Path:
    """Return the data directory that this terminal works with."""
    return Path(os.environ.get("HEADWAY_DATA") or Path.home() / ".headway").expanduser()


class Client:
    """Speaks JSON with one server."""

    def __init__(self, url: str, token: str) -> None:
        """Keep address and token; nothing is sent yet."""
        import httpx

        headers = {"authorization": f"Bearer {token}"} if token else {}
        self.url = url
        self._http = httpx.Client(base_url=f"{url}/api/v1", headers=headers, timeout=600.0)

    def get(self, path: str, /, **query: Any) -> Any:
        """Read."""
        return self._send("GET", path, params={name: value for name, value in query.items() if value is not None})

    def post(self, path: str, /, **body: Any) -> Any:
        """Ask for something."""
        return self._send("POST", path, json={name: value for name, value in body.items() if value is not None})

    def put(self, path: str, /, **body: Any) -> Any:
        """Set something."""
        return self._send("PUT", path, json=body)

    def delete(self, path: str, /) -> Any:
        """Remove something."""
        return self._send("DELETE", path)

    def _send(self, method: str, path: str, **options: Any) -> Any:
        import httpx

        try:
            answer = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise Unreachable(
                f"the server at {self.url} does not answer",
                cause=str(error) or type(error).__name__,
                hint="headway server status",
            ) from error
        read = _read(answer.content)
        if answer.status_code < 400:
            return read
        if not isinstance(read, dict) or "message" not in read:
            raise HeadwayError(f"{method} {path}: the server answered {answer.status_code}")
        kind = _ERRORS.get(str(read.get("code", "")), HeadwayError)
        raise kind(str(read["message"]), cause=str(read.get("cause", "")), hint=str(read.get("hint", "")))


def _read(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError:
        return None


def connect(*, start: bool = True) -> Client:
    """Return a client of HEADWAY_URL, or of this data directory's server, started where none runs."""
    url = os.environ.get("HEADWAY_URL", "")
    if url:
        return Client(url.rstrip("/"), os.environ.get("HEADWAY_TOKEN", ""))
    data = data_folder()
    found = running_server(data)
    if found is None:
        if not start:
            raise Unreachable(f"no server runs on {data}", hint="headway server start")
        found = _start(data)
    return Client(str(found["url"]), _token(data))


def _token(data: Path) -> str:
    given = os.environ.get("HEADWAY_TOKEN")
    if given:
        return given
    try:
        return (data / "admin-token").read_text().strip()
    except FileNotFoundError:
        return ""


def running_server(data: Path) -> dict[str, Any] | None:
    """Return the announcement of the live server of a data directory; a stale one counts as none."""
    try:
        with (data / "server.lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except OSError:
        return _announced(data)
    return None


def _announced(data: Path) -> dict[str, Any] | None:
    try:
        return dict(msgspec.json.decode((data / "server.json").read_bytes()))
    except (OSError, msgspec.DecodeError):
        return None


def _start(data: Path) -> dict[str, Any]:
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    environment = {"HEADWAY_PORT": "0", "HEADWAY_IDLE_STOP": str(IDLE_STOP_SECONDS)} | os.environ
    environment["HEADWAY_DATA"] = str(data)
    log = data / "server.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "headway.cli.main", "server", "start"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        found = running_server(data)
        if found is not None:
            return found
        if process.poll() is not None and running_server(data) is None:
            raise Unreachable("the server could not be started", cause=_last_line(log), hint=f"see {log}")
        time.sleep(0.05)
    raise Unreachable(f"the server is not up after {START_SECONDS:.0f} s", cause=_last_line(log), hint=f"see {log}")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
