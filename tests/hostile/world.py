"""A machine full of planted words: a real server with a fake GitHub, and everything around it that code could read."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from fakes.github.sender import SECRET, Sender
from fakes.github.server import FakeGitHub
from fakes.github.world import APP_ID, APP_SLUG, NAME, FakeComment
from headway.app import App, open_app
from headway.auth.secrets import SecretStore
from headway.db import schema
from headway.forges.github.config import GitHubApp, GitHubConfig, save_config
from headway.forges.model import Repo
from headway.jobs.model import Attempt, Job
from headway.jobs.store import JobStore
from headway.logs import forms_of
from headway.settings import Settings

PROBES = Path(__file__).with_name("probes")
PATIENCE = 120.0
GOOD = 'import json, os\njson.dump({"score": 0.5}, open("metrics.json", "w"))\n'
TRAIN = GOOD + 'print("a secret of", len(os.environ["DEPLOY_KEY"]))\n'
CONFIG = """\
name: flights
env: {secrets: [DEPLOY_KEY]}
pipeline:
  steps:
    train:
      run: python train.py
      timeout: 5m
metrics:
  score: {goal: maximize}
gates:
  rules:
    - {id: floor, metric: score, min: 0.1}
"""
PROBING = CONFIG.replace("python train.py", "python probes/run_all.py").replace(
    "[DEPLOY_KEY]", "[DEPLOY_KEY, WAREHOUSE_TOKEN]"
)


def plant(words: dict[str, str], name: str) -> str:
    """Return a new word that stands nowhere else, and remember where it was put."""
    words[name] = f"hwcanary-{secrets.token_hex(12)}"
    return words[name]


@dataclass
class Trap:
    """Listens where nothing of a fork may arrive; whoever does is told a planted word and counted."""

    word: str
    visits: list[str] = field(default_factory=list)
    sockets: list[socket.socket] = field(default_factory=list)

    def listen(self, family: int, address: Any, label: str, kind: int = socket.SOCK_STREAM) -> Any:
        one = socket.socket(family, kind)
        one.bind(address)
        self.sockets.append(one)
        if kind == socket.SOCK_STREAM:
            one.listen()
        threading.Thread(target=self._serve, args=(one, label, kind), daemon=True).start()
        return one.getsockname()

    def _serve(self, one: socket.socket, label: str, kind: int) -> None:
        while True:
            try:
                if kind == socket.SOCK_DGRAM:
                    one.recv(1000)
                    self.visits.append(label)
                    continue
                client, _ = one.accept()
            except OSError:
                return
            self.visits.append(label)
            with contextlib.suppress(OSError), client:
                client.sendall(self.word.encode())

    def close(self) -> None:
        for each in self.sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


def own_address() -> str | None:
    """Return this machine's address in its network, where it has one; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        try:
            one.connect(("192.0.2.1", 9))
        except OSError:
            return None
        found = str(one.getsockname()[0])
    return None if found.startswith("127.") else found


@dataclass
class HostileWorld:
    """Everything of one run; the server is a process of its own, the fake GitHub a thread of the test."""

    folder: Path
    fake: FakeGitHub
    words: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    trap: Trap = field(init=False)
    app: App = field(init=False)
    repo: Repo = field(init=False)
    sender: Sender = field(init=False)
    before: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    # --- asking and waiting -------------------------------------------------------------------------

    def until(self, done: Callable[[], Any], what: str) -> Any:
        ends = time.monotonic() + PATIENCE
        while True:
            self.sender.send_new()
            found = done()
            if found:
                return found
            assert time.monotonic() < ends, f"did not happen: {what}; {[each.body for each in self.ours()]}"
            time.sleep(0.1)

    def ours(self, number: int | None = None) -> list[FakeComment]:
        found = self.fake.world.comments.values()
        return [each for each in found if each.app == APP_ID and number in (None, each.number)]

    def jobs(self, change: int | None) -> list[Job]:
        with self.app.database.read() as tx:
            where = [schema.job.c.repo_id == self.repo.id, schema.job.c.change == change]
            return JobStore(tx).find(*where, limit=50)

    def attempts(self, job: Job) -> list[Attempt]:
        with self.app.database.read() as tx:
            store = JobStore(tx)
            return store.attempts(task.id for task in store.tasks(job.id))

    def head(self, number: int) -> str:
        return self.fake.world.head(self.fake.world.pulls[number])

    def settled(self, number: int) -> Job:
        def done() -> Job | None:
            found = [job for job in self.jobs(number) if job.settled_at]
            return found[0] if found else None

        job: Job = self.until(done, f"the job of change {number} is settled")
        return job

    def concluded(self, number: int) -> dict[str, Any]:
        sha = self.head(number)

        def done() -> dict[str, Any] | None:
            checks = [each for each in self.fake.world.checks.values() if each["head_sha"] == sha]
            return next((each for each in checks if each.get("conclusion")), None)

        check: dict[str, Any] = self.until(done, f"the check of change {number} concludes")
        return check

    def said(self, number: int, words: str) -> str:
        """Wait until we have said something under a change."""
        found: str = self.until(
            lambda: next((each.body for each in self.ours(number) if words in each.body), ""), f"{words!r} is said"
        )
        return found

    # --- deeds ----------------------------------------------------------------------------------------

    def fork(self, branch: str, files: dict[str, Any], *, author: str = "mallory") -> int:
        self.fake.world.commit(branch, files, actor=author)
        return self.fake.world.open_pull(branch, author=author, from_fork=True).number

    def granted(self, number: int) -> None:
        """Have a maintainer grant the head of a fork's change, and train it."""
        sha = self.head(number)
        self.fake.world.comment(number, "maya", f"/approve @{sha}\n/train @{sha}")

    def probe_files(self) -> dict[str, str]:
        files = {f"probes/{path.name}": path.read_text() for path in PROBES.glob("*.py")}
        told = {name: value for name, value in self.facts.items() if name != "control_token"}
        return {**files, "probes/facts.json": json.dumps(told), "headway.yaml": PROBING}

    # --- the judge --------------------------------------------------------------------------------------

    def count(self) -> Counter[tuple[str, str]]:
        """Return where each planted word stands now, in any form: (place, word's name) -> how often."""
        forms = {name: [form.encode() for form in forms_of(word)] for name, word in self.words.items()}
        found: Counter[tuple[str, str]] = Counter()
        for place, content in self._places():
            for name, each in forms.items():
                times = sum(content.count(form) for form in each)
                if times:
                    found[place, name] += times
        return found

    def _places(self) -> Iterator[tuple[str, bytes]]:
        # The database is read by its tables: its file holds old pages, which nobody is shown.
        with self.app.database.read() as tx:
            for table in schema.metadata.sorted_tables:
                for row in tx.execute(sa.select(table)):
                    yield f"table {table.name}", repr(tuple(row)).encode()
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and not path.is_symlink() and not path.name.startswith("headway.db"):
                yield str(path.relative_to(self.folder)), path.read_bytes()
        world = self.fake.world
        yield "comments", repr([each.body for each in world.comments.values()]).encode()
        yield "checks", repr([*world.checks.values(), *world.statuses]).encode()
        yield "deployments", repr([*world.deployments.values(), *world.deployment_statuses.values()]).encode()
        yield "requests to GitHub", repr(self.fake.requests).encode()

    def leaks(self) -> list[str]:
        """Return what stands now where it did not stand before the forks came."""
        return sorted(
            f"{name} in {place}" for (place, name), times in self.count().items() if times > self.before[place, name]
        )


@contextlib.contextmanager
def hostile_world(folder: Path, fake: FakeGitHub) -> Iterator[HostileWorld]:
    """Plant the words, start the server, let a member train once, and put words into what that left."""
    world = HostileWorld(folder=folder, fake=fake)
    with contextlib.ExitStack() as stack:
        world.trap = Trap(plant(world.words, "trap"))
        stack.callback(world.trap.close)
        _files(world)
        _sockets(world)
        stack.callback(Path(world.facts["sockets"][0]).unlink)
        _memory(world, stack)
        _decoy(world, stack)
        _server(world, stack)
        _member(world)
        world.facts["files"] = [str(path) for path in _planted(world)]
        world.before = world.count()
        world.trap.visits.clear()
        yield world


def _planted(world: HostileWorld) -> list[Path]:
    found = [path for path in (world.home).rglob("*") if path.is_file()]
    return [*found, world.data / "planted" / "secret.txt", world.data / "github" / "app.json"]


def _files(world: HostileWorld) -> None:
    home, word = world.home, world.words
    for name, text in {
        ".netrc": "machine git.example login ada password {}\n",
        ".aws/credentials": "[default]\naws_access_key_id = AKIA\naws_secret_access_key = {}\n",
        ".ssh/id_ed25519": "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n",
        ".git-credentials": "https://ada:{}@git.example\n",
        ".gitconfig": "[credential]\n\thelper = store\n[user]\n\tname = {}\n\temail = ada@example.org\n",
        ".config/pip/pip.conf": "[global]\nextra-index-url = https://ada:{}@index.example/simple\n",
        ".docker/config.json": '{{"auths": {{"x": {{"auth": "{}"}}}}}}\n',
        ".kube/config": "token: {}\n",
        ".mlflow/credentials": "[mlflow]\nmlflow_tracking_password = {}\n",
    }.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(plant(word, f"home {name}")))
        path.chmod(0o600)
    (world.data / "planted").mkdir(parents=True)
    world.data.chmod(0o700)
    (world.data / "planted" / "secret.txt").write_text(plant(word, "data folder"))
    shared = world.folder / "shared"
    shared.mkdir()
    (shared / "left.txt").write_text(plant(word, "shared file"))


def _sockets(world: HostileWorld) -> None:
    trap, facts = world.trap, world.facts
    facts["abstract"] = f"hostile-{secrets.token_hex(6)}"
    trap.listen(socket.AF_UNIX, "\0" + facts["abstract"], "abstract socket")
    # A socket's address is short; its folder may be long.
    place = f"/tmp/hw-{secrets.token_hex(4)}.sock"
    trap.listen(socket.AF_UNIX, place, "unix socket")
    facts["sockets"] = [place]
    facts["trap_port"] = trap.listen(socket.AF_INET, ("127.0.0.1", 0), "loopback")[1]
    facts["lan_traps"] = []
    own = own_address()
    if own:
        port = trap.listen(socket.AF_INET, (own, 0), "local network")[1]
        trap.listen(socket.AF_INET, (own, port), "local network, datagram", socket.SOCK_DGRAM)
        facts["lan_traps"] = [[own, port]]


def _memory(world: HostileWorld, stack: contextlib.ExitStack) -> None:
    libc, facts = ctypes.CDLL(None, use_errno=True), world.facts
    shared = Path(f"/dev/shm/hostile-{secrets.token_hex(6)}")
    shared.write_text(plant(world.words, "/dev/shm"))
    stack.callback(shared.unlink)
    facts["shared_files"] = [str(shared), str(world.folder / "shared" / "left.txt")]
    number = libc.shmget(0, 4096, 0o1600)
    facts["shm_id"] = number
    if number >= 0:
        libc.shmat.restype = ctypes.c_void_p
        place = libc.shmat(number, None, 0)
        word = plant(world.words, "System V memory").encode()
        ctypes.memmove(place, word, len(word))
        stack.callback(libc.shmctl, number, 0, None)
        stack.callback(libc.shmdt, ctypes.c_void_p(place))
    key = plant(world.words, "kernel key").encode()
    user_keyring, add_key, keyctl, unlink = -4, 248, 250, 9
    facts["key_id"] = max(0, libc.syscall(add_key, b"user", b"hostile-planted", key, len(key), user_keyring))
    if facts["key_id"]:
        stack.callback(libc.syscall, keyctl, unlink, facts["key_id"], user_keyring, 0, 0)


def _decoy(world: HostileWorld, stack: contextlib.ExitStack) -> None:
    words = world.words
    code = "import sys, time; time.sleep(900)"
    decoy = subprocess.Popen(
        [sys.executable, "-c", code, "decoy", plant(words, "command line")],
        env={"PATH": "/usr/bin:/bin", "DECOY": plant(words, "decoy's environment")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(decoy.wait)
    stack.callback(decoy.kill)
    world.facts["decoy_pids"] = [decoy.pid]
    world.facts["pids"] = [decoy.pid]


def _server(world: HostileWorld, stack: contextlib.ExitStack) -> None:
    words, fake, data = world.words, world.fake, world.data
    facts = GitHubApp(id=APP_ID, slug=APP_SLUG, private_key=fake.private_key)
    save_config(
        data / "github",
        GitHubConfig(api=fake.url, app=facts, webhook_secrets=(SECRET, plant(words, "a webhook's secret"))),
    )
    words["the App's key"] = fake.private_key.splitlines()[3]
    fake.world.commit("main", {"headway.yaml": CONFIG, "train.py": TRAIN})
    for user, role in {"ada": "write", "maya": "maintain", "mallory": "read", "root": "admin"}.items():
        fake.world.grant(user, role)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = int(taken.getsockname()[1])
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(world.home),
        "HEADWAY_DATA": str(data),
        "HEADWAY_PORT": str(port),
        "HEADWAY_CATCH_UP_SECONDS": "3600",
        "HOSTILE_SERVER": plant(words, "the server's environment"),
        "AWS_SECRET_ACCESS_KEY": plant(words, "the server's cloud key"),
        "GITHUB_TOKEN": plant(words, "the server's forge token"),
        "UV_INDEX_PRIVATE_PASSWORD": plant(words, "the server's index password"),
    }
    log = stack.enter_context((world.folder / "server.log").open("ab"))
    process = subprocess.Popen(
        [sys.executable, "-m", "headway.cli.main", "server", "start"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        preexec_fn=_end_with_the_test,  # noqa: PLW1509  # the child makes one system call
    )
    stack.callback(_end, process)
    url = f"http://127.0.0.1:{port}"
    ends = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{url}/health", timeout=5).read()
            break
        assert process.poll() is None, (world.folder / "server.log").read_text()[-3000:]
        assert time.monotonic() < ends, "the server did not start"
        time.sleep(0.1)
    world.app = open_app(Settings(data=data, port=0))
    stack.callback(world.app.close)
    assert world.app.github is not None
    world.repo = world.app.github.register_repo(NAME, by="test")
    world.sender = Sender(fake.world, url)
    stack.callback(world.sender.close)
    world.sender.sent = len(fake.world.deliveries)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    workers = [int(each) for each in children.read_text().split()] if children.exists() else []
    world.facts |= {
        "data": str(data),
        "home": str(world.home),
        "server": url,
        "server_port": port,
        "github_port": int(fake.url.rsplit(":", 1)[1].split("/")[0]),
        "control_token": (data / "admin-token").read_text().strip(),
    }
    words["the admin's token"] = world.facts["control_token"]
    world.facts["pids"] += [process.pid, *workers]
    now = world.app.clock.now()
    with world.app.database.write() as tx:
        for name in ("DEPLOY_KEY", "WAREHOUSE_TOKEN"):
            SecretStore(tx).set(world.repo.id, name, value=plant(words, f"secret {name}"), by="test", at=now)


def _end_with_the_test() -> None:
    ctypes.CDLL(None).prctl(1, int(signal.SIGTERM))


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _member(world: HostileWorld) -> None:
    """A member's change is trained with a secret; what it left is the prey."""
    world.fake.world.commit("member", {"train.py": TRAIN + "# a member's\n"}, actor="ada")
    number = world.fake.world.open_pull("member", author="ada").number
    world.fake.world.comment(number, "ada", f"/train @{world.head(number)}")
    job = world.settled(number)
    world.concluded(number)
    (attempt,) = world.attempts(job)
    folder = Path(attempt.directory)
    (folder / "work").mkdir(exist_ok=True)
    (folder / "work" / "planted.txt").write_text(plant(world.words, "another attempt's folder"))
    with world.app.database.read() as tx:
        (task,) = JobStore(tx).tasks(job.id)
        experiment = tx.execute(sa.select(schema.run.c.exp).where(schema.run.c.uuid == task.run_id)).scalar_one()
    world.facts |= {
        "member_run": task.run_id,
        "member_experiment": str(experiment),
        "attempts": [str(folder)],
        "mirrors": [str(path) for path in world.data.rglob("*.git")],
        "caches": [str(path) for path in (world.data / "envs", world.data / "environments", world.data / "uv")],
    }
    run = str(task.run_id)
    _tell(world, "POST", "/api/2.0/mlflow/runs/set-tag", run_id=run, key="planted", value=plant(world.words, "a tag"))
    _tell(world, "POST", "/api/2.0/mlflow/runs/log-parameter", run_id=run, key="p", value=plant(world.words, "a param"))
    where = _tell(world, "GET", f"/api/2.0/mlflow/runs/get?run_id={run}")["run"]["info"]["artifact_uri"]
    path = f"{where.split(':', 1)[1].lstrip('/')}/planted.txt"
    word = plant(world.words, "an artifact").encode()
    _tell(world, "PUT", f"/api/2.0/mlflow-artifacts/artifacts/{path}", word)
    _tell(world, "POST", "/api/2.0/mlflow/registered-models/create", name="planted")
    _tell(
        world,
        "POST",
        "/api/2.0/mlflow/model-versions/create",
        name="planted",
        source=f"mlflow-artifacts:/{path.rsplit('/', 1)[0]}",
        run_id=run,
        description=plant(world.words, "a registered version"),
    )


def _tell(world: HostileWorld, method: str, path: str, body: bytes | None = None, **values: str) -> Any:
    data = body if body is not None else json.dumps(values).encode() if method == "POST" else None
    request = urllib.request.Request(world.facts["server"] + path, data, method=method)
    request.add_header("Authorization", f"Bearer {world.facts['control_token']}")
    request.add_header("Content-Type", "application/json" if body is None else "application/octet-stream")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or b"{}")
