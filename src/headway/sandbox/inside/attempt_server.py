"""What a pod says to the server about its own attempt, and what it hears; every request may be repeated."""

from __future__ import annotations

import hashlib
import json
import random
import time
from pathlib import Path
from typing import Callable, NamedTuple, TypeVar, Union  # noqa: UP035  # Python 3.9 runs this too
from urllib.parse import quote

from upstream import Away, Request, Response, Upstream

_SECONDS = 15.0
_LONG_SECONDS = 300.0
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0

Answer = TypeVar("Answer")


class Ended(Exception):
    """The server wants nothing more of this attempt: it is over there, or another pod has it."""


class NotTaken(Exception):
    """The server understood and does not take it; the same would be refused again."""


class LogSeen(NamedTuple):
    """How many bytes of the log the server has, and whether the attempt shall end."""

    size: int
    stop: bool


class AttemptServer:
    """The routes of one attempt, used by one thread."""

    def __init__(self, server: Union[Path, dict], token: str, attempt: str, who: str) -> None:  # noqa: UP007  # Python 3.9 runs this too
        self._upstream = Upstream(server, token)
        self._base = f"/api/v1/attempts/{quote(attempt, safe='')}"
        self._who = who  # this process, unlike any other that was ever started for the attempt

    def source(self, path: Path) -> str:
        """Write the source archive into `path` and return its SHA-256."""
        response = self._checked(self._upstream.send(Request("GET", f"{self._base}/source", {}), seconds=_LONG_SECONDS))
        digest = hashlib.sha256()
        with path.open("wb") as out:
            for part in response.parts:
                digest.update(part)
                out.write(part)
        return digest.hexdigest()

    def started(self, record: dict) -> None:
        """Take the right to run the code; only one process ever gets it."""
        self._put("started", dict(record, uid=self._who))

    def log(self, offset: int, data: bytes) -> LogSeen:
        """Append to the log where the server has just `offset` bytes; otherwise it says how many it has."""
        headers = {"Content-Type": "application/octet-stream"}
        target = f"{self._base}/log?offset={offset}&pod={self._who}"
        response = self._upstream.send(Request("PUT", target, headers, data), seconds=_SECONDS)
        body = _object(response.read())
        if response.status == 409 and isinstance(body.get("size"), int):
            return LogSeen(body["size"], bool(body.get("stop")))
        self._raise(response.status, body)
        return LogSeen(int(body["size"]), bool(body.get("stop")))

    def out(self, archive: Path, sha256: str) -> None:
        """Bring the outputs; they appear there at once, or not at all."""
        headers = {"Content-Type": "application/x-tar"}
        target = f"{self._base}/out?sha256={sha256}&pod={self._who}"
        self._checked(self._upstream.send(Request("PUT", target, headers, spool=archive), seconds=_LONG_SECONDS)).read()

    def exit(self, record: dict) -> None:
        """Tell how it ended: the last word."""
        self._put(f"exit?pod={self._who}", record)

    def close(self) -> None:
        """Drop the connection."""
        self._upstream.close()

    def _put(self, what: str, record: dict) -> None:
        headers = {"Content-Type": "application/json"}
        request = Request("PUT", f"{self._base}/{what}", headers, json.dumps(record).encode())
        self._checked(self._upstream.send(request, seconds=_SECONDS)).read()

    def _checked(self, response: Response) -> Response:
        if response.status >= 300:
            self._raise(response.status, _object(response.read()))
        return response

    def _raise(self, status: int, body: dict) -> None:
        if status < 300:
            return
        said = "; ".join(str(body[name]) for name in ("message", "cause", "hint") if body.get(name)) or f"HTTP {status}"
        if status in (401, 403, 409, 410):
            raise Ended(said)
        if status >= 500 or status in (408, 425, 429):
            raise Away(said)  # it is being mended, or written to: the same may succeed later
        raise NotTaken(said)


def patiently(call: Callable[[], Answer], deadline: float, is_enough: Callable[[], bool] = lambda: False) -> Answer:
    """Call until the server answers; `Away` only after the deadline, or when it is enough."""
    pause = _FIRST_PAUSE
    while True:
        try:
            return call()
        except Away:
            if time.monotonic() + pause > deadline or is_enough():
                raise
        time.sleep(pause * (0.5 + random.random()))  # noqa: S311  # jitter: a hundred pods find the server back at once
        pause = min(pause * 1.6, _LONGEST_PAUSE)


def _object(body: bytes) -> dict:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
