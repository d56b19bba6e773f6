"""`headway run COMMAND`: a command of this machine, with a door before the tracking server that keeps a journal."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from headway.cli.doors import DoorProcess, Kept, keep_port, make_folder, read_json
from headway.cli.origin import origin_of
from headway.cli.output import clean_line, count, note
from headway.cli.progress import Progress
from headway.cli.tracker import Tracker, check, find_tracker, token_for, token_here
from headway.errors import HeadwayError, NotFound, Unreachable

_READY_SECONDS = 30.0
_MOST_DOORS = 20  # that take the place of one another for one command
_WAKE_EVERY = 5.0
_ALONE = "MLFLOW_REGISTRY_URI"
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def is_command(word: str) -> bool:
    """Whether the first word after `headway run` is a program; what ends in .py is a script, and becomes a job."""
    return not word.endswith(".py") and shutil.which(word) is not None


def run_command(words: Sequence[str], *, patience: float) -> int:
    """Run a command here and now; return its exit code, or why what it logged is not all on the server.

    Raises:
        NotFound: there is no such program.
        HeadwayError: the server or the journal cannot be used; nothing was started.
    """
    if shutil.which(words[0]) is None:
        raise NotFound(f"there is no program {words[0]}", hint="headway run python train.py")
    tracker = find_tracker()
    check(tracker, patience=patience)
    folder = make_folder(tracker, origin_of(words), words, patience=patience)
    return _Outside(tracker, folder).run(words)


class _Outside:
    """A command, its door, and whatever takes the door's place."""

    def __init__(self, tracker: Tracker, folder: Path) -> None:
        self._tracker = tracker
        self._folder = folder
        self._life, self._held = os.pipe()
        self._talk = Talk(tracker)
        self._door: DoorProcess | None = None
        self._ended = threading.Event()

    def run(self, words: Sequence[str]) -> int:
        try:
            door = self._open()
        except HeadwayError:
            shutil.rmtree(self._folder, ignore_errors=True)  # nothing is in it yet
            raise
        environment = _environment_of(self._folder)
        keep_port(self._folder, environment)
        threading.Thread(target=self._watch, args=(door,), daemon=True).start()
        code = _run(words, child_environment(environment, self._tracker.url), keep=self._held)
        self._ended.set()
        door = self._door or door
        door.ask_to_end()
        said = wait_for_delivery(door, self._talk)
        if not door.is_done:  # somebody killed it
            said = deliver(self._folder, self._tracker, self._talk)
        for run in self._talk.runs:
            note(f"headway: run {self._tracker.url}/runs/{run}")
        return outcome(said, self._folder, code)

    def _open(self) -> DoorProcess:
        self._door = door = DoorProcess(self._folder, self._tracker.token, life=self._life, hear=self._talk.hear)
        if not door.wait_until_ready(_READY_SECONDS):
            door.ask_to_end()
            raise HeadwayError(
                "the door to the tracking server could not be opened; the command was not started",
                cause=_last_line(self._folder / "door.log"),
                hint=f"is there room in {self._folder.parent}? XDG_STATE_HOME names another place",
            )
        return door

    def _watch(self, door: DoorProcess) -> None:
        """Put another door in the place of one that was killed, and keep the server of this machine awake."""
        left = _MOST_DOORS
        while not self._ended.is_set():
            if not door.wait(_WAKE_EVERY):
                self._talk.wake()
                continue
            if self._ended.is_set() or not left:
                return
            left -= 1
            note("headway: the door's process ended; another takes its place with what was kept")
            with contextlib.suppress(HeadwayError, OSError):
                door = self._open()
                self._ended.wait(0.2)


def child_environment(door: dict[str, str], url: str) -> dict[str, str]:
    """Return this environment with the door in it, and nothing that would lead the command around it."""
    found = {**os.environ, **door}
    token = door["MLFLOW_TRACKING_TOKEN"]
    # MLflow prefers a user and a password, also one from a file of its own, to any token; runs get that user's name.
    found |= {"MLFLOW_TRACKING_USERNAME": _user(), "MLFLOW_TRACKING_PASSWORD": token}
    # The address that MLflow prints would lead to the door, which shows no pages.
    found.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    if found.get(_ALONE, "").rstrip("/") == url:
        del found[_ALONE]
    for name in ("NO_PROXY", "no_proxy"):
        found[name] = ",".join(filter(None, [found.get(name, ""), "127.0.0.1"]))
    return found


def _user() -> str:
    given = os.environ.get("MLFLOW_TRACKING_USERNAME")
    try:
        return given or getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "unknown"


def _run(words: Sequence[str], environment: dict[str, str], *, keep: int) -> int:
    """Run it on this terminal; signals reach it as if nobody stood between."""
    with _forwarding() as child:
        os.set_inheritable(keep, True)
        try:
            pid = os.posix_spawnp(words[0], list(words), environment, setsigdef=[*_FORWARDED, *_IGNORED_BY_PYTHON])
        except OSError as error:
            raise NotFound(f"{words[0]} cannot be run", cause=error.strerror or str(error)) from None
        finally:
            os.set_inheritable(keep, False)
        child.append(pid)
        _, status = os.waitpid(pid, 0)
        child.clear()
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def _forwarding() -> Iterator[list[int]]:
    """Pass signals on to the process whose id is put into the list."""
    child: list[int] = []

    def forward(number: int, _frame: object) -> None:
        if number in {signal.SIGINT, signal.SIGQUIT} and _is_in_front():
            return  # the terminal has sent it to the command itself
        for pid in child:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    before = {number: signal.signal(number, forward) for number in _FORWARDED}
    try:
        yield child
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_in_front() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def deliver(folder: Path, tracker: Tracker, talk: Talk, *, patience: float | None = None) -> dict[str, Any]:
    """Deliver what a folder holds, unless nothing moves for so many seconds; return what was said last."""
    talk.wake(now=True)
    return wait_for_delivery(DoorProcess(folder, tracker.token, life=None, hear=talk.hear, patience=patience), talk)


def wait_for_delivery(door: DoorProcess, talk: Talk) -> dict[str, Any]:
    """Wait for a door's end and show how it goes; an interrupt leaves what is left for later."""
    progress = Progress(is_quiet=False)
    began = time.monotonic()
    while True:
        try:
            if door.wait(0.2):
                break
            talk.wake()
            pending = int(door.said.get("pending", 0))
            if pending and time.monotonic() - began > 1:
                progress.state("delivering what was kept", f"{pending} left {talk.trouble}".strip())
        except KeyboardInterrupt:
            door.ask_to_end()
    progress.clear()
    return door.said


def outcome(said: dict[str, Any], folder: Path, code: int) -> int:
    """Say what is not on the server, and return the exit code that says so where the command's own is 0."""
    pending, refused = int(said.get("pending", 0)), int(said.get("refused", 0))
    if "failed" in said:
        note(f"headway: {said['failed']}")
        return code or Unreachable.exit_code
    if pending or not said.get("done"):
        name = folder.name
        note(
            f"headway: {count(pending, 'request')} kept in {folder}: the server did not take them in time\n"
            f"hint:  headway run --drain, or headway journal deliver {name}"
        )
        if said.get("trouble"):
            note(f"cause: {clean_line(said['trouble'])}")
        return code or Unreachable.exit_code
    if refused:
        note(
            f"headway: the server refused {count(refused, 'request')}; each with its answer is in "
            f"{folder / 'door' / 'undelivered.jsonl'}"
        )
        if said.get("refusal"):
            note(f"cause: {clean_line(said['refusal'])}")
        return code or 1
    return code


class Talk:
    """Says once what has changed between door and server, in the midst of the command's own output."""

    def __init__(self, tracker: Tracker) -> None:
        """Begin with a server that is there."""
        self._tracker = tracker
        self._woken_at = 0.0
        self._full = ""
        self.trouble = ""
        self.runs: list[str] = []

    def hear(self, said: dict[str, Any]) -> None:
        """Take one line of a door."""
        self.runs += [run for run in said.get("runs", []) if run not in self.runs]
        before, now = self.trouble, str(said.get("trouble", ""))
        full, self._full = self._full, str(said.get("full", ""))
        self.trouble = now
        if self._full and self._full != full:
            note(f"headway: {clean_line(self._full)}; the command was told so")
        if now and not before:
            note(f"headway: the server is away ({clean_line(now)}); what is logged is kept here")
        elif before and not now:
            pending = int(said.get("pending", 0))
            note(f"headway: the server is back{f'; {pending} kept requests follow' if pending else ''}")

    def wake(self, *, now: bool = False) -> None:
        """Start the server of this machine when it has stopped; a server elsewhere is waited for."""
        if self._tracker.data is None or not (now or self.trouble):
            return
        if now or time.monotonic() - self._woken_at > _WAKE_EVERY:
            self._woken_at = time.monotonic()
            with contextlib.suppress(HeadwayError, OSError):
                self._tracker.wake()


def tracker_of(kept: Kept) -> Tracker:
    """Return the server that a folder's journal is for, with the token that is known for it today."""
    if kept.data is None:
        return Tracker(url=kept.url, token=token_for(kept.url))
    return Tracker(url=kept.url, token=token_here(kept.data), data=kept.data)


def _environment_of(folder: Path) -> dict[str, str]:
    ready = read_json(folder / "ready.json") or {}
    return {str(name): str(value) for name, value in ready.get("environment", {}).items()}


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return clean_line(lines[-1]) if lines else ""
