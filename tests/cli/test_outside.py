"""`headway run COMMAND`: an unmodified MLflow script outlives server, door and terminal, and loses nothing."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.headway_server import HeadwayServer, told

pytestmark = pytest.mark.mlflow
DEADLINE = 120.0

# Unmodified MLflow code; the files only tell the test where it stands.
TRAIN = """\
import os, sys, time
from pathlib import Path
import mlflow

name = sys.argv[1]

def stop_at(where):
    Path(f"{name}.{where}").touch()
    while not Path(f"{name}.{where}.go").exists():
        time.sleep(0.02)

mlflow.set_experiment(name)
if "late" in sys.argv:
    stop_at("before")
with mlflow.start_run() as run:
    mlflow.log_param("depth", 3)
    mlflow.log_metric("loss", 1.0, step=0)
    mlflow.log_text("hello", "notes/first.txt")  # MLflow now knows where the run's files go, and asks no more
    stop_at("begun")
    for step in range(1, 50):
        mlflow.log_metric("loss", 1.0 / step, step=step)
    mlflow.log_metrics({"f1": 0.5, "auc": 0.75}, step=1)
    mlflow.set_tag("stage", "done")
    mlflow.log_params({"late": "yes"})
    Path(f"{name}.bin").write_bytes(bytes(range(256)) * 8000)
    mlflow.log_artifact(f"{name}.bin", "model")
    if "leave" in sys.argv:
        Path(f"{name}.left").touch()
        os._exit(0)
    stop_at("logged")
    mlflow.log_text("hello", "notes/readme.txt")
sys.exit(5)
"""
STEPS = [(0, 1.0), *((step, 1.0 / step) for step in range(1, 50))]


class Place:
    """A machine that has a server's address and a token, and a folder with a script."""

    def __init__(self, root: Path, server: HeadwayServer) -> None:
        self.server = server
        self.folder = root / "code"
        self.folder.mkdir()
        self.state = root / "state"
        self.home = root / "home"
        self.home.mkdir()
        (self.folder / "train.py").write_text(TRAIN)
        self.commands: list[subprocess.Popen[str]] = []

    @property
    def doors(self) -> Path:
        return self.state / "headway" / "doors"

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HEADWAY_", "MLFLOW_"))}
        return {
            **kept,
            "HOME": str(self.home),
            "XDG_STATE_HOME": str(self.state),
            "HEADWAY_URL": self.server.url,
            "HEADWAY_TOKEN": self.server.token,
            "GIT_CONFIG_GLOBAL": os.devnull,
            **more,
        }

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "headway.cli.main", *words],
            cwd=self.folder,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.commands.append(process)
        return process

    def train(self, name: str, *words: str, **environment: str) -> subprocess.Popen[str]:
        return self.start("run", "--patience", "60", sys.executable, "train.py", name, *words, **environment)

    def run(self, *words: str, code: int = 0, **environment: str) -> tuple[str, str]:
        return self.end(self.start(*words, **environment), code=code)

    @staticmethod
    def end(process: subprocess.Popen[str], *, code: int = 0) -> tuple[str, str]:
        out, err = process.communicate(timeout=DEADLINE)
        assert process.returncode == code, f"exit {process.returncode}\n{out}\n{err}"
        assert "Traceback" not in err, err
        return out, err

    def wait(self, name: str, where: str) -> None:
        def there() -> bool:
            dead = [each for each in self.commands if each.poll() is not None]
            assert not dead, dead[0].communicate()
            return (self.folder / f"{name}.{where}").exists()

        wait_for(there, f"{name}.{where}")

    def go(self, name: str, where: str) -> None:
        (self.folder / f"{name}.{where}.go").touch()

    def door_pid(self) -> int:
        (ready,) = self.doors.glob("*/ready.json")
        return int(json.loads(ready.read_text())["pid"])


def wait_for(look: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not look():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HeadwayServer]:
    server = HeadwayServer(tmp_path_factory.mktemp("outside"))
    yield server
    server.kill()


@pytest.fixture
def place(shared: HeadwayServer, tmp_path: Path) -> Iterator[Place]:
    shared.start()
    place = Place(tmp_path, shared)
    yield place
    for each in place.commands:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(each.pid, signal.SIGKILL)  # the command too, which outlives its terminal
        each.communicate()


def all_there(server: HeadwayServer, name: str) -> dict[str, Any]:
    """Check what `train.py` logged, each point once; return the tags."""
    (run,) = server.runs(name)
    run_id = run["info"]["run_id"]
    assert server.history(run_id, "loss") == STEPS
    assert server.history(run_id, "f1") == [(1, 0.5)]
    assert server.history(run_id, "auc") == [(1, 0.75)]
    assert told(run["data"]["params"]) == {"depth": "3", "late": "yes"}
    assert server.content(run_id, f"model/{name}.bin") == bytes(range(256)) * 8000
    tags = told(run["data"]["tags"])
    assert tags["stage"] == "done"
    return tags | {"status": run["info"]["status"], "run": run_id}


def test_a_command_is_tracked_with_its_commit_and_patch_and_its_exit_code_is_passed_on(place: Place) -> None:
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b")
    (place.folder / ".gitignore").write_text("*.bin\nstraight.*\n")
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "-m", "start")):
        subprocess.run([*git, *words], cwd=place.folder, check=True)
    (place.folder / "train.py").write_text(TRAIN + "# edited\n")
    (place.folder / "new.txt").write_text("not added\n")
    for where in ("begun", "logged"):
        place.go("straight", where)
    _, err = place.end(place.train("straight", "--lr", "3", "-P", "x"), code=5)
    tags = all_there(place.server, "straight")
    assert tags["status"] == "FINISHED"
    assert tags["headway.command"].endswith("train.py straight --lr 3 -P x")
    assert (tags["headway.dirty"], tags["headway.patch"]) == ("true", "headway/working-tree.patch")
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=place.folder, capture_output=True, text=True, check=True)
    commit = head.stdout.strip()
    found = place.server.runs("straight", f"tags.`mlflow.source.git.commit` = '{commit}'")
    assert [each["info"]["run_id"] for each in found] == [tags["run"]]
    patch = place.server.content(tags["run"], "headway/working-tree.patch").decode()
    assert "+# edited" in patch
    assert "+not added" in patch
    assert f"{place.server.url}/runs/{tags['run']}" in err
    assert list(place.doors.iterdir()) == []


def test_two_at_once_outlive_a_server_that_is_killed_and_begin_while_it_is_away(place: Place) -> None:
    first, second = place.train("first"), place.train("second", "late")
    place.wait("first", "begun")
    place.wait("second", "before")
    place.server.kill()
    place.go("second", "before")  # creates its run while nobody is there
    place.go("first", "begun")
    place.wait("first", "logged")  # without waiting for the server
    assert {stat.S_IMODE(path.stat().st_mode) for path in place.doors.rglob("*") if path.is_file()} == {0o600}
    assert place.server.token not in "".join(
        path.read_text(errors="replace") for path in place.doors.rglob("*") if path.is_file()
    )
    time.sleep(2.0)  # an outage, not a blink
    place.server.start()
    for name, where in (("second", "begun"), ("second", "logged"), ("first", "logged")):
        place.go(name, where)
    _, err = place.end(first, code=5)
    place.end(second, code=5)
    assert "the server is away" in err
    assert "the server is back" in err
    for name in ("first", "second"):
        tags = all_there(place.server, name)
        assert place.server.content(tags["run"], "notes/readme.txt") == b"hello"
    assert list(place.doors.iterdir()) == []


def test_a_killed_door_is_replaced_and_the_command_notices_nothing(place: Place) -> None:
    command = place.train("replaced")
    place.wait("replaced", "begun")
    place.server.kill()
    place.go("replaced", "begun")
    place.wait("replaced", "logged")
    os.kill(place.door_pid(), signal.SIGKILL)
    place.server.start()
    place.go("replaced", "logged")
    _, err = place.end(command, code=5)
    assert "another takes its place" in err
    tags = all_there(place.server, "replaced")
    assert place.server.content(tags["run"], "notes/readme.txt") == b"hello"


def test_what_killed_processes_leave_is_delivered_later_each_point_once(place: Place) -> None:
    command = place.train("left", "leave")
    place.wait("left", "begun")
    place.server.kill()
    door = place.door_pid()
    place.go("left", "begun")
    place.wait("left", "left")
    command.kill()
    os.kill(door, signal.SIGKILL)
    command.communicate()
    out, _ = place.run("journal", "--json")
    (kept,) = json.loads(out)
    assert kept["waiting_bytes"] > 5000
    assert not kept["is_open"]
    _, err = place.run("run", "--drain", "--patience", "0", code=6)
    assert "does not answer" in err
    place.server.start()
    out, _ = place.run("run", "--drain")
    assert "delivered" in out
    assert all_there(place.server, "left")["status"] == "RUNNING"  # it was killed: nobody said more
    assert list(place.doors.iterdir()) == []
    _, err = place.run("journal", "deliver")
    assert "nothing is kept" in err


def test_a_server_that_stays_away_costs_the_exit_code_and_no_point(place: Place) -> None:
    command = place.start("run", "--patience", "0.5", sys.executable, "train.py", "gone", "leave")
    place.wait("gone", "begun")
    place.server.kill()
    place.go("gone", "begun")
    _, err = place.end(command, code=6)  # its own was 0
    assert re.search(r"\d+ requests kept in .*\nhint:  headway run --drain", err)
    place.server.start()
    (run,) = place.server.runs("gone")
    place.server.ask("POST", "runs/delete", {"run_id": run["info"]["run_id"]})
    _, err = place.run("journal", "deliver", code=1)  # a deleted run takes nothing any more
    assert "the server refused" in err
    (undelivered,) = place.doors.glob("*/door/undelivered.jsonl")
    refused = [json.loads(line) for line in undelivered.read_text().splitlines()]
    assert len([each for each in refused if each["target"].endswith("/log-metric")]) == 49
    name = undelivered.parent.parent.name
    _, err = place.run("journal", "discard", name, code=2)
    assert "refused requests" in err
    place.run("journal", "discard", name, "--yes")
    assert list(place.doors.iterdir()) == []


def test_a_signal_reaches_the_command_and_its_end_is_told(place: Place) -> None:
    script = "trap 'echo caught; exit 9' TERM; touch there; while :; do sleep 0.05; done"
    command = place.start("run", "sh", "-c", script)
    wait_for((place.folder / "there").exists, "the command")
    command.send_signal(signal.SIGTERM)
    assert place.end(command, code=9)[0] == "caught\n"
    place.run("run", "sh", "-c", "kill -KILL $$", code=137)
    out, _ = place.run("run", "env", MLFLOW_REGISTRY_URI=place.server.url, HTTP_PROXY="http://127.0.0.1:1")
    given = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
    assert given["MLFLOW_TRACKING_URI"].startswith("http://127.0.0.1:")
    assert given["MLFLOW_TRACKING_URI"] != place.server.url
    assert given["MLFLOW_TRACKING_TOKEN"].startswith("door_")
    assert "127.0.0.1" in given["NO_PROXY"]
    assert "MLFLOW_REGISTRY_URI" not in given


@pytest.mark.parametrize(
    ("words", "environment", "code", "said"),
    [
        (("env",), {"HEADWAY_TOKEN": "hw_wrong"}, 4, "does not accept the token"),
        (("env",), {"HEADWAY_TOKEN": ""}, 4, "asks for a token"),
        (("env",), {"HEADWAY_URL": "http://127.0.0.1:9"}, 6, "does not answer"),
        (("env",), {"HEADWAY_URL": "nowhere"}, 2, "is no address"),
        (("env",), {"XDG_STATE_HOME": "/proc/nowhere"}, 2, "the journal cannot be kept"),
        (("no-such-program",), {}, 5, "there is no script or program no-such-program"),
        (("-P", "lr=1", "env"), {}, 2, "is a command"),
    ],
)
def test_what_cannot_work_is_said_before_anything_starts(
    place: Place, words: tuple[str, ...], environment: dict[str, str], code: int, said: str
) -> None:
    out, err = place.run("run", "--patience", "0", *words, code=code, **environment)
    assert said in err
    assert "hint:" in err
    assert out == ""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for a megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    with contextlib.suppress(subprocess.CalledProcessError):
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_an_error_of_the_command_and_no_silent_loss(place: Place, small: Path) -> None:
    more = {"XDG_STATE_HOME": str(small), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    command = place.start("run", "--patience", "0.5", sys.executable, "train.py", "full", **more)
    place.wait("full", "begun")
    place.server.kill()
    place.go("full", "begun")
    out, err = command.communicate(timeout=DEADLINE)
    assert command.returncode == 1, f"{out}\n{err}"
    assert "MlflowException" in err  # two megabytes do not fit, and the script is told
    assert "no room on the disk to keep" in err
    place.server.start()
    place.run("run", "--drain", **more)
    (run,) = place.server.runs("full")
    assert place.server.history(run["info"]["run_id"], "loss") == STEPS  # all that was answered with yes
    assert told(run["data"]["tags"])["stage"] == "done"
