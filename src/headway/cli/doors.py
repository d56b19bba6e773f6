"""The doors of commands outside jobs: one private folder each, with what the server has not got yet."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headway.cli.origin import Origin
from headway.cli.tracker import Tracker
from headway.errors import NotFound, StorageFull, UsageError
from headway.sandbox.command import INSIDE

HOLD_SECONDS = 100.0  # MLflow's client hangs up after 120 s, and tries again
ANSWER_SECONDS = 10.0
_WAITS_FOR = (401, 403, 429)  # a new token, the rights, the rate: the journal waits for them
_NO_SPACE = (28, 122)  # errno.ENOSPC, errno.EDQUOT


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One folder: whose server, which command, since when."""

    id: str
    folder: Path
    url: str
    data: Path | None
    command: str
    at: float
    waiting_bytes: int
    refused: int
    is_open: bool  # a door lives


def state_folder() -> Path:
    """Return where the doors of this user are kept."""
    root = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(root).expanduser().absolute() / "headway" / "doors"


def make_folder(tracker: Tracker, origin: Origin, words: Sequence[str], *, patience: float) -> Path:
    """Make the folder of one command, readable by this user only; the token is not in it.

    Raises:
        StorageFull: there is no room for it.
        UsageError: the state directory cannot be written to.
    """
    folder = state_folder() / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
        if tracker.data is None:
            _write_json(folder / "server.json", tracker.place())
        patch = folder / "working-tree.patch"
        if origin.patch:
            _write(patch, origin.patch)
        door = {
            "server_file": str(tracker.server_file(folder)),
            "placeholder": f"door_{secrets.token_hex(16)}",
            "waits_for": _WAITS_FOR,
            "stamp": {"tags": origin.tags, "patch": str(patch) if origin.patch else None},
        }
        order = {
            "door": door,
            "hold_s": HOLD_SECONDS,
            "answer_s": ANSWER_SECONDS,
            "patience_s": patience,
            "url": tracker.url,
            "data": str(tracker.data) if tracker.data else None,
            "command": list(words),
            "at": time.time(),
        }
        _write_json(folder / "door.json", order)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        if error.errno in _NO_SPACE:
            raise StorageFull(
                f"no space left for the journal in {folder.parent}", hint="free some, or set XDG_STATE_HOME"
            ) from None
        raise UsageError(
            f"the journal cannot be kept in {folder.parent}",
            cause=error.strerror or str(error),
            hint="set XDG_STATE_HOME to a folder that you may write to",
        ) from None
    return folder


def keep_port(folder: Path, environment: dict[str, str]) -> None:
    """Write down where the door listens, so that one that takes its place listens there too."""
    order = read_json(folder / "door.json")
    if order is None:
        return
    order["door"]["port"] = int(environment["MLFLOW_TRACKING_URI"].rpartition(":")[2])
    with contextlib.suppress(OSError):  # a disk that is full now; the door is open all the same
        _write_json(folder / "door.json", order)


def kept_doors() -> list[Kept]:
    """Return every folder that still holds something, the oldest first."""
    root = state_folder()
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return [found for folder in folders if (found := _kept(folder)) is not None]


def kept_door(name: str) -> Kept:
    """Return the folder that an id, or the only one that its beginning, names.

    Raises:
        NotFound: there is none, or there are several.
    """
    found = [each for each in kept_doors() if each.id.startswith(name)]
    exact = [each for each in found if each.id == name]
    if len(exact or found) != 1:
        raise NotFound(f"there {'are several journals' if found else 'is no journal'} {name}", hint="headway journal")
    return (exact or found)[0]


def _kept(folder: Path) -> Kept | None:
    order = read_json(folder / "door.json")
    if order is None:
        return None
    journal = folder / "door" / "journal"
    try:
        size = journal.stat().st_size
        at = int.from_bytes(journal.with_name("journal.at").read_bytes() or b"\0", "big")
        undelivered = folder / "door" / "undelivered.jsonl"
        refused = len(undelivered.read_bytes().splitlines()) if undelivered.exists() else 0
    except OSError:
        size = at = refused = 0
    return Kept(
        id=folder.name,
        folder=folder,
        url=str(order["url"]),
        data=Path(order["data"]) if order["data"] else None,
        command=shlex.join(order["command"]),
        at=float(order["at"]),
        waiting_bytes=size - at if size > at else size,
        refused=refused,
        is_open=_is_held(folder / "lock"),
    )


def _is_held(lock: Path) -> bool:
    try:
        with lock.open() as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


class DoorProcess:
    """One process that keeps the door of a folder, and what it last said."""

    def __init__(
        self,
        folder: Path,
        token: str,
        *,
        life: int | None,
        hear: Callable[[dict[str, Any]], None],
        patience: float | None = None,
    ) -> None:
        """Start it; `hear` gets every line that it says, from a thread. No patience = that of the folder's command."""
        words = [
            sys.executable,
            "-I",
            "-S",
            str(INSIDE / "outside.py"),
            str(folder),
            "-" if life is None else str(life),
            *([] if patience is None else [str(patience)]),
        ]
        with os.fdopen(os.open(folder / "door.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=() if life is None else (life,),
                start_new_session=True,  # an interrupt at the terminal is meant for the command
            )
        assert self._process.stdin is not None  # noqa: S101  # it is piped
        with contextlib.suppress(OSError), self._process.stdin as stream:
            stream.write(token.encode() + b"\n")
        self._hear = hear
        self.said: dict[str, Any] = {}
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    @property
    def is_done(self) -> bool:
        """Whether it ended as it should; one that was killed did not."""
        return bool(self.said.get("done")) or "failed" in self.said

    def wait_until_ready(self, seconds: float) -> bool:
        """Wait for the first thing that it says; whether it said that it is ready."""
        self._ready.wait(seconds)
        return bool(self.said) and "failed" not in self.said

    def wait(self, seconds: float) -> bool:
        """Wait for its end; whether it came."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def ask_to_end(self) -> None:
        """Ask it to let nobody in and deliver what it has; the second time, to leave it at that."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def _listen(self) -> None:
        assert self._process.stdout is not None  # noqa: S101  # it is piped
        for line in _objects(self._process.stdout):
            self.said = line
            self._ready.set()
            self._hear(line)
        self._process.wait()
        self._ready.set()


def _objects(lines: Any) -> Iterator[dict[str, Any]]:
    for line in lines:
        with contextlib.suppress(ValueError):
            yield json.loads(line)


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in a file; None when there is none that can be read."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _write_json(path: Path, value: dict[str, Any]) -> None:
    draft = path.with_name(f"{path.name}.part")
    _write(draft, json.dumps(value).encode())
    draft.replace(path)


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
