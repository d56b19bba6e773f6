"""The guard: the process between supervisor and foreign code that outlives either for a moment.

It adopts every orphan below it, so that nothing of an attempt survives its end; it holds the lock until
the last of them is dead, so that a free lock proves that nothing runs; and when its supervisor dies, it
kills the tree.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import sys
import time
from typing import NamedTuple

import processes
from cgroup import Cgroup

_EXEC_FAILED = 127
_STOP_PASSES = 500  # a stopped process keeps its place in the process table, so this comes to an end


class Launch(NamedTuple):
    """What the child becomes."""

    argv: list[str]
    environment: dict[str, str]
    cwd: str
    keep: list[int]  # descriptors handed down
    rlimits: list[tuple[int, int]]
    cgroup: Cgroup | None


class Guarded(NamedTuple):
    """The supervisor's side of a guard."""

    pid: int
    status: int  # readable: one JSON object, then the end
    life: int  # closing it has the tree killed


def spawn(launch: Launch, *, output: int, lock: int) -> Guarded:
    """Start guard and child; must be called before the first thread exists."""
    status_read, status_write = os.pipe()
    life_read, life_write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(status_write)
        os.close(life_read)
        return Guarded(pid, status_read, life_write)
    try:
        _close_all_but([0, 2, output, lock, status_write, life_read, *launch.keep])
        _guard(launch, output=output, status=status_write, life=life_read)
    except BaseException as error:  # noqa: BLE001  # whatever it is, the process must end here
        print(f"guard: {error!r}", file=sys.stderr, flush=True)
    finally:
        os._exit(0)


def _guard(launch: Launch, *, output: int, status: int, life: int) -> None:
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    processes.become_subreaper()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    failed_read, failed_write = os.pipe()
    guard = os.getpid()
    child = os.fork()
    if child == 0:
        _become(launch, output=output, failed=failed_write, guard=guard)
    for descriptor in (failed_write, output, *launch.keep):
        os.close(descriptor)
    reaped: dict[int, int] = {}
    _wait(child, life, woken, reaped)
    _kill_everything(reaped)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    group = launch.cgroup
    report = {
        "status": reaped.get(child),
        "error": _read_all(failed_read).decode(errors="replace"),
        "cpu": used.ru_utime + used.ru_stime,
        "largest": used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "oom_kills": group.oom_kills() if group else 0,
        "refused_forks": group.refused_forks() if group else 0,
    }
    if group:
        group.remove()
    with contextlib.suppress(OSError):
        os.write(status, json.dumps(report).encode())


def _reap(reaped: dict[int, int]) -> bool:
    """Collect every child that has ended; False when no child is left at all."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if not pid:
            return True
        reaped[pid] = status


def _wait(child: int, life: int, woken: int, reaped: dict[int, int]) -> None:
    while _reap(reaped) and child not in reaped:
        ready, _, _ = select.select([life, woken], [], [], 5)
        if woken in ready:
            os.read(woken, 4096)
        if life in ready:
            return


def _kill_everything(reaped: dict[int, int]) -> None:
    """Kill what is below us until nothing is; stopped first, so that it cannot fork away from us."""
    seen: set[int] = set()
    for _ in range(_STOP_PASSES):
        if not _reap(reaped):
            return
        below = {process.pid for process in processes.descendants(os.getpid(), processes.snapshot())}
        if below <= seen:
            break
        processes.send(signal.SIGSTOP, sorted(below - seen))
        seen |= below
    while _reap(reaped):
        below = {process.pid for process in processes.descendants(os.getpid(), processes.snapshot())}
        processes.send(signal.SIGKILL, sorted(below))
        time.sleep(0.002)


def _become(launch: Launch, *, output: int, failed: int, guard: int) -> None:
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        processes.die_with_parent()
        if os.getppid() != guard:
            os._exit(_EXEC_FAILED)
        os.umask(0o022)
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:  # noqa: PTH123  # no pathlib after a fork
            score.write("500")
        for path in launch.cgroup.join_files() if launch.cgroup else []:
            with open(path, "w", encoding="ascii") as group:  # noqa: PTH123  # the same
                group.write(str(os.getpid()))
        for limit, value in launch.rlimits:
            _lower(limit, value)
        os.dup2(output, 1)
        os.dup2(output, 2)
        for descriptor in launch.keep:
            os.set_inheritable(descriptor, True)  # noqa: FBT003  # its signature
        os.chdir(launch.cwd)
        os.execvpe(launch.argv[0], launch.argv, launch.environment)  # noqa: S606  # our trade
    except BaseException as error:  # noqa: BLE001  # told through the pipe, the process must end here
        with contextlib.suppress(OSError):
            os.write(failed, f"{launch.argv[0]}: {getattr(error, 'strerror', None) or error!r}".encode())
    os._exit(_EXEC_FAILED)


def _lower(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(limit, (value, value))


def _close_all_but(keep: list[int]) -> None:
    kept = sorted({*keep, 0, 1, 2})
    for low, high in zip(kept, [*kept[1:], 4096]):  # noqa: B905  # Python 3.9 has no strict
        os.closerange(low + 1, high)


def _read_all(descriptor: int) -> bytes:
    data = b""
    while part := os.read(descriptor, 4096):
        data += part
    return data
