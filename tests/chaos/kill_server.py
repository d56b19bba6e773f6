"""Kill server and worker again and again while short trainings run, then look for anything lost or done twice.

By hand: `python tests/chaos/kill_server.py --runs 200 --kills 40 --seed 1`, or `--long 180` for one training of
three minutes. Only processes that this script started are killed, each by its id.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import text

from headway.clock import SystemClock
from headway.commands.inbox import InboxStore
from headway.db.connection import Database, open_database
from headway.db.migrate import migrate
from headway.forges.local import LocalForge
from headway.forges.model import CommentCreated
from headway.forges.os_user import os_user
from headway.settings import Settings
from headway.tracking.store import RunStore

CHANGES = 8
PATIENCE = 240.0  # for the loaded machine; nothing is measured by it
POINTS = 5

CONFIG = """\
name: chaos
run: python train.py
params: {n: 0, seconds: 0}
metrics:
  score: {goal: maximize}
"""

# Plain standard library: three writers whose every acknowledged batch goes to the log, which outlives everything.
TRAIN = """\
import json, os, sys, threading, time, urllib.request

n = int(os.environ["HEADWAY_PARAM_N"])
seconds = float(os.environ.get("HEADWAY_PARAM_SECONDS", "0")) or 0.3 + (n * 37 % 60) / 100
seconds += 6 if n % 8 == 3 and seconds < 1 else 0  # some live through several restarts
pause = 0.2 if seconds > 10 else 0.05
uri, run = os.environ["MLFLOW_TRACKING_URI"], os.environ["MLFLOW_RUN_ID"]
headers = {"Content-Type": "application/json", "Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"]}
lock = threading.Lock()


def say(*words):
    with lock:
        os.write(1, (" ".join(map(str, words)) + "\\n").encode())


def write(writer):
    ends, step = time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        now = int(time.time() * 1000)
        points = [{"key": f"m{writer}", "value": step + i, "step": step + i, "timestamp": now} for i in range(POINTS)]
        body = json.dumps({"run_id": run, "metrics": points}).encode()
        try:
            request = urllib.request.Request(uri + "/api/2.0/mlflow/runs/log-batch", body, headers)
            with urllib.request.urlopen(request, timeout=120) as answer:
                say("ACK" if answer.status == 200 else "NACK", writer, step, now)
        except Exception as error:
            say("NACK", writer, step, repr(error))
        step += POINTS
        time.sleep(pause)


say("BEGIN", os.environ["HEADWAY_ATTEMPT"], n)
open("began", "x").close()
writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
for each in writers:
    each.start()
for each in writers:
    each.join()
if n % 5 == 4:
    sys.exit(3)
json.dump({"score": n}, open("metrics.json", "w"))
say("END", n)
""".replace("POINTS", str(POINTS))

# What may follow what (reliability.md); the first state of a task is never written as an event.
GRAPH = {
    "job": {
        None: {"queued"},
        "queued": {"running", "cancelling", "cancelled", "refused"},
        "running": {"succeeded", "failed", "cancelled", "cancelling"},
        **{final: {"settled"} for final in ("succeeded", "failed", "cancelled", "refused")},
    },
    "task": {
        "pending": {"ready", "skipped", "cancelled"},
        "ready": {"running", "reused", "failed", "cancelled", "skipped"},
        "running": {"collecting", "ready", "failed", "cancelled"},
        "collecting": {"succeeded", "failed"},
    },
    "attempt": {
        None: {"launching"},
        "launching": {"running", "succeeded", "failed", "timed_out", "cancelled", "lost"},
        "running": {"succeeded", "failed", "timed_out", "cancelled", "lost"},
    },
}


@dataclass(kw_only=True)
class Found:
    """What a storm did, and everything that was wrong after it."""

    runs: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    executed: Counter[int] = field(default_factory=Counter)  # how many jobs ran their code so many times
    acked: int = 0
    lost: int = 0
    twice: int = 0
    unacked: int = 0  # stored and never acknowledged: allowed
    adopted: int = 0  # attempts that were alive when a worker began
    start_seconds: list[float] = field(default_factory=list)  # from the start of server or worker to "worker ready"
    adoption_seconds: list[float] = field(default_factory=list)  # from "worker ready" to all live attempts seen
    seconds: float = 0.0
    longest_gap: float = 0.0  # between two acknowledged batches of one writer
    wrong: list[str] = field(default_factory=list)

    def line(self, name: str) -> str:
        """One row of the table."""
        middle = sorted(self.start_seconds)[len(self.start_seconds) // 2] if self.start_seconds else 0.0
        executed = " / ".join(str(self.executed[count]) for count in (0, 1))
        more = sum(count for times, count in self.executed.items() if times > 1)
        return (
            f"| {name} | {self.runs} | {sum(self.kills.values())} ({_words(self.kills)}) | {self.acked:,} "
            f"| {self.lost} | {self.twice} | {_words(self.states)} | {executed} / {more} | {self.adopted} "
            f"| {max(self.adoption_seconds, default=0):.2f} | {middle:.2f} | {self.seconds:.0f} "
            f"| {len(self.wrong)} |"
        )


HEAD = (
    "| seed | runs | kills | acked points | lost | twice | run states | executed 0 / 1 / 2+ | adopted "
    "| adoption s, max | start s, median | s | wrong |\n|--|--|--|--|--|--|--|--|--|--|--|--|--|"
)


def _words(counted: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counted.items()))


class Stage:
    """A repository with changes, whose comments arrive as from a forge, while nothing of Headway need be up."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.data.mkdir(parents=True)
        self.repo_folder = folder / "repo"
        self.database = open_database(Settings(data=self.data).database_url)
        migrate(self.database)
        self.forge = LocalForge(self.database, SystemClock())
        self._commit_all()
        self.repo = self.forge.register_repo(self.repo_folder)
        self.changes = [
            self.forge.open_change(self.repo.id, f"change-{number}", author=os_user()) for number in range(CHANGES)
        ]
        self.posted = 0

    def _commit_all(self) -> None:
        self.repo_folder.mkdir()
        (self.repo_folder / "headway.yaml").write_text(CONFIG)
        (self.repo_folder / "train.py").write_text(TRAIN)
        self._git("init", "-q", "-b", "main")
        self._git("add", "-A")
        self._git("commit", "-q", "-m", "start")
        for number in range(CHANGES):
            self._git("checkout", "-q", "-b", f"change-{number}", "main")
            (self.repo_folder / f"note-{number}.txt").write_text(str(number))
            self._git("add", "-A")
            self._git("commit", "-q", "-m", f"note {number}")
        self._git("checkout", "-q", "main")

    def _git(self, *arguments: str) -> None:
        who = {
            f"GIT_{role}_{what}": "chaos@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        environment = os.environ | who | {"GIT_CONFIG_GLOBAL": os.devnull}
        subprocess.run(["git", *arguments], cwd=self.repo_folder, env=environment, check=True, capture_output=True)

    def comment(self, options: str = "") -> None:
        """Ask for the next training; each fourth comment is delivered twice, by two doors."""
        before = self.forge.events_since(self.repo.id, "").cursor if self.posted % 4 == 3 else None
        change = self.changes[self.posted % CHANGES]
        body = f"/train n={self.posted}{options}"
        posted = self.forge.add_comment(self.repo.id, change.number, author=os_user(), body=body)
        if before is not None:
            events = self.forge.events_since(self.repo.id, before).events
            event = next(each for each in events if isinstance(each, CommentCreated) and each.comment.id == posted.id)
            with self.database.write() as tx:
                again = replace(event, delivery=f"again-{posted.id}")
                InboxStore(tx).add(again, forge="local", at=datetime.now(UTC))
        self.posted += 1

    def count(self, query: str) -> int:
        """Return the one number of a query."""
        with self.database.read() as tx:
            return int(tx.execute(text(query)).scalar() or 0)

    @property
    def is_done(self) -> bool:
        """Whether everything that was asked for has been settled and told of."""
        return (
            self.count("select count(*) from job where settled_at is not null") == self.posted
            and not self.count("select count(*) from outbox where want_rev > sent_rev and dead = ''")
            and not self.count("select count(*) from inbox where state = 'new'")
        )


class House:
    """The real processes: `headway server start` and the worker that it starts."""

    def __init__(self, data: Path, *, slots: int) -> None:
        self._environment = {
            **os.environ,
            "HEADWAY_DATA": str(data),
            "HEADWAY_PORT": "0",
            "HEADWAY_SLOTS": str(slots),
            "HEADWAY_IDLE_STOP": "0",
        }
        self._log = data.parent / "server.log"
        self._log.touch()
        self._read = 0
        self._server: subprocess.Popen[bytes] | None = None
        self.began = 0.0

    def start(self) -> None:
        """Start a server, whose worker starts with it."""
        self.began = time.time()
        with self._log.open("ab") as log:
            command = [sys.executable, "-c", "from headway.cli.main import run; run()", "server", "start"]
            self._server = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log, cwd="/")

    @property
    def server(self) -> subprocess.Popen[bytes]:
        assert self._server is not None
        return self._server

    def worker_pid(self) -> int | None:
        """Return the worker of our server."""
        pid = self.server.pid
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                for child in task.read_text().split():
                    if b"headway.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                        return int(child)
        return None

    def kill(self, which: str) -> bool:
        """Send SIGKILL to server, worker or both; a server is started again, a worker the server starts itself."""
        worker = self.worker_pid()
        if which == "worker":
            if worker is None:
                return False
            self.began = time.time()
            os.kill(worker, signal.SIGKILL)
            return True
        if which == "both" and worker is not None:
            os.kill(worker, signal.SIGKILL)
        self.server.kill()
        self.server.wait()
        self.start()
        return True

    def new_lines(self) -> Iterator[dict[str, object]]:
        """Yield what was logged since the last look."""
        with self._log.open("rb") as stream:
            stream.seek(self._read)
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                self._read += len(line)
                with contextlib.suppress(ValueError):
                    found = json.loads(line)
                    if isinstance(found, dict):
                        yield found

    def stop(self) -> None:
        """End both in good order."""
        if self._server is not None and self._server.poll() is None:
            self._server.terminate()
            try:
                self._server.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.kill("both")
                self.server.kill()
                self.server.wait()


@dataclass(kw_only=True)
class Storm:
    """One run of everything."""

    stage: Stage
    house: House
    dice: random.Random
    found: Found

    def wait_ready(self) -> None:
        """Wait for the worker's word; what it took over must be seen running at once."""
        deadline = time.monotonic() + PATIENCE
        while True:
            for line in self.house.new_lines():
                if line.get("event") == "worker ready":
                    self._ready(line)
                    return
            if time.monotonic() > deadline:
                raise AssertionError(f"no worker within {PATIENCE:.0f} s: see {self.house._log}")
            if self.house.server.poll() is not None:
                raise AssertionError(f"the server ended by itself ({self.house.server.returncode}): see server.log")
            time.sleep(0.01)

    def _ready(self, line: dict[str, object]) -> None:
        at = datetime.fromisoformat(str(line["timestamp"])).timestamp()
        self.found.start_seconds.append(at - self.house.began)
        self.found.adopted += int(str(line.get("adopted", 0)))
        before = self._unseen()
        if not before:
            return
        # What was launched or ended while nobody looked: all of it must have been seen within two seconds.
        deadline = at + 30
        while time.time() < deadline and self._unseen() & before:
            time.sleep(0.02)
        self.found.adoption_seconds.append(max(0.0, time.time() - at))

    def _unseen(self) -> set[str]:
        """Attempts whose recorded state lags behind what stands in their folder."""
        with self.stage.database.read() as tx:
            live = tx.execute(text("select id, state, directory from attempt where state in ('launching', 'running')"))
            rows = live.all()
        return {
            row.id
            for row in rows
            if _has_ended(Path(row.directory))
            or (row.state == "launching" and (Path(row.directory) / "started").exists())
        }

    def feed(self, runs: int, share: float) -> None:
        """Keep some work waiting, but never all of it: kills on an idle server prove nothing."""
        settled = self.stage.count("select count(*) from job where settled_at is not null")
        while self.stage.posted < min(runs, runs * share) and self.stage.posted - settled < 12:
            self.stage.comment()

    def rage(self, runs: int, kills: int) -> None:
        """Kill at random moments until so many kills are done."""
        done = 0
        while done < kills:
            self.feed(runs, (done + 2) / kills)
            is_early = self.dice.random() < 0.15  # while it is still starting
            if not is_early:
                self.wait_ready()
            self._live_on(self.dice.uniform(0.2, 1.5), runs, (done + 2) / kills)
            which = self.dice.choice(("server", "worker", "both", "both"))
            if self.house.kill(which):
                self.found.kills[which] += 1
                done += 1

    def _live_on(self, seconds: float, runs: int, share: float) -> None:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self.feed(runs, share)
            time.sleep(min(0.1, max(0.0, ends - time.monotonic())))

    def finish(self, runs: int) -> None:
        """Leave it alone until everything has ended."""
        deadline = time.monotonic() + PATIENCE + runs
        while not (self.stage.posted >= runs and self.stage.is_done):
            self.feed(runs, 2.0)
            if time.monotonic() > deadline:
                self.found.wrong.append(f"not everything ended: {self.stage.posted} asked for, see {self.stage.data}")
                return
            time.sleep(0.1)


def _has_ended(folder: Path) -> bool:
    # A supervisor lets go of its lock after the exit record; a drained journal is part of the end.
    if not (folder / "exit.json").exists():
        return False
    with (folder / "lock").open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def check(stage: Stage, found: Found) -> None:
    """Look at everything that is left, and write down whatever is not as promised."""
    wrong = found.wrong
    with stage.database.read() as tx:
        answer = str(tx.exec_driver_sql("PRAGMA integrity_check").scalar())
        if answer != "ok":
            wrong.append(f"integrity_check: {answer}")
        jobs = tx.execute(text("select id, number, state, settled_at from job")).all()
        attempts = tx.execute(
            text(
                "select a.id, a.state, a.directory, t.run_id, t.job_id, t.attempts, a.number "
                "from attempt a join task t on t.id = a.task_id"
            )
        ).all()
    found.runs = len(jobs)
    found.states = Counter(job.state for job in jobs)
    wrong += [
        f"job {job.number} is {job.state}" for job in jobs if job.state in ("queued", "running") or not job.settled_at
    ]
    ran: Counter[str] = Counter()
    for attempt in attempts:
        if attempt.state in ("launching", "running"):
            wrong.append(f"attempt {attempt.id} is {attempt.state}")
        ran[attempt.job_id] += _check_attempt(stage.database, attempt.directory, attempt.run_id, found)
    found.executed = Counter(ran[job.id] for job in jobs)
    for times, count in found.executed.items():
        if times > 1:
            wrong.append(f"{count} jobs ran their code {times} times")
    _check_rest(stage, found)
    _check_events(stage.database, found)


def _check_attempt(database: Database, directory: str, run_id: str, found: Found) -> int:
    log = Path(directory) / "log"
    lines = log.read_text().splitlines() if log.exists() else []
    begun = sum(line.startswith("BEGIN ") for line in lines)
    if begun > 1:
        found.wrong.append(f"{directory} ran {begun} times")
    found.wrong += [f"{directory}: {line}" for line in lines if line.startswith("NACK") or "Traceback" in line]
    acked: dict[str, set[int]] = {}
    last: dict[str, float] = {}
    for line in lines:
        if match := re.fullmatch(r"ACK (\d) (\d+) (\d+)", line):
            writer, step, at = match[1], int(match[2]), int(match[3]) / 1000
            acked.setdefault(f"m{writer}", set()).update(range(step, step + POINTS))
            found.longest_gap = max(found.longest_gap, at - last.get(writer, at))
            last[writer] = at
    with database.read() as tx:
        for key in ("m0", "m1", "m2"):
            steps = [point.step for point in RunStore(tx).history(run_id, key) if point.value == point.step]
            wanted = acked.get(key, set())
            found.acked += len(wanted)
            found.lost += len(wanted - set(steps))
            found.twice += len(steps) - len(set(steps))
            found.unacked += len(set(steps) - wanted)
    return begun


def _check_rest(stage: Stage, found: Found) -> None:
    wrong = found.wrong
    if found.lost:
        wrong.append(f"{found.lost} acknowledged points are lost")
    if found.twice:
        wrong.append(f"{found.twice} points are stored twice")
    commands = stage.count("select count(*) from command where verb = 'train'")
    if not stage.posted == commands == found.runs:
        wrong.append(f"{stage.posted} comments, {commands} commands, {found.runs} jobs")
    for words, query in (
        ("commands not executed", "select count(*) from command where state != 'executed'"),
        ("runs left open", "select count(*) from run where job_id is not null and status in ('RUNNING', 'SCHEDULED')"),
        ("tokens left valid", "select count(*) from token where kind = 'attempt' and not revoked"),
        ("deliveries given up", "select count(*) from inbox where state = 'dead'"),
        ("messages given up", "select count(*) from outbox where dead != ''"),
    ):
        if number := stage.count(query):
            wrong.append(f"{number} {words}")
    used = stage.changes[: min(stage.posted, CHANGES)]
    for change in used:
        ours = [each for each in stage.forge.show(stage.repo.id, change.number).comments if each.is_ours]
        if len(ours) != 1:
            wrong.append(f"change {change.number} has {len(ours)} comments of ours instead of one report")


def _check_events(database: Database, found: Found) -> None:
    """The event log of each thing must be a path in its graph of states."""
    with database.read() as tx:
        rows = tx.execute(
            text(
                "select entity, entity_id, from_state, to_state from event "
                "where entity in ('job', 'task', 'attempt') order by seq"
            )
        ).all()
    at: dict[tuple[str, str], str] = {}
    for row in rows:
        key, graph = (row.entity, row.entity_id), GRAPH[row.entity]
        if row.to_state == "cancelling":
            continue
        before = at.get(key, "pending" if row.entity == "task" else None)
        if row.from_state != before or row.to_state not in graph.get(before, set()):
            found.wrong.append(f"{row.entity} {row.entity_id} went {before} -> {row.from_state} -> {row.to_state}")
        at[key] = row.to_state


@contextlib.contextmanager
def _standing(folder: Path, seed: int, slots: int) -> Iterator[Storm]:
    stage = Stage(folder)
    house = House(stage.data, slots=slots)
    storm = Storm(stage=stage, house=house, dice=random.Random(seed), found=Found())
    began = time.monotonic()
    house.start()
    try:
        yield storm
    finally:
        house.stop()
        storm.found.seconds = time.monotonic() - began
        stage.database.close()


def short_runs(folder: Path, *, runs: int, kills: int, seed: int, slots: int = 6) -> Found:
    """Run many short trainings under so many kills."""
    with _standing(folder, seed, slots) as storm:
        storm.rage(runs, kills)
        storm.finish(runs)
        storm.house.stop()
        check(storm.stage, storm.found)
    return storm.found


def long_run(folder: Path, *, seconds: float, kills: int, seed: int) -> Found:
    """Run one long training and kill server and worker so many times, evenly spread."""
    with _standing(folder, seed, 2) as storm:
        storm.stage.comment(f" seconds={seconds:g}")
        for _ in range(kills):
            storm.wait_ready()
            time.sleep(seconds / (kills + 1))
            storm.house.kill("both")
            storm.found.kills["both"] += 1
        storm.wait_ready()
        deadline = time.monotonic() + seconds + PATIENCE
        while not storm.stage.is_done and time.monotonic() < deadline:
            time.sleep(0.2)
        storm.house.stop()
        check(storm.stage, storm.found)
    return storm.found


def main() -> int:
    """Run from the command line and print one row of the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--long", type=float, default=0.0, help="one training of so many seconds instead")
    parser.add_argument("--keep", action="store_true", help="leave the folder behind")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="headway-chaos-"))
    if given.long:
        found = long_run(folder / "stage", seconds=given.long, kills=min(given.kills, 5), seed=given.seed)
    else:
        found = short_runs(folder / "stage", runs=given.runs, kills=given.kills, seed=given.seed)
    sys.stdout.write(f"{HEAD}\n{found.line(str(given.seed))}\n")
    sys.stdout.write(f"stored but not acknowledged: {found.unacked}; longest gap {found.longest_gap:.1f} s\n")
    for each in found.wrong:
        sys.stdout.write(f"WRONG: {each}\n")
    if found.wrong or given.keep:
        sys.stdout.write(f"left in {folder}\n")
    else:
        shutil.rmtree(folder)
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
