"""What a step costs as a pod: a project of Headway's on Kubernetes and on this machine, beside bare Jobs.

    make bench-kubernetes

Every task is `python3 -c pass` in Headway's image. "In a row" is a chain, each step after the one before, and bare Jobs
likewise; "at once" are as many steps that need nothing. The sides take turns, round by round, on the same node; the
figure of a task is the time from the command to the end over the number of tasks, so that it holds planning, fetching,
starting, looking and collecting.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HEADWAY = Path(sys.executable).with_name("headway")
IMAGE = "localhost/headway:test"
NAMESPACE = "overhead"
MACHINE = os.environ.get("HEADWAY_TEST_MACHINE", "")
PERSON = ("-c", "user.name=bench", "-c", "user.email=bench@example.com")


def kubectl(*words: str, text: str | None = None) -> str:
    argv = [os.environ["HEADWAY_TEST_KUBECTL"], *words]
    return subprocess.run(argv, check=True, input=text, capture_output=True, text=True).stdout


def bare_job(name: str) -> dict[str, object]:
    container = {"name": "main", "image": IMAGE, "imagePullPolicy": "Never", "command": ["python3", "-c", "pass"]}
    pod = {"restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [container]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"backoffLimit": 0, "template": {"spec": pod}},
    }


def jobs_in_a_row(tag: str, count: int) -> None:
    for each in range(count):
        jobs_at_once(f"{tag}-{each}", 1)


def jobs_at_once(tag: str, count: int) -> None:
    jobs = [bare_job(f"{tag}-{each}") for each in range(count)]
    kubectl("create", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": jobs}))
    names = [f"job/{tag}-{each}" for each in range(count)]
    kubectl("wait", "-n", NAMESPACE, "--for=condition=complete", "--timeout=300s", *names)


class Project:
    """A repository and a server of its own; every round's commit makes every step new."""

    def __init__(self, room: Path, *, engine: str, port: int) -> None:
        self.room = room
        self.engine = engine
        self.repository = room / "repository"
        self.repository.mkdir(parents=True)
        self.environment = os.environ | {
            "HEADWAY_DATA": str(room / "data"),
            "HEADWAY_SLOTS": "20",
            "HEADWAY_PUBLIC_URL": "https://headway.example.com",
            "HEADWAY_KUBERNETES_NAMESPACES": NAMESPACE,
            "HEADWAY_KUBERNETES_IMAGE": IMAGE,
            "HEADWAY_KUBERNETES_SERVER_URL": f"http://{MACHINE}:{port}",
            "HEADWAY_KUBERNETES_KUBECONFIG": os.environ["KUBECONFIG"],
            "HEADWAY_KUBERNETES_CACHE": f"host:{room}/cache",
        }
        (room / "cache").mkdir(mode=0o777)
        (room / "cache").chmod(0o777)
        subprocess.run(["git", "init", "-q", "-b", "main"], cwd=self.repository, check=True)
        argv = [HEADWAY, "server", "start", "--host", MACHINE, "--port", str(port)]
        log = (room / "server.log").open("wb")
        self.server = subprocess.Popen(argv, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while not (room / "data" / "server.json").exists():
            if self.server.poll() is not None:
                sys.exit((room / "server.log").read_text())
            time.sleep(0.1)

    def train(self, steps: dict[str, list[str]], tag: str) -> None:
        """Run one job of these steps (name -> needs) to its end."""
        rules = ["version: 1", f"name: {self.engine}", f"engine: {{type: {self.engine}}}", "pipeline:", "  steps:"]
        for name, needs in steps.items():
            rules.append(f"    {name}: {{run: 'python3 -c pass {tag}', code: [none.txt], needs: {json.dumps(needs)}}}")
        (self.repository / "headway.yaml").write_text("\n".join(rules) + "\n")
        (self.repository / "none.txt").touch()
        subprocess.run(["git", "add", "-A"], cwd=self.repository, check=True)
        subprocess.run(["git", *PERSON, "commit", "-q", "-m", tag], cwd=self.repository, check=True)
        argv = [HEADWAY, "train", "main"]
        done = subprocess.run(
            argv, cwd=self.repository, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode not in (0, 3):
            sys.exit(f"{done.stdout}{done.stderr}")

    def in_a_row(self, tag: str, count: int) -> None:
        """Each step needs the one before."""
        self.train({f"s{each}": [f"s{each - 1}"] if each else [] for each in range(count)}, tag)

    def at_once(self, tag: str, count: int) -> None:
        """No step needs another."""
        self.train({f"s{each}": [] for each in range(count)}, tag)

    def stop(self) -> None:
        """End the server as its service manager would."""
        self.server.terminate()
        self.server.wait(60)


@contextmanager
def projects(room: Path) -> Iterator[tuple[Project, Project]]:
    kubectl("create", "namespace", NAMESPACE)
    made = []
    try:
        for engine in ("kubernetes", "local"):
            with socket.socket() as probe:
                probe.bind((MACHINE, 0))
                port = probe.getsockname()[1]
            made.append(Project(room / engine, engine=engine, port=port))
        yield made[0], made[1]
    finally:
        for each in made:
            each.stop()
        kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def seconds(work: Callable[[str, int], None], tag: str, count: int) -> float:
    began = time.monotonic()
    work(tag, count)
    return (time.monotonic() - began) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headway-bench.", dir="/tmp") as room, projects(Path(room)) as (pods, here):
        sides = {
            "bare Jobs": (jobs_in_a_row, jobs_at_once),
            "Headway on Kubernetes": (pods.in_a_row, pods.at_once),
            "Headway on this machine": (here.in_a_row, here.at_once),
        }
        for shape, name in enumerate(("in a row", "at once")):
            found: dict[str, list[float]] = {side: [] for side in sides}
            for turn in range(-1, given.rounds):  # the first warms up
                for side, works in sides.items():
                    spent = seconds(works[shape], f"r{shape}-{turn + 1}", given.tasks)
                    if turn >= 0:
                        found[side].append(spent)
            base = statistics.median(found["bare Jobs"])
            for side, figures in found.items():
                middle = statistics.median(figures)
                spread = f"{min(figures):.2f}-{max(figures):.2f}"
                print(
                    f"{name:9} {side:24} {middle:6.2f} s a task ({spread})  {middle / base:5.2f} x a bare Job",
                    flush=True,
                )
    print(f"load average {' '.join(f'{each:.1f}' for each in os.getloadavg())}, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
