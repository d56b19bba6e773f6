"""A storm of webhooks on a real server while a training runs: exactly the distinct commands, and how fast the door is.

By hand: `make test-webhook-storm`, or `python tests/chaos/webhook_storm.py --events 10000 --seed 1`. A fifth of the
deliveries comes twice (some under another id), a fifth out of order, a twentieth late, a hundredth is garbage.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import text

sys.path.insert(0, str(Path(__file__).parents[1]))

from chaos.kill_server import POINTS, Stage
from fakes.github import oracle
from fakes.github.door import know
from fakes.github.sender import SECRET
from fakes.github.server import FakeGitHub, running
from fakes.github.world import APP_ID, APP_SLUG, GitHubWorld
from headway.app import open_app
from headway.forges.github.config import GitHubApp, GitHubConfig, save_config
from headway.forges.github.webhook import sign
from headway.server import read_announcement
from headway.settings import Settings

PATIENCE = 240.0  # for the loaded machine; nothing is measured by it
PULLS = 12
SENDERS, CONNECTIONS = 2, 4  # processes, and connections of each: more than GitHub opens to one hook
LIMIT_MS = 200.0
_PROSE = ("looks good to me", "what about `/train`?", "> /train\n\nno", "```\n/deploy production\n```", "a/train b")


class Posted(msgspec.Struct, frozen=True, array_like=True):
    """One request as it will be sent."""

    headers: dict[str, str]
    body: bytes
    is_garbage: bool = False


@dataclass(kw_only=True)
class Storm:
    """What is sent, in order, and what must come of it."""

    requests: list[Posted] = field(default_factory=list)
    commands: set[tuple[str, int]] = field(default_factory=set)  # comment and line
    comments: set[str] = field(default_factory=set)  # every comment that a person wrote on a change
    twice: int = 0
    garbage: int = 0
    moved: int = 0
    late: int = 0


@dataclass(kw_only=True)
class Found:
    """What was measured, and everything that was wrong."""

    sent: int = 0
    seconds: float = 0.0
    milliseconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    commands: int = 0
    points: int = 0  # that the training logged meanwhile
    wrong: list[str] = field(default_factory=list)

    def quantile(self, part: float) -> float:
        return sorted(self.milliseconds)[min(len(self.milliseconds) - 1, int(part * len(self.milliseconds)))]


# --- making it ---------------------------------------------------------------------------------------


class Maker:
    """Deliveries made from one recorded and judged payload of each kind, with other ids in them."""

    def __init__(self, world: GitHubWorld, chance: random.Random) -> None:
        self._chance = chance
        self._number = 10**6
        world.comment(1, "ada", "x")
        self._base = {"issue_comment": world.deliveries[-1].payload}
        world.edit_comment(max(world.comments), "ada", "/train")
        self._edited = world.deliveries[-1].payload
        world.label(1, "fast")
        self._base["pull_request"] = world.deliveries[-1].payload
        self._marks = {number: world.about_comment(world.post(number, "ada", "x"))["issue"] for number in world.pulls}
        for event, payload in (*self._base.items(), ("issue_comment", self._edited)):
            assert oracle.webhook_problems(event, payload) == [], event

    def next(self) -> int:
        self._number += 1
        return self._number

    def comment(self, storm: Storm, body: str, lines: tuple[int, ...] = ()) -> Posted:
        payload = self._said(body)
        number = str(payload["comment"]["id"])
        storm.comments.add(number)
        storm.commands |= {(number, line) for line in lines}
        return self.posted("issue_comment", payload)

    def nothing(self) -> Posted:
        """What is well signed and asks for nothing: an edit, a bot, somebody else as sender, an issue, a label."""
        kind = self._chance.randrange(5)
        payload = self._said("/help")
        if kind == 0:
            payload = {**self._edited, "comment": {**self._edited["comment"], "id": self.next(), "body": "/help"}}
        elif kind == 1:
            user = {**payload["comment"]["user"], "type": "Bot", "login": "dependabot[bot]"}
            payload["comment"]["user"] = payload["sender"] = user
        elif kind == 2:
            payload["sender"] = {**payload["sender"], "id": 5, "login": "eve"}
        elif kind == 3:
            payload["issue"] = {name: value for name, value in payload["issue"].items() if name != "pull_request"}
        else:
            return self.posted("pull_request", {**self._base["pull_request"], "action": "unlabeled", "x": self.next()})
        return self.posted("issue_comment", payload)

    def garbage(self) -> Posted:
        good = self.posted("issue_comment", self._said("/help"))
        kind = self._chance.randrange(6)
        headers, body = dict(good.headers), good.body
        if kind == 0:
            headers["x-hub-signature-256"] = sign(body, "somebody else's secret")
        elif kind == 1:
            body = body[: len(body) // 2]
        elif kind == 2:
            headers["x-github-event"] = "push"
        elif kind == 3:
            del headers["x-hub-signature-256"]
        elif kind == 4:
            payload = self._said("/help")
            payload["repository"] = {**payload["repository"], "id": 99}
            good = self.posted("issue_comment", payload)
            headers, body = dict(good.headers), good.body
        else:
            body = self._chance.randbytes(2000)
            headers["x-hub-signature-256"] = sign(body, SECRET)
        return Posted(headers, body, is_garbage=True)

    def _said(self, body: str) -> dict[str, Any]:
        base, issue = self._base["issue_comment"], self._marks[self._chance.randrange(PULLS) + 1]
        comment = {**base["comment"], "id": self.next(), "body": body}
        return {**base, "comment": comment, "issue": {**base["issue"], **issue}}

    def posted(self, event: str, payload: dict[str, Any]) -> Posted:
        body = json.dumps(payload).encode()
        headers = {
            "content-type": "application/json",
            "x-github-event": event,
            "x-github-delivery": f"{self.next():08x}-0000-11f1-9000-000000000000",
            "x-hub-signature-256": sign(body, SECRET),
        }
        return Posted(headers, body)


def make(world: GitHubWorld, events: int, seed: int) -> Storm:
    """Return a storm of so many deliveries; the same seed makes the same."""
    chance = random.Random(seed)
    maker, storm = Maker(world, chance), Storm()
    storm.twice, storm.garbage = events // 5, max(1, events // 100)
    different = events - storm.twice - storm.garbage
    asked = max(20, different // 40)
    made = []
    for number in range(different):
        if number < asked:
            body, lines = (("/help", (1,)), ("please\n\n/help\n/stop", (3, 4)))[number % 2]
            made.append(maker.comment(storm, body, lines))
        elif number % 8 == 0:
            made.append(maker.nothing())
        else:
            made.append(maker.comment(storm, chance.choice(_PROSE)))
    chance.shuffle(made)
    placed = [(float(place), each) for place, each in enumerate(made)]
    for place, each in chance.sample(placed, min(storm.twice, len(placed))):
        other = {**each.headers, "x-github-delivery": f"{maker.next():08x}-1111-11f1-9000-000000000000"}
        again = each if chance.random() < 0.7 else Posted(other, each.body)
        placed.append((place + chance.choice((0.1, 5.1, 500.1)), again))
    placed += [(chance.random() * len(made), maker.garbage()) for _ in range(storm.garbage)]
    storm.moved, storm.late = events // 5, events // 20
    for index in chance.sample(range(len(placed)), storm.moved):
        placed[index] = (placed[index][0] + chance.uniform(-60, 60), placed[index][1])
    for index in chance.sample(range(len(placed)), storm.late):
        placed[index] = (len(made) + chance.random() * 100, placed[index][1])
    storm.requests = [each for _, each in sorted(placed, key=lambda item: item[0])]
    return storm


# --- sending it: in processes of their own, so that the fake's work is not in the figures -------------


def send(path: Path, port: int, rate: float) -> None:
    """Send what a file holds, over some connections, and write (milliseconds, status, is_garbage) of each.

    With a rate each has its time, and counts from it: one that must wait for a slow one is slow itself.
    """
    waiting = enumerate(msgspec.msgpack.decode(path.read_bytes(), type=list[Posted]))
    lock, done, start = threading.Lock(), [], time.perf_counter()

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while True:
            with lock:
                number, each = next(waiting, (0, None))
            if each is None:
                return
            began = start + number / rate if rate else time.perf_counter()
            time.sleep(max(0.0, began - time.perf_counter()))
            try:
                connection.request("POST", "/webhooks/github", each.body, each.headers)
                answer = connection.getresponse()
                answer.read()
                status = answer.status
            except (OSError, http.client.HTTPException):
                connection.close()
                status = 0
            done.append(((time.perf_counter() - began) * 1000, status, each.is_garbage))

    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    path.with_suffix(".done").write_bytes(msgspec.msgpack.encode(done))


def _send_all(folder: Path, storm: Storm, port: int, found: Found, *, rate: float) -> None:
    files = [folder / f"sender-{number}" for number in range(SENDERS)]
    for number, file in enumerate(files):
        file.write_bytes(msgspec.msgpack.encode(storm.requests[number::SENDERS]))
    began = time.monotonic()
    senders = [
        subprocess.Popen(
            [sys.executable, __file__, "--send", str(file), "--port", str(port), "--rate", str(rate / SENDERS)]
        )
        for file in files
    ]
    for sender in senders:
        if sender.wait(timeout=600) != 0:
            found.wrong.append("a sender failed")
    found.seconds = time.monotonic() - began
    for file in files:
        for milliseconds, status, is_garbage in msgspec.msgpack.decode(file.with_suffix(".done").read_bytes()):
            found.sent += 1
            found.milliseconds.append(milliseconds)
            found.statuses[status] += 1
            if (status == 202) == is_garbage or status in (0, 500):
                found.wrong.append(f"{'garbage' if is_garbage else 'a delivery'} was answered {status}")


# --- the whole ---------------------------------------------------------------------------------------


@contextmanager
def _house(folder: Path, fake: FakeGitHub) -> Iterator[tuple[Stage, int]]:
    """A real server with its worker, known to the fake GitHub as its App; the port."""
    stage = Stage(folder)
    app = GitHubApp(id=APP_ID, slug=APP_SLUG, private_key=fake.private_key)
    save_config(stage.data / "github", GitHubConfig(api=fake.url, app=app, webhook_secrets=(SECRET,)))
    opened = open_app(Settings(data=stage.data))
    know(opened, fake.world)
    opened.close()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADWAY_")}
    environment |= {"HEADWAY_DATA": str(stage.data), "HEADWAY_PORT": "0", "HEADWAY_CATCH_UP_SECONDS": "3600"}
    log = folder / "server.log"
    with log.open("ab") as out:
        command = [sys.executable, "-m", "headway.cli.main", "server", "start"]
        server = subprocess.Popen(command, env=environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd="/")
    try:
        ends = time.monotonic() + PATIENCE
        while (known := read_announcement(stage.data)) is None:
            assert server.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < ends, "the server did not start"
            time.sleep(0.05)
        yield stage, int(known["port"])
        assert server.poll() is None, f"the server ended by itself: {log.read_text()[-3000:]}"
    finally:
        server.terminate()
        server.wait(timeout=60)
        stage.database.close()


def blow(folder: Path, *, events: int, seed: int, with_job: bool, rate: float = 0) -> Found:
    """Let a storm go over a server and return what came of it."""
    found = Found()
    folder.mkdir(parents=True)
    with running(folder / "github.git") as fake:
        world = fake.world
        world.commit("main", {"README.md": "read me\n"})
        world.grant("ada", "write")
        for number in range(PULLS):
            world.commit(f"branch-{number}", {"note.txt": str(number)})
            world.open_pull(f"branch-{number}")
        storm = make(world, events, seed)
        with _house(folder / "house", fake) as (stage, port):
            if with_job:
                stage.comment(" seconds=600")
                _wait(lambda: _points(stage) > 0, "the training logs something")
            before = _points(stage)
            _send_all(folder, storm, port, found, rate=rate)
            found.points = _points(stage) - before
            if with_job and not found.points:
                found.wrong.append("the training logged nothing meanwhile")
            _judge(stage, storm, found)
    found.wrong += fake.problems
    return found


def _judge(stage: Stage, storm: Storm, found: Found) -> None:
    of_github = "forge = 'github' and event = 'comment_created'"
    _wait(lambda: stage.count(f"select count(*) from inbox where {of_github} and state = 'new'") == 0, "all is read")
    with stage.database.read() as tx:
        kept = [row[0] for row in tx.execute(text(f"select body_key from inbox where {of_github}"))]
        query = "select comment_id, line from command where repo_id like 'github-%'"
        commands = [(str(row[0]), int(row[1])) for row in tx.execute(text(query))]
        dead = stage.count("select count(*) from inbox where state = 'dead'")
    comments = {key.rpartition(":")[2] for key in kept}
    found.commands = len(commands)
    if len(kept) != len(comments) or comments != storm.comments:
        found.wrong.append(f"{len(kept)} comments are kept, {len(storm.comments)} were written")
    if len(commands) != len(set(commands)) or set(commands) != storm.commands:
        missing, more = storm.commands - set(commands), set(commands) - storm.commands
        found.wrong.append(f"commands: {len(missing)} missing, {len(more)} too many, {len(commands)} rows")
    if dead:
        found.wrong.append(f"{dead} deliveries are dead")


def _points(stage: Stage) -> int:
    return sum(
        path.read_bytes().count(b"ACK ") * POINTS for path in stage.data.glob("attempts/**/*log*") if path.is_file()
    )


def _wait(done: Any, what: str) -> None:
    ends = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < ends, f"did not happen: {what}"
        time.sleep(0.1)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=50, help="deliveries a second; 0 = as fast as they are answered")
    parser.add_argument("--send")
    parser.add_argument("--port", type=int)
    given = parser.parse_args()
    if given.send:
        send(Path(given.send), given.port, given.rate)
        return 0
    folder = Path(tempfile.mkdtemp(prefix="headway-storm-"))
    try:
        found = blow(folder / "storm", events=given.events, seed=given.seed, with_job=True, rate=given.rate)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    load = os.getloadavg()[0]
    sys.stdout.write(
        f"{found.sent:,} deliveries in {found.seconds:.1f} s ({found.sent / found.seconds:,.0f} a second) over "
        f"{SENDERS * CONNECTIONS} connections, {found.points:,} points of a training meanwhile; load {load:.1f}, "
        f"{os.cpu_count()} cores\n"
        f"the door: p50 {found.quantile(0.5):.1f} ms, p95 {found.quantile(0.95):.1f}, p99 {found.quantile(0.99):.1f}, "
        f"longest {max(found.milliseconds):.1f}; answers {dict(sorted(found.statuses.items()))}\n"
        f"{found.commands} commands, wrong: {Counter(found.wrong) or 'nothing'}\n"
    )
    return 1 if found.wrong or found.quantile(0.99) > LIMIT_MS else 0


if __name__ == "__main__":
    sys.exit(main())
