"""Time moving in and out: an import from the database and from a real MLflow server, again, and an export.

python bench/moving/measure.py FILLED-FOLDER [--server]
CPU seconds are user and system time of the whole process (and for MLflow's server of its whole tree).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
HEADWAY = [sys.executable, "-m", "headway.cli.main"]


def cpu_of(pid: int) -> float:
    """Seconds of a process and of everything below it."""
    seconds = 0.0
    waiting = [pid]
    while waiting:
        each = waiting.pop()
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            children = Path(f"/proc/{each}/task/{each}/children").read_text().split()
        except OSError:
            continue
        seconds += sum(int(field) for field in fields[11:15]) / TICKS
        waiting += [int(child) for child in children]
    return seconds


def peak_mb(pid: int) -> float:
    """Most memory that a process ever had, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


class Headway:
    """A data directory of its own, and the server on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HEADWAY_", "MLFLOW_"))}
        self.environment = {**kept, "HEADWAY_DATA": str(folder / "data"), "HOME": str(folder)}
        self.run("runs", "list")  # starts it

    @property
    def pid(self) -> int:
        """The server's process."""
        return int(json.loads((self.folder / "data" / "server.json").read_bytes())["pid"])

    def run(self, *words: str, check: bool = True) -> str:
        """Type a command and return what it printed."""
        done = subprocess.run([*HEADWAY, *words], env=self.environment, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise SystemExit(f"headway {words}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def timed(self, what: str, *words: str, other: int = 0) -> str:
        """Type a command, print what it cost on all sides, and return what it printed."""
        server, peer, before = cpu_of(self.pid), cpu_of(other) if other else 0.0, time.perf_counter()
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        with subprocess.Popen([*HEADWAY, *words], env=self.environment, stdout=subprocess.PIPE, text=True) as process:
            out = process.stdout.read() if process.stdout else ""
        wall = time.perf_counter() - before
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        line = {
            "what": what,
            "exit": process.returncode,
            "wall_s": round(wall, 1),
            "terminal_cpu_s": round(after.ru_utime + after.ru_stime - usage.ru_utime - usage.ru_stime, 1),
            "server_cpu_s": round(cpu_of(self.pid) - server, 1),
            "server_peak_mb": round(peak_mb(self.pid)),
            "children_peak_mb": round(after.ru_maxrss / 1024),
            "load": os.getloadavg()[0],
        }
        if other:
            line["mlflow_cpu_s"] = round(cpu_of(other) - peer, 1)
        print(json.dumps(line), flush=True)
        return out


def mlflow_server(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    words = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/artifacts"]
    program = Path(sys.executable).parent / "mlflow"
    process = subprocess.Popen(
        [program, "server", *words, "--port", str(port), "--workers", "1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
            break
        except OSError:
            time.sleep(0.2)
    time.sleep(15)  # until it is quiet
    return process, f"http://127.0.0.1:{port}"


def end(out: str) -> None:
    last = json.loads(out.splitlines()[-1])
    print(json.dumps({key: last[key] for key in ("there", "here", "new_runs", "whole")}), flush=True)


def measured(source: str, *more: str, name: str, other: int = 0) -> None:
    with tempfile.TemporaryDirectory() as place:
        headway = Headway(Path(place))
        words = ("import", "mlflow", source, *more, "--json")
        try:
            end(headway.timed(f"import from {name}", *words, other=other))
            end(headway.timed("the same again", *words, other=other))
            headway.timed("export to Parquet", "runs", "export", f"{place}/parquet", "--format", "parquet")
            sizes = {each.name: each.stat().st_size for each in sorted(Path(place, "parquet").iterdir())}
            print(json.dumps(sizes), flush=True)
        finally:
            headway.run("server", "stop")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--server", action="store_true", help="read a real MLflow server over it instead")
    args = parser.parse_args()
    folder = args.folder.absolute()
    if not args.server:
        measured(f"sqlite:///{folder}/mlflow.db", "--artifacts", str(folder / "artifacts"), name="the database")
    else:
        process, url = mlflow_server(folder)
        try:
            measured(url, name="a server", other=process.pid)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


if __name__ == "__main__":
    main()
