"""The door outside a job: one process per command, which outlives the terminal that started it until all is delivered.

Run as `python -I -S outside.py FOLDER LIFE [PATIENCE]` with the server's token as the first line of its input. In the
folder: `door.json` (from the terminal), `lock` (held while a door lives), `ready.json`, `door/` (the journal).
LIFE is a descriptor that ends when terminal and command have ended; without it (`-`) nobody is let in and only
what was kept is delivered, with the patience of whoever asks for that now. Each change is told as a line of JSON.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Callable  # noqa: UP035  # Python 3.9 runs this too

sys.path.insert(0, str(Path(__file__).resolve().parent))  # -I leaves it out

from door import Door  # needs the line above
from durable import read_json, write_json

_LOOK_EVERY = 0.25
_IN_USE = 75  # what sysexits.h calls a temporary failure


def main(folder: Path, life: int | None, patience: float | None = None) -> int:
    """Keep the door of a folder until its command has ended and all is delivered, or nothing moves any more."""
    os.umask(0o077)
    os.chdir(folder)
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # a door goes on when the terminal is closed or interrupted
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: asked.append(number))
    lock = os.open("lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print(json.dumps({"failed": "another process delivers this journal already"}), flush=True)
        return _IN_USE
    order = read_json(folder / "door.json")
    if order is None:
        print(json.dumps({"failed": "door.json is missing or unreadable"}), flush=True)
        return 1
    spec = dict(order["door"], token=sys.stdin.readline().strip(), run_id="", experiment_id="")
    door = Door(folder, spec, hold=order["hold_s"], answer=order["answer_s"])
    said = _Said(door)
    if life is not None:
        write_json(folder / "ready.json", {"pid": os.getpid(), "environment": door.listen(network=True)})
    door.start()
    said.now(ready=True)
    if life is not None:
        _stand_open(life, asked, said)
        door.close_intake()
    patience = order["patience_s"] if patience is None else patience
    left = _drain(door, said, lambda: len(asked) > (life is not None), patience)
    said.now(done=True)
    if not left:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if left else 0


def _stand_open(life: int, asked: list[int], said: _Said) -> None:
    """Wait until the command has ended: it and its terminal are gone, or the terminal says so with SIGTERM."""
    while not asked:
        said.changes()
        if select.select([life], [], [], _LOOK_EVERY)[0] and not os.read(life, 1):
            return


def _drain(door: Door, said: _Said, is_enough: Callable[[], bool], patience: float) -> int:
    """Deliver until nothing waits, nothing has moved for so long, or the terminal has had enough (one more SIGTERM)."""
    pending, since = -1, time.monotonic()
    while (now_pending := door.status()["pending"]) and not is_enough():
        if now_pending != pending:
            pending, since = now_pending, time.monotonic()
        elif time.monotonic() - since > patience:
            break
        said.changes()
        door.drain(_LOOK_EVERY)
    return door.pending()


class _Said:
    """Tells the terminal what has changed; a terminal that is gone is told nothing."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._last: dict = {}

    def changes(self) -> None:
        status = self._door.status()
        if status != self._last:
            self._last = status
            self._write(status)

    def now(self, **more: bool) -> None:
        self._write(dict(self._door.status(), **more))

    @staticmethod
    def _write(line: dict) -> None:
        with contextlib.suppress(OSError):
            os.write(1, json.dumps(line).encode() + b"\n")


if __name__ == "__main__":
    life, *more = sys.argv[2:]
    sys.exit(main(Path(sys.argv[1]).resolve(), None if life == "-" else int(life), *map(float, more)))
