"""Where the time of one step in the cluster goes, from its order to its end: medians over a chain of steps.

    tools/with-kubernetes .venv/bin/python bench/kubernetes/timeline.py

What the server and the pod do stands in the attempt's folder; when containers begin and end is told by containerd (`ctr
events`), for the kubelet itself says it in whole seconds.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import tempfile
import time
from datetime import datetime
from pathlib import Path

from overhead import projects

TASKS = 6
_EVENT = re.compile(r"(\S+ \S{8,15})\S* \S+ UTC \S+ (/tasks/start|/tasks/exit) .*")


def containers(log: Path, begin: float, end: float) -> list[tuple[float, str]]:
    """Return when containers began and ended between two moments."""
    found = [_EVENT.match(line) for line in log.read_text().splitlines()]
    times = [(datetime.fromisoformat(f"{each[1]}+00:00").timestamp(), each[2]) for each in found if each]
    return [(at, what) for at, what in times if begin <= at <= end]


def moments(folder: Path, log: Path) -> dict[str, float]:
    """Return what happened to an attempt, in seconds since its order."""

    def read(name: str) -> dict[str, float]:
        found: dict[str, float] = json.loads((folder / name).read_text())
        return found

    began = read("elsewhere.json")["ordered_at"]
    brought = (folder / "exit.json").stat().st_mtime
    starts = [at for at, what in containers(log, began, brought) if what == "/tasks/start"]
    found = {"the cluster has the Job": read("job.json")["created_at"]}
    found |= {f"container {number} runs": at for number, at in enumerate(starts)}  # 0 is the pod's own, which holds it
    found["the pod asks to begin"] = read("started")["at"]
    found["the code begins"] = read("exit.json")["started_at"]
    found["the code has ended"] = read("exit.json")["finished_at"]
    found["log, outputs and end are brought"] = brought
    return {what: at - began for what, at in found.items()}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="headway-bench.", dir="/tmp") as room, projects(Path(room)) as (pods, _):
        log = Path(room) / "events"
        argv = ["ctr", "--address", os.environ["HEADWAY_TEST_SOCKET"], "--namespace", "k8s.io", "events"]
        with log.open("wb") as out, subprocess.Popen(argv, stdout=out, stderr=subprocess.DEVNULL) as told:
            try:
                pods.in_a_row("warm", 1)  # makes the environment
                pods.in_a_row("measured", TASKS)
                time.sleep(1)
            finally:
                told.terminate()
        folders = sorted((Path(room) / "kubernetes" / "data" / "attempts").iterdir())[-TASKS:]
        orders = [json.loads((each / "elsewhere.json").read_text())["ordered_at"] for each in folders]
        ends = [(each / "exit.json").stat().st_mtime for each in folders]
        seen = [moments(each, log) for each in folders]
        for what in seen[-1]:
            print(f"{statistics.median(each[what] for each in seen if what in each):6.2f}  {what}")
        gaps = [order - end for order, end in zip(orders[1:], ends, strict=False)]
        print(f"{statistics.median(gaps):6.2f}  more until the next step is ordered")
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
