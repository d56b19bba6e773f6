"""The step's own container: the supervisor beside what brings everything to the server.

Run as `python3 -I -S pod.py` in whatever image the step has; in Headway's own it may fetch the source before. Nothing
of the attempt outlives the pod, so it ends only when log, outputs and exit record are with the server, or when that has
been away for too long.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import select
import signal
import stat
import sys
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # -I leaves it out

import archive  # needs the line above
import lay_out
import processes
import supervisor
from attempt_server import AttemptServer, Ended, NotTaken, patiently
from cgroup import own_group
from durable import read_json, write_json
from lay_out import tell
from upstream import Away

_TICK = 0.2
_BEAT = 2.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
_PART = 1 << 20
_MORE = 60.0  # beyond the patience of the supervisor
_NOT_RUN = 76
_STOPPED = 143
_METRICS = "metrics.json"
_OWN = ("HEADWAY_POD_", "KUBERNETES_")


class Pod:
    """One attempt in its pod, from the right to run it to the last word about it."""

    def __init__(self, folder: Path, command: dict, token: str) -> None:
        self._folder = folder
        self._command = command
        who = f"{os.environ.get('HEADWAY_POD_UID', 'pod')}.{uuid.uuid4().hex}"
        # Read once, before the code runs: it can write to the file, and whoever stands there is sent the token.
        server = read_json(folder / "server.json") or {}
        self._server = AttemptServer(server, token, command["id"], who)
        self._sent = 0
        self._is_log_taken = True
        self._next_beat = 0.0
        self._drain = float(command["drain_s"])
        self._group = own_group()
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)

    def run(self) -> int:
        """Run the code once and return its exit code."""
        try:
            patiently(lambda: self._server.started(self._claim()), time.monotonic() + self._drain, self._is_stopped)
        except Ended as ended:
            tell({"not_run": True, "why": f"the server does not let it run: {ended}"})
            return _NOT_RUN
        except (Away, NotTaken) as error:
            if self._is_stopped():
                return self._last(_record(_STOPPED, "cancelled", "cancelled before it began"))
            tell({"not_run": True, "why": f"the server could not be asked whether it may run: {error}"})
            return _NOT_RUN
        code = self._supervise()
        record = _sensible(read_json(self._folder / "exit.json")) or self._dead(code)
        return self._deliver(record)

    def _claim(self) -> dict:
        names = {"pod": "HEADWAY_POD_NAME", "node": "HEADWAY_POD_NODE"}
        found = {key: os.environ.get(name, "") for key, name in names.items()}
        return dict(found, at=time.time(), isolation=self._command["isolation"], nonce=self._command["nonce"])

    def _supervise(self) -> int:
        """Run the supervisor; what it logs goes to the server as it comes."""
        if self._command.get("keeps_image_environment"):
            kept = {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
            environment = self._command["environment"]
            # The image says where its programs are; everything else that the step says wins.
            environment = {**kept, **environment, "PATH": kept.get("PATH", environment["PATH"])}
            self._command["environment"] = environment
            write_json(self._folder / "command.json", self._command)
        ended, pid = self._fork_supervisor()
        pause = next_try = 0.0
        is_over = False
        while not select.select([ended], [], [], _TICK)[0]:
            if not is_over and time.monotonic() >= next_try:
                try:
                    self._send_log()
                    pause = 0.0
                except Away:  # it is kept here, and brought later
                    pause = min(max(pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
                    next_try = time.monotonic() + pause * (0.5 + random.random())  # noqa: S311  # no secret
                except NotTaken:
                    self._is_log_taken = False  # it is as long as the server allows
                except Ended:  # cancelled, or taken for lost: nobody waits for the result
                    is_over = True
                    self._stop()
        os.close(ended)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def _fork_supervisor(self) -> tuple[int, int]:
        """Start the supervisor; the descriptor can be read as soon as it has ended.

        Not as another program: that would begin Python once more, which takes longer than many a step.
        """
        ended, alive = os.pipe()
        pid = os.fork()  # of one thread
        if pid:
            os.close(alive)
            return ended, pid
        code = 1
        try:
            os.setsid()
            os.close(ended)
            self._server.close()
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, 0)
            os.close(nothing)
            for name in os.environ.keys() - {"PATH"}:
                del os.environ[name]
            code = supervisor.main(self._folder)
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _send_log(self) -> bool:
        """Bring the next part of the log; True when there is no more at the moment."""
        data = self._read_log()
        now = time.monotonic()
        if not data and now < self._next_beat:
            return True
        self._next_beat = now + _BEAT
        seen = self._server.log(self._sent, data)
        self._sent = seen.size
        if seen.stop:
            self._stop()
        return not data

    def _read_log(self) -> bytes:
        if not self._is_log_taken:
            return b""
        try:
            # The code may have put something else there: nothing is followed, and nothing is waited for.
            descriptor = os.open(self._folder / "log", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as stream:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    return b""
                stream.seek(self._sent)
                return stream.read(_PART)
        except OSError:
            return b""

    def _dead(self, code: int) -> dict:
        """Say what became of a supervisor that left no record: the kernel killed it, or it could not begin."""
        if self._group.oom_kills():
            limit = self._command["limits"].get("memory_mb") or 0
            return _record(137, "memory", f"stopped: it used more than its {limit:g} MB of memory (resources.memory)")
        return _record(125, "launch", f"the supervisor ended with {code} and left no record")

    def _deliver(self, record: dict) -> int:
        """Bring log, outputs and the record, in this order; wait for a server that is away."""
        deadline = time.monotonic() + self._drain + _MORE
        try:
            self._bring_log(deadline)
            record = self._bring_outputs(record, deadline)
            return self._last(record, deadline)
        except Ended as ended:
            tell(dict(record, undeliverable=str(ended)))
        except (Away, NotTaken) as error:
            tell(dict(record, undeliverable=f"the server did not take what was made: {error}"))
        return int(record["exit_code"])

    def _bring_log(self, deadline: float) -> None:
        self._next_beat = 0.0
        try:
            while not patiently(self._send_log, deadline):
                pass
        except NotTaken:
            self._is_log_taken = False  # it is as long as the server allows

    def _bring_outputs(self, record: dict, deadline: float) -> dict:
        cwd = Path(self._command["cwd"])
        is_good = record["exit_code"] == 0 and not record["reason"]
        wanted = [*(self._command.get("outputs", ()) if is_good else ()), _METRICS]
        # What is absent is missed by the server, in its own words.
        names = [name for name in dict.fromkeys(wanted) if os.path.lexists(cwd / name)]
        packed = self._folder / "out.tar"
        try:
            with packed.open("wb") as stream:
                archive.pack(cwd, stream, names)
            digest = _sha256(packed)
            patiently(lambda: self._server.out(packed, digest), deadline)
        except NotTaken:
            return record  # the server keeps why, and fails the step with it
        except (OSError, ValueError) as error:
            text = f"the outputs could not be packed: {error}"
            return dict(record, exit_code=1, reason=text[:200], text=text) if is_good else record
        finally:
            packed.unlink(missing_ok=True)
        return record

    def _last(self, record: dict, deadline: float = 0.0) -> int:
        deadline = deadline or time.monotonic() + self._drain
        # First where the kubelet finds it: should the server never hear of it, the cluster knows.
        tell(record)
        patiently(lambda: self._server.exit(record), deadline)
        return int(record["exit_code"])

    def _stop(self, *_: object) -> None:
        (self._folder / "stop").touch()

    def _is_stopped(self) -> bool:
        return (self._folder / "stop").exists()


def _sensible(record: dict | None) -> dict | None:
    """Return an exit record whose fields are what they should be; the code can write into the folder, too."""
    if record is None or not all(isinstance(record.get(name, ""), str) for name in ("reason", "text")):
        return None
    code = record.get("exit_code")
    return record if type(code) is int and 0 <= code <= 255 and "reason" in record else None


def _record(exit_code: int, reason: str, text: str) -> dict:
    now = time.time()
    return {
        "exit_code": exit_code,
        "reason": reason,
        "text": text,
        "isolation": 3,
        "started_at": now,
        "finished_at": now,
        "peak_memory_mb": 0.0,
        "cpu_seconds": 0.0,
        "undelivered": 0,
        "drained": True,
    }


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while part := stream.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def main() -> int:
    """Run the attempt of this pod."""
    os.umask(0o077)
    processes.hide_memory()  # the token is in it, and the code runs as the same user
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_STOPPED))  # the first process hears no signal by itself
    folder = Path(os.environ["HEADWAY_POD_FOLDER"])
    try:
        order = lay_out.given_order()
        if order is None:
            return Pod(folder, *_laid_out(folder)).run()
        if not _has_environment(order.command):
            return _NOT_RUN
        if not lay_out.is_done(lambda: lay_out.lay_out(order, folder)):
            return 1
        return Pod(folder, order.command, order.token).run()
    except (OSError, RuntimeError, ValueError, Away, NotTaken, Ended) as error:
        tell({"not_run": True, "why": json.dumps(repr(error))[:500]})
        return _NOT_RUN


def _has_environment(command: dict) -> bool:
    """Look for the environment that was there for others; the server has it made anew when it is not."""
    mark = command.get("stands", "")
    if not mark or Path(mark).exists():
        return True
    why = f"its environment is not in the cache of this node: {Path(mark).parent}; the next attempt makes it"
    tell({"not_run": True, "why": why})
    return False


def _laid_out(folder: Path) -> tuple[dict, str]:
    """Take command and token from where the first container has put them."""
    command = read_json(folder / "command.json")
    if command is None:
        raise RuntimeError("command.json is missing: the first container did not end well")
    token = (folder / "token").read_text(encoding="ascii")
    (folder / "token").unlink()
    return command, token


if __name__ == "__main__":
    sys.exit(main())
