"""The server of a data directory: seen without disturbing it, and started where none runs."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from headway.errors import HeadwayError, StorageFull, Unreachable, UsageError

IDLE_STOP_SECONDS = 900
START_SECONDS = 45.0
POLL = 0.05
NOT_STARTED = "the server could not be started"

_SAID = ("error: ", "cause: ", "hint: ")
_FULL = 28  # errno.ENOSPC
_LEAST_ROOM = 1 << 20


def data_folder() -> Path:
    """Return the data directory that this terminal works with."""
    return Path(os.environ.get("HEADWAY_DATA") or Path.home() / ".headway").expanduser().absolute()


def running_server(data: Path) -> dict[str, Any] | None:
    """Return the announcement of the live server of a data directory; a stale one counts as none."""
    return announced(data) if is_held(data) else None


def is_held(data: Path) -> bool:
    """Whether a server holds the data directory, announced or not."""
    try:
        with (data / "server.lock").open() as lock:
            # Shared: two terminals that look at the same moment must not take each other for a server.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def announced(data: Path) -> dict[str, Any] | None:
    """Return what the server of a data directory last said of itself."""
    try:
        found = json.loads((data / "server.json").read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and {"url", "pid"} <= found.keys() else None


def find_or_start(data: Path) -> dict[str, Any]:
    """Return the server of a data directory, started where none runs; of several terminals one starts it.

    Raises:
        Unreachable: it cannot be started; the cause is what it said itself.
    """
    found = running_server(data)
    if found is not None and _listens(found):
        return found
    make_usable(data)
    with (data / "start.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        deadline = time.monotonic() + START_SECONDS
        while is_held(data) and time.monotonic() < deadline:
            # Somebody else's is on its way up, or on its way down.
            found = announced(data)
            if found is not None and _listens(found):
                return found
            time.sleep(POLL)
        if is_held(data):
            raise lost(data)
        return _start(data)


def lost(data: Path) -> Unreachable:
    """Return the error of a server that holds its folder and cannot be talked to."""
    return Unreachable(
        f"a server holds {data} and does not say where it listens",
        cause="it is starting, stopping, or server.json was removed",
        hint=f"fuser -k -TERM {data / 'server.lock'}  ends it; nothing acknowledged is lost",
    )


def _listens(found: dict[str, Any]) -> bool:
    """Whether the announced server still takes connections: one that is stopping keeps its folder a little longer."""
    host = str(found.get("host") or "127.0.0.1")
    try:
        with socket.create_connection((host.replace("0.0.0.0", "127.0.0.1"), int(found.get("port") or 0)), timeout=2):  # noqa: S104  # read, not listened on
            return True
    except OSError:
        return False


def make_usable(data: Path) -> None:
    """Make the data directory where it is missing, and see that it takes a file.

    Raises:
        StorageFull: its disk is full.
        UsageError: it cannot be written to, or is no folder.
    """
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (data / "start.lock").open("a"):
            pass
    except OSError as error:
        if error.errno == _FULL:
            raise StorageFull(f"no space left for {data}", hint="free some, or set HEADWAY_DATA") from None
        raise UsageError(
            f"{data} cannot be used as data directory",
            cause=error.strerror or str(error),
            hint="set HEADWAY_DATA to a folder that you may write to",
        ) from None


def _start(data: Path) -> dict[str, Any]:
    environment = {"HEADWAY_PORT": "0", "HEADWAY_IDLE_STOP": str(IDLE_STOP_SECONDS)} | os.environ
    environment["HEADWAY_DATA"] = str(data)
    log = data / "server.log"
    with log.open("ab") as output:
        began = output.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "headway.cli.main", "server", "start"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            cwd=data,  # not the terminal's folder, which may be deleted or unmounted
            start_new_session=True,  # closing the terminal does not end it
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        found = announced(data)
        if found is not None and found["pid"] == process.pid:
            return found
        if process.poll() is not None:
            raise _not_started(log, began)
        time.sleep(POLL)
    process.terminate()
    raise Unreachable(f"the server is not up after {START_SECONDS:.0f} s", hint=f"see {log}")


def _not_started(log: Path, began: int) -> HeadwayError:
    """Return what the server itself said when it ended."""
    with log.open("rb") as written:
        written.seek(began)
        lines = written.read()[-50_000:].decode(errors="replace").splitlines()
    said = {mark: line.removeprefix(mark).strip() for line in lines for mark in _SAID if line.startswith(mark)}
    if "error: " in said:
        parts = (said["error: "], said.get("cause: ", ""))
        cause = ": ".join(text for text in parts if text and text != NOT_STARTED)
        return Unreachable(NOT_STARTED, cause=cause, hint=said.get("hint: ") or f"see {log}")
    if any("file is not a database" in line or "disk image is malformed" in line for line in lines):
        return damaged(log.parent)
    if not lines and shutil.disk_usage(log.parent).free < _LEAST_ROOM:
        cause = f"the disk of {log.parent} is full: not even its log could be written"
        return Unreachable(NOT_STARTED, cause=cause, hint="free space, then the same again")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    return Unreachable(NOT_STARTED, cause=last[:300], hint=f"see {log}")


def damaged(data: Path) -> Unreachable:
    """Return the error of a data directory whose database cannot be read."""
    return Unreachable(
        NOT_STARTED,
        cause=f"the database in {data} is damaged: SQLite cannot read headway.db",
        hint=f"mv {data} {data}.damaged && headway server restore BACKUP",
    )
