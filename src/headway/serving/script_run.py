"""Runs of the team's own programs: started detached, found again after a restart, never run twice."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from headway.errors import UsageError
from headway.serving.durable import is_locked, last_lines, read_record, write_file

_RUNNER = Path(__file__).parent / "inside" / "run_script.py"
_LOG_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a run ended."""

    code: int
    reason: str = ""

    @property
    def text(self) -> str:
        """What to say of it."""
        return self.reason or (f"exit status {self.code}" if self.code >= 0 else f"killed by signal {-self.code}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What to run: an argv, never a shell's line."""

    argv: tuple[str, ...]
    cwd: str
    env: dict[str, str]
    timeout: float
    log_bytes: int = _LOG_BYTES


def split_command(command: str, what: str) -> tuple[str, ...]:
    """Return a command line as an argv.

    Raises:
        UsageError: its quotes do not close, or it is empty.
    """
    try:
        argv = tuple(shlex.split(command))
    except ValueError as error:
        raise UsageError(f"{what}: {error}", hint="check the quotes in headway.yaml") from error
    if not argv:
        raise UsageError(f"{what} is empty", hint="name the program in headway.yaml")
    return argv


class ScriptRun:
    """One run in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        """Look at a folder; nothing needs to be there."""
        self.folder = folder

    @property
    def exists(self) -> bool:
        """Whether it was ever wanted."""
        return (self.folder / "spec.json").exists()

    @property
    def is_alive(self) -> bool:
        """Whether the program runs now."""
        return is_locked(self.folder / "lock")

    @property
    def ended(self) -> Exit | None:
        """How it ended; None while it runs or may still start."""
        found = read_record(self.folder / "exit.json", Exit)
        if found is not None or self.is_alive or not (self.folder / "started").exists():
            return found
        # Read again after the look at the lock: it may have ended between the two.
        found = read_record(self.folder / "exit.json", Exit)
        return found or Exit(code=-9, reason="its process was lost: the machine restarted, or somebody killed it")

    def lines(self, most: int) -> list[str]:
        """Return the last lines that the program said."""
        return last_lines(self.folder / "log")[-most:] if most > 0 else []

    def start(self, script: Script) -> subprocess.Popen[bytes]:
        """Start it, detached; the runner itself sees to it that this happens once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_file(self.folder / "spec.json", msgspec.json.encode(script))
        return subprocess.Popen(
            [sys.executable, "-I", str(_RUNNER), str(self.folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={"PATH": os.defpath, "LANG": "C.UTF-8"},
        )


def plain_environment(environment: Mapping[str, str] | None) -> dict[str, str]:
    """Return what a team's program finds in its environment: no secret of the server."""
    kept = ("PATH", "HOME", "USER", "LANG", "TMPDIR", "KUBECONFIG")
    return {**{name: os.environ[name] for name in kept if name in os.environ}, **(environment or {})}
