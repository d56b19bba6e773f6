"""The supervisor: one detached process per attempt, which outlives the server that spawned it.

Run as `python -I -S supervisor.py ATTEMPT_FOLDER`. In the folder: `command.json` (from the engine), `lock`
(held while anything of the attempt lives), `started` (written at most once), `log`, `stop` (anybody may
make it), `exit.json`, `door/` (the journal).
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # -I leaves it out

import guard  # needs the line above
import limits
import processes
import sampling
import wrap
from cgroup import make_cgroup, own_group
from door import Door
from durable import boot_id, read_json, sync_folder, write_json
from output import LogPump

_TICK = 0.1
_LOOK_EVERY = 0.4
_LOCK_PATIENCE = 2.0
_FOLDERS = ("work", "out", "tmp", "home")


def main(folder: Path) -> int:
    """Run the attempt in `folder`, unless another supervisor does or did."""
    os.umask(0o077)
    os.chdir(folder)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    lock = None if (folder / "started").exists() else _take_lock(folder / "lock")
    if lock is None or (folder / "started").exists():
        return 0
    command = read_json(folder / "command.json")
    if command is None:
        print("command.json is missing or unreadable", file=sys.stderr)
        return 1
    started = {
        "pid": os.getpid(),
        "boot_id": boot_id(),
        "nonce": command["nonce"],
        "at": time.time(),
        "isolation": command["isolation"],
    }
    write_json(folder / "started", started)
    attempt = Attempt(folder, command, started_at=started["at"])
    try:
        if (folder / "stop").exists():
            attempt.finish(exit_code=143, reason="cancelled", text="cancelled before it began")
        else:
            attempt.run(lock)
    except Exception as error:  # noqa: BLE001  # a supervisor that fails still owes an exit record
        traceback.print_exc()
        attempt.finish(exit_code=125, reason="launch", text=f"the supervisor failed: {error!r}")
    return 0


def _take_lock(path: Path) -> int | None:
    """Return the descriptor that holds the lock; an engine that only looks holds it for microseconds."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + _LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > deadline:
                return None
            time.sleep(0.01)
        else:
            return descriptor


class Attempt:
    """One attempt from its start marker to its exit record."""

    def __init__(self, folder: Path, command: dict, *, started_at: float) -> None:
        self._folder = folder
        self._command = command
        self._limits = command["limits"]
        self._started_at = started_at
        self._breach: limits.Breach | None = None
        self._kill_at = 0.0
        self._next_look = 0.0
        timeout = self._limits["timeout_s"]
        self._deadline = time.monotonic() + timeout if timeout else None
        self._door: Door | None = None
        if command["door"]:
            door = command["door"]
            if command.get("is_pod"):
                # The code can write to the file, and whoever stands there is sent the token.
                door = dict(door, server=read_json(Path(door["server_file"])))
            self._door = Door(folder, door, hold=command["hold_s"], answer=command["answer_s"])
        self._log: LogPump | None = None
        self._watch: limits.Watch | None = None

    def run(self, lock: int) -> None:
        """Start the code, watch over it, and write down how it ended."""
        for name in _FOLDERS:
            (self._folder / name).mkdir(exist_ok=True)
        if self._command.get("is_pod"):
            processes.hide_memory()  # the door's token is in it, and the code runs as the same user
            self._forget_token()
        name = f"headway-{self._command['id']}"
        group = own_group() if self._command.get("is_pod") else make_cgroup(name, self._limits)
        read_end, write_end = os.pipe()
        door_environment = self._door.listen(network=self._command["network"]) if self._door else {}
        argv, environment, keep = wrap.assemble(self._command, door_environment, self._folder)
        launch = guard.Launch(
            argv=argv,
            environment=environment,
            cwd="/" if self._command["wrap"] else self._command["cwd"],
            keep=keep,
            rlimits=limits.rlimits(self._limits, group),
            cgroup=group,
        )
        try:
            guarded = guard.spawn(launch, output=write_end, lock=lock)
        except OSError:  # no more processes on this machine
            if group:
                group.remove()
            raise
        # Threads only from here on: the guard was forked from one thread.
        for descriptor in (write_end, *keep):
            os.close(descriptor)
        processes.become_subreaper()
        limit, hidden = int(self._limits["log_mb"]) << 20, self._command.get("hidden", [])
        self._log = LogPump(read_end, self._folder / "log", limit=limit, hidden=hidden)
        self._log.start()
        if self._door:
            self._door.start()
        self._forget_token()
        folders = [self._folder / name for name in _FOLDERS]
        self._watch = limits.Watch(guarded.pid, self._limits, folders, group)
        sampler = sampling.Sampler(self._watch, self._door, self._command)
        report = self._stand_by(guarded, sampler)
        if group:
            group.remove()  # nothing to do, unless somebody killed the guard
        self._log.join()
        sampler.last(memory=self._peak(report), cpu=self._cpu(report))
        self._settle(report)

    def _peak(self, report: dict) -> int:
        return max(self._watch.peak_memory if self._watch else 0, report.get("largest", 0))

    def _cpu(self, report: dict) -> float:
        return max(self._watch.usage.cpu if self._watch else 0.0, report.get("cpu", 0.0))

    def _forget_token(self) -> None:
        """Take the attempt's token and secrets off the disk: nobody needs them there once the start marker stands."""
        kept = dict(self._command, door=None, environment={}, hidden=[])
        write_json(self._folder / "command.json", kept)

    def _stand_by(self, guarded: guard.Guarded, sampler: sampling.Sampler) -> dict:
        """Wait for the guard's report; look at the wishes and limits ten times a second."""
        life: int | None = guarded.life
        while not select.select([guarded.status], [], [], _TICK)[0]:
            now = time.monotonic()
            if self._breach is None:
                breach = self._wish(now) or self._look(now)
                sampler.tick(now)
                if breach:
                    self._end(guarded, breach)
            elif life is not None and now >= self._kill_at:
                os.close(life)  # the guard kills everything, and reports
                life = None
        text = _read_all(guarded.status)
        if life is not None:
            os.close(life)
        while not _reap_all():
            # Only when somebody killed the guard: then its orphans are ours.
            below = processes.descendants(os.getpid(), processes.snapshot())
            processes.send(signal.SIGKILL, [process.pid for process in below])
            time.sleep(0.005)
        return json.loads(text) if text else {}

    def _wish(self, now: float) -> limits.Breach | None:
        if (self._folder / "stop").exists():
            return limits.Breach("cancelled", "stopped: cancelled")
        if self._deadline is not None and now > self._deadline:
            timeout = self._limits["timeout_s"]
            return limits.Breach("timeout", f"stopped: it ran longer than {timeout:g} s (timeout)")
        return None

    def _look(self, now: float) -> limits.Breach | None:
        if now < self._next_look:
            return None
        breach = self._watch.look()
        self._next_look = now + max(_LOOK_EVERY, 20 * (time.monotonic() - now))  # at most a twentieth of a core
        return breach

    def _end(self, guarded: guard.Guarded, breach: limits.Breach) -> None:
        """Ask the tree to end; what breaks a limit of the machine is not asked twice."""
        self._breach = breach
        self._log.say(breach.text)
        polite = breach.reason in {"timeout", "cancelled"}
        self._kill_at = time.monotonic() + (self._limits["grace_s"] if polite else 0)
        if polite:
            tree = processes.descendants(guarded.pid, processes.snapshot())
            if self._command["wrap"]:  # bubblewrap itself would take the sandbox with it
                tree = tree[1:]
            processes.send(signal.SIGTERM, [process.pid for process in tree])

    def _settle(self, report: dict) -> None:
        status = report.get("status")
        exit_code = 137 if status is None else _exit_code(status)
        breach = self._breach or self._breach_seen_by_kernel(report, exit_code)
        reason, text = breach or ("", "")
        if not breach and report.get("error"):
            reason, text, exit_code = "launch", f"could not start: {report['error']}", 127
        elif not breach and self._command["wrap"] and exit_code == 1:
            reason, text = wrap.failure(self._folder / "log")
        if text and self._breach is None:
            self._log.say(text)
        self.finish(exit_code=exit_code, reason=reason, text=text, report=report)

    def _breach_seen_by_kernel(self, report: dict, exit_code: int) -> limits.Breach | None:
        if exit_code and report.get("oom_kills"):
            return limits.memory_breach(self._limits["memory_mb"])
        if exit_code and report.get("refused_forks"):
            return limits.processes_breach(self._limits["processes"])
        return None

    def finish(self, *, exit_code: int, reason: str, text: str, report: dict | None = None) -> None:
        """Write the exit record, deliver what the door still holds, and write it again with what is left."""
        found = report or {}
        record = {
            "exit_code": exit_code,
            "reason": reason,
            "text": text,
            "isolation": self._command["isolation"],
            "started_at": self._started_at,
            "finished_at": time.time(),
            "peak_memory_mb": round(self._peak(found) / (1 << 20), 1),
            "cpu_seconds": round(self._cpu(found), 3),
            "undelivered": 0,
            "drained": self._door is None,
        }
        if self._door:
            self._door.close_intake()
            record["undelivered"] = self._door.pending()
        write_json(self._folder / "exit.json", record)
        for name in ("tmp", "home"):
            shutil.rmtree(self._folder / name, ignore_errors=True)
        if self._door:
            record["undelivered"] = self._door.drain(self._command["drain_s"])
            record["drained"] = True
            write_json(self._folder / "exit.json", record)
        sync_folder(self._folder)


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _reap_all() -> bool:
    """Collect every ended child; True when none is left."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if not pid:
            return False


def _read_all(descriptor: int) -> bytes:
    data = b""
    while part := os.read(descriptor, 65536):
        data += part
    return data


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
