"""One process of a build: its output line by line into the log, its end in bounded time, its last words kept."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uv import find_uv_bin

from headway.environments.failure import clean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta
    from pathlib import Path
    from typing import TextIO

_KEPT_LINES = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a uv process ended."""

    exit_code: int
    output: str  # its last lines, both streams in order
    is_timed_out: bool = False


def run_uv(
    arguments: Sequence[str],
    *,
    cwd: Path,
    variables: Mapping[str, str],
    log: TextIO,
    limit: timedelta,
    held: tuple[int, ...] = (),
) -> Ended:
    """Run uv and return when it has ended; descriptors in `held` (locks) live as long as it does."""
    command = (find_uv_bin(), *arguments)
    return run_logged(command, cwd=cwd, variables=variables, log=log, limit=limit, held=held)


def run_logged(
    command: Sequence[str],
    *,
    cwd: Path,
    variables: Mapping[str, str],
    log: TextIO,
    limit: timedelta,
    held: tuple[int, ...] = (),
) -> Ended:
    """Run a program, its output going to the log as it comes; past the limit the whole group is killed."""
    process = subprocess.Popen(
        tuple(command),
        cwd=cwd,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        pass_fds=held,
        start_new_session=True,
    )
    timed_out = threading.Event()
    watch = threading.Timer(limit.total_seconds(), _kill, (process.pid, timed_out))
    watch.daemon = True
    watch.start()
    kept: list[str] = []
    try:
        with process:
            for raw in process.stdout or ():
                line = clean(raw)
                log.write(line + "\n")
                log.flush()
                kept = [*kept[-_KEPT_LINES:], line]
    except BaseException:
        _kill(process.pid, timed_out)
        raise
    finally:
        watch.cancel()
    return Ended(exit_code=process.returncode, output="\n".join(kept), is_timed_out=timed_out.is_set())


def read_uv(arguments: Sequence[str], *, cwd: Path, variables: Mapping[str, str]) -> Ended:
    """Run a short uv command that touches no network; its standard output, or on failure its errors."""
    try:
        done = subprocess.run(
            (find_uv_bin(), *arguments),
            cwd=cwd,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=120,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Ended(exit_code=124, output="uv did not end within two minutes", is_timed_out=True)
    return Ended(exit_code=done.returncode, output=done.stdout if done.returncode == 0 else done.stderr)


def _kill(group: int, timed_out: threading.Event) -> None:
    timed_out.set()
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
