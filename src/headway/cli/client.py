"""The terminal's way to the server: JSON over HTTP, and errors as the server meant them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from headway import __version__
from headway.cli.credentials import kept_token
from headway.cli.find_server import data_folder, find_or_start, running_server
from headway.cli.output import note
from headway.cli.transport import FAILURES, Connection
from headway.errors import (
    ConfigError,
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

if TYPE_CHECKING:
    from headway.tracking.peer.reader import PeerReader

LOGIN_HINT = "printf %s TOKEN | headway login --token-stdin"

_ERRORS: dict[str, type[HeadwayError]] = {
    kind.code: kind
    for kind in (
        UsageError,
        ConfigError,
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
# What MLflow's wire says instead, as its own clients know it.
_WIRE_ERRORS: dict[str, type[HeadwayError]] = {
    "RESOURCE_DOES_NOT_EXIST": NotFound,
    "INVALID_PARAMETER_VALUE": UsageError,
    "BAD_REQUEST": UsageError,
    "UNAUTHENTICATED": LoginNeeded,
    "PERMISSION_DENIED": Refused,
    "RESOURCE_ALREADY_EXISTS": Conflict,
    "RESOURCE_CONFLICT": Conflict,
    "INVALID_STATE": Conflict,
    "NOT_IMPLEMENTED": NotThereYet,
    "TEMPORARILY_UNAVAILABLE": Unreachable,
}


class Client:
    """Speaks JSON with one server."""

    def __init__(self, url: str, token: str, *, is_local: bool = True) -> None:
        """Keep address and token; nothing is sent yet."""
        self.url = url
        self.is_local = is_local
        self._token = token
        with self._talking():
            self._http = Connection(url, is_local=is_local)

    def get(self, path: str, /, **query: Any) -> Any:
        """Read."""
        return self._send(
            "GET", f"/api/v1{path}", query={name: each for name, each in query.items() if each is not None}
        )

    def post(self, path: str, /, **body: Any) -> Any:
        """Ask for something."""
        return self._send(
            "POST", f"/api/v1{path}", body={name: each for name, each in body.items() if each is not None}
        )

    def post_packed(self, path: str, message: bytes) -> Any:
        """Send a packed message, as the import does."""
        return self._send("POST", f"/api/v1{path}", body=message)

    def put(self, path: str, /, **body: Any) -> Any:
        """Set something."""
        return self._send("PUT", f"/api/v1{path}", body=body)

    def delete(self, path: str, /) -> Any:
        """Remove something."""
        return self._send("DELETE", f"/api/v1{path}")

    def wire(self, method: str, path: str, /, **said: Any) -> Any:
        """Say something in MLflow's own words: what a run is, is written by nobody else."""
        options: dict[str, Any] = {"query": said} if method == "GET" else {"body": said}
        return self._send(method, f"/api/2.0/{path}", **options)

    def download(self, path: str, into: IO[bytes]) -> int:
        """Copy one artifact to a file; return its size."""
        with self._talking():
            status, parts = self._http.stream(f"/api/2.0/mlflow-artifacts/artifacts/{path}", token=self._token)
            if status >= 400:
                raise self._failure(f"GET {path}", status, _read(b"".join(parts)))
            return sum(into.write(part) for part in parts)

    def upload(self, path: str, parts: Iterator[bytes], size: int) -> None:
        """Copy bytes to one artifact; when they break off, it keeps what it had."""
        where = f"/api/2.0/mlflow-artifacts/artifacts/{path}"
        with self._talking():
            answer = self._http.upload(where, parts, size=size, token=self._token)
        if answer.status >= 400:
            raise self._failure(f"PUT {path}", answer.status, _read(answer.content))

    def reader(self) -> PeerReader:
        """Return what reads this server page by page, as it reads any other that speaks MLflow's wire."""
        from headway.tracking.peer.connection import Login, PeerConnection
        from headway.tracking.peer.reader import PeerReader

        return PeerReader(PeerConnection(self.url, login=Login(token=self._token)))

    def another(self) -> Client:
        """Return a client of the same server with a connection of its own, for another thread."""
        return Client(self.url, self._token, is_local=self.is_local)

    def _send(self, method: str, path: str, **options: Any) -> Any:
        with self._talking():
            answer = self._http.send(method, path, token=self._token, **options)
        read = _read(answer.content)
        if answer.status < 400 and read is not _NO_JSON:
            return read
        raise self._failure(f"{method} {path}", answer.status, read)

    @contextmanager
    def _talking(self) -> Iterator[None]:
        try:
            yield
        except FAILURES as error:
            raise self._unreachable(str(error) or type(error).__name__) from error

    def _unreachable(self, cause: str) -> Unreachable:
        hint = (
            "headway server status" if self.is_local else "check HEADWAY_URL; without it, a server of your own is used"
        )
        return Unreachable(f"the server at {self.url} does not answer", cause=cause, hint=hint)

    def _failure(self, what: str, status: int, read: Any) -> HeadwayError:
        if not isinstance(read, dict) or "message" not in read:
            if status == 404 or status < 400:
                return self._stranger(what, status)
            return HeadwayError(f"{what}: the server answered {status}", hint="headway server status")
        if "error_code" in read:
            return _WIRE_ERRORS.get(str(read["error_code"]), HeadwayError)(str(read["message"]))
        kind = _ERRORS.get(str(read.get("code", "")), HeadwayError)
        hint = str(read.get("hint", ""))
        if kind is LoginNeeded:
            hint = "unset HEADWAY_TOKEN" if self.is_local else LOGIN_HINT
        return kind(str(read["message"]), cause=str(read.get("cause", "")), hint=hint)

    def _stranger(self, what: str, status: int) -> HeadwayError:
        if self.is_local:
            return Conflict(
                f"the server at {self.url} does not know {what}",
                cause=f"it is of another version than this terminal ({__version__})",
                hint="headway server stop, then the same again",
            )
        return Unreachable(
            f"what answers at {self.url} is no Headway server of this version ({__version__})",
            cause=f"{what} was answered with {status}",
            hint="check HEADWAY_URL",
        )


_NO_JSON = object()


def _read(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return _NO_JSON


def connect(*, start: bool = True) -> Client:
    """Return a client of HEADWAY_URL, or of this data directory's server, started where none runs."""
    url = server_url()
    given = os.environ.get("HEADWAY_TOKEN", "")
    if url:
        return Client(url, given or kept_token(url), is_local=False)
    data = data_folder()
    found = running_server(data) if not start else find_or_start(data)
    if found is None:
        raise Unreachable(f"no server runs on {data}", hint="headway server start")
    if found.get("version") != __version__:
        note(
            f"note: the server is version {found.get('version')}, this terminal {__version__}: "
            "`headway server stop`, and the next command starts the same version"
        )
    return Client(_loopback(found), given or admin_token(data))


def server_url() -> str:
    """Return the address that HEADWAY_URL names, "" for the server of this data directory."""
    return os.environ.get("HEADWAY_URL", "").strip().rstrip("/")


def _loopback(found: dict[str, Any]) -> str:
    """The server's own socket, since its public address may lead through a proxy that asks more of us."""
    host, port = found.get("host"), found.get("port")
    if not host or not port:
        return str(found["url"])
    if str(host) in ("0.0.0.0", "::"):  # noqa: S104  # read, not listened on
        host = "127.0.0.1"  # every address of this machine is this one, too
    return f"http://[{host}]:{port}" if ":" in str(host) else f"http://{host}:{port}"


def admin_token(data: Path) -> str:
    """Return the token that a data directory keeps for the terminal beside it, "" when there is none."""
    try:
        return (data / "admin-token").read_text().strip()
    except OSError:
        return ""
