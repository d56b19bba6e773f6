"""The tracking server that a command outside a job logs to, and how its door reaches it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from headway.cli.client import LOGIN_HINT, admin_token, connect, server_url
from headway.cli.credentials import kept_token
from headway.cli.find_server import data_folder, find_or_start, running_server
from headway.cli.output import note
from headway.cli.transport import FAILURES, Answer, Connection, proxy_for
from headway.errors import HeadwayError, LoginNeeded, Unreachable, UsageError

START_PATIENCE = 20.0  # a server that is just being restarted


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracker:
    """A server elsewhere, or the one of this data directory, which is started again when it has stopped."""

    url: str
    token: str
    data: Path | None = None  # of the server here

    def server_file(self, folder: Path) -> Path:
        """Return the file that tells the door where to connect; that of a server here follows it to another port."""
        return self.data / "server.json" if self.data else folder / "server.json"

    def place(self) -> dict[str, Any]:
        """Return what such a file says of a server elsewhere."""
        parts = urlsplit(self.url)
        is_https = parts.scheme == "https"
        host = parts.hostname or ""
        proxy = proxy_for(host, is_https=is_https)
        return {
            "host": host,
            "port": parts.port or (443 if is_https else 80),
            "tls": is_https,
            "prefix": parts.path.rstrip("/"),
            "proxy": list(proxy) if proxy else None,
        }

    def wake(self) -> None:
        """Start the server here again if it does not run; one elsewhere is started by others."""
        if self.data is not None and running_server(self.data) is None:
            find_or_start(self.data)


def find_tracker() -> Tracker:
    """Return the server that HEADWAY_URL or MLFLOW_TRACKING_URI names, or the one here, started where none runs."""
    url = server_url()
    if url:
        return Tracker(url=url, token=token_for(url))
    url = os.environ.get("MLFLOW_TRACKING_URI", "").strip().rstrip("/")
    if url.startswith(("http://", "https://")):
        return Tracker(url=url, token=token_for(url))
    data = data_folder()
    return Tracker(url=connect().url, token=token_here(data), data=data)


def token_here(data: Path) -> str:
    """Return the token for the server of a data directory."""
    return _given("") or admin_token(data)


def token_for(url: str) -> str:
    """Return the token for a server elsewhere: given for Headway or for MLflow, or kept by `headway login`."""
    given = _given(url)
    if not given and os.environ.get("MLFLOW_TRACKING_URI", "").strip().rstrip("/") == url:
        given = os.environ.get("MLFLOW_TRACKING_TOKEN") or os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    return given or kept_token(url)


def _given(url: str) -> str:
    """Return HEADWAY_TOKEN, unless HEADWAY_URL says that it is another server's: that one's secret must not go here."""
    return os.environ.get("HEADWAY_TOKEN", "") if server_url() in ("", url) else ""


def check(tracker: Tracker, *, patience: float = START_PATIENCE) -> None:
    """See that the server answers and takes the token, before a command runs that would find out much later.

    Raises:
        UsageError: the address is none.
        Unreachable: nothing answers, or what answers is no tracking server.
        LoginNeeded: the token is missing or not accepted.
    """
    deadline = time.monotonic() + min(patience, START_PATIENCE)
    is_told = False
    while isinstance(answer := _ask(tracker), str):
        if time.monotonic() > deadline:
            raise Unreachable(
                f"the server at {tracker.url} does not answer",
                cause=answer,
                hint="check HEADWAY_URL; nothing has been started",
            )
        if not is_told:
            note(f"headway: {tracker.url} does not answer; trying for {min(patience, START_PATIENCE):.0f} s")
            is_told = True
        time.sleep(0.5)
    refusal = _refusal(tracker, answer)
    if refusal is not None:
        raise refusal


def _ask(tracker: Tracker) -> Answer | str:
    """Return its answer to a small question, or why there is none now."""
    try:
        connection = Connection(tracker.url, is_local=tracker.data is not None)
    except ValueError as error:
        raise UsageError(
            f"{tracker.url} is no address of a server", cause=str(error), hint="check HEADWAY_URL"
        ) from None
    try:
        query = {"max_results": 1}
        answer = connection.send("GET", "/api/2.0/mlflow/experiments/search", query=query, token=tracker.token)
    except FAILURES as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return f"it answers {answer.status}" if answer.status in {502, 503, 504} else answer


def _refusal(tracker: Tracker, answer: Answer) -> HeadwayError | None:
    if answer.status in {401, 403}:
        return LoginNeeded(
            f"{tracker.url} does not accept the token" if tracker.token else f"{tracker.url} asks for a token",
            cause=f"it answered {answer.status}; nothing has been started",
            hint=f"set HEADWAY_TOKEN, or {LOGIN_HINT}",
        )
    is_json = "json" in answer.headers.get("content-type", "")
    if answer.status >= 400 or not is_json:
        return Unreachable(
            f"what answers at {tracker.url} is no tracking server",
            cause=f"a search for experiments was answered with {answer.status}",
            hint="check HEADWAY_URL; nothing has been started",
        )
    return None
