"""A terminal as a person has it: real processes, one data directory and one tiny repository for the whole session."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

DEADLINE = 120.0

TRAIN = '''\
"""Learns nothing, quickly."""
import argparse, json, sys, time

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--steps", type=int, default=2)
    args = parser.parse_args()
    if args.lr == 666:
        sys.exit("no such number")
    for step in range(args.steps):
        print("step", step, "\\x1b[31mred\\x1b[0m", flush=True)
        time.sleep(0.01 if args.steps < 100 else 0.2)
    json.dump({"val_auc": 0.7 + args.lr / 10}, open("metrics.json", "w"))

if __name__ == "__main__":
    main()
'''
CONFIG = """\
name: tiny
run: python train.py --lr ${params.lr} --steps ${params.steps}
params: {lr: 0.1, steps: 2}
metrics:
  val_auc: {goal: maximize, primary: true}
gates:
  rules:
    - {id: floor, metric: val_auc, min: 0.5}
"""


@dataclass(frozen=True)
class Done:
    """What one command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Terminal:
    """Types commands; a server that they start belongs to its data directory."""

    data: Path
    folder: Path

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HEADWAY_", "MLFLOW_"))}
        return {
            **kept,
            "HOME": str(self.data.parent),
            "XDG_CONFIG_HOME": str(self.data.parent / "config"),
            "HEADWAY_DATA": str(self.data),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_AUTHOR_NAME": "maria",
            "GIT_AUTHOR_EMAIL": "maria@example.com",
            "GIT_COMMITTER_NAME": "maria",
            "GIT_COMMITTER_EMAIL": "maria@example.com",
            **more,
        }

    def start(self, *words: str, cwd: Path | None = None, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "headway.cli.main", *words],
            cwd=cwd or self.folder,
            env=self.environment(**environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(
        self, *words: str, cwd: Path | None = None, stdin: str = "", code: int | None = 0, **environment: str
    ) -> Done:
        process = self.start(*words, cwd=cwd, **environment)
        out, err = process.communicate(stdin, timeout=DEADLINE)
        done = Done(process.returncode, out, err)
        assert "Traceback" not in err, err
        assert code is None or done.code == code, f"headway {words}: exit {done.code}\n{out}\n{err}"
        return done

    def git(self, *words: str, cwd: Path | None = None) -> str:
        done = subprocess.run(
            ["git", *words],
            cwd=cwd or self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def stop_server(self) -> None:
        """End whatever server holds the data directory, by its id."""
        with contextlib.suppress(OSError, ValueError):
            pid = int(json.loads((self.data / "server.json").read_bytes())["pid"])
            os.kill(pid, signal.SIGTERM)
            wait_for(lambda: not is_alive(pid), "the server's end")


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_for(look: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not come within {DEADLINE:.0f} s")


def lay_repository(terminal: Terminal) -> None:
    terminal.folder.mkdir()
    (terminal.folder / "train.py").write_text(TRAIN)
    (terminal.folder / "headway.yaml").write_text(CONFIG)
    (terminal.folder / ".gitignore").write_text("metrics.json\n")
    terminal.git("init", "-q", "-b", "main")
    terminal.git("add", "-A")
    terminal.git("commit", "-q", "-m", "start")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A repository whose main branch is trained (job 1)."""
    with open_trained(tmp_path_factory.mktemp("cli")) as terminal:
        yield terminal


@contextlib.contextmanager
def open_trained(root: Path) -> Iterator[Terminal]:
    """Lay a repository, train its main branch, and end the server at the end."""
    terminal = Terminal(root / "data", root / "tiny")
    lay_repository(terminal)
    try:
        terminal("train", "main")
        yield terminal
    finally:
        terminal.stop_server()


@pytest.fixture(scope="module")
def headway(trained: Terminal) -> Iterator[Terminal]:
    """The trained repository and its running server, which ends with the file: an idle one takes its part of a core."""
    trained("repo", "list")
    yield trained
    trained.stop_server()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Terminal]:
    """A terminal of its own, with an empty folder and no server yet."""
    terminal = Terminal(tmp_path / "data", tmp_path / "here")
    terminal.folder.mkdir()
    try:
        yield terminal
    finally:
        terminal.stop_server()


@pytest.fixture
def waiting() -> Callable[[Callable[[], Any], str], Any]:
    return wait_for
