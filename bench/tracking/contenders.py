"""The two servers: how each is started, and which of its processes count."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from limits import free_port
from tracking_bench import Connection, Server, cpu_seconds, memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A server that can be started."""

    name: str
    command: str
    port: int
    folder: Path
    alone: bool  # count the server's own process; else it and everything below it

    @property
    def uri(self) -> str:
        """Its address, without a login."""
        return f"http://127.0.0.1:{self.port}"


# What `pip install mlflow` brings. uvloop and httptools stand beside it here because Headway needs them, and uvicorn
# would take them: a third less CPU for small calls, and no wait for acknowledgements.
PLAIN = "--uvicorn-opts '--loop asyncio --http h11'"


def contenders(room: Path, postgres: str, programs: tuple[str, str], options: str) -> tuple[Contender, Contender]:
    """Return MLflow (of that Python) and Headway with their defaults, each on an empty store of the same kind."""
    python, headway = programs
    return _mlflow(room / "mlflow", postgres, python, options), _headway(room / "headway", postgres, headway)


def _headway(folder: Path, postgres: str, program: str) -> Contender:
    folder.mkdir(parents=True)
    port = free_port()
    settings = {"HEADWAY_DATA": str(folder / "data"), **({"HEADWAY_DATABASE": postgres} if postgres else {})}
    return Contender(
        name="headway",
        command=_with(settings, folder, f"{program} server start --port {port}"),
        port=port,
        folder=folder,
        # Its one child runs jobs and takes no part in tracking: counted apart.
        alone=True,
    )


def _mlflow(folder: Path, postgres: str, python: str, options: str) -> Contender:
    folder.mkdir(parents=True)
    port = free_port()
    store = f"sqlite:///{folder}/mlflow.db"
    if postgres:
        store = postgres.replace("/headway?", "/mlflow?")
        with psycopg.connect(postgres.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("create database mlflow")
    command = (
        f"{python} -m mlflow server --host 127.0.0.1 --port {port} --backend-store-uri '{store}' "
        f"--artifacts-destination {folder}/artifacts {options}"
    )
    return Contender(name="mlflow", command=_with({}, folder, command), port=port, folder=folder, alone=False)


def _with(settings: dict[str, str], folder: Path, command: str) -> str:
    # Compiled modules are kept, as an installed package has them, and start from the second time on.
    more = {"PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "MLFLOW_DISABLE_TELEMETRY": "true", **settings}
    pairs = " ".join(f"'{name}={value}'" for name, value in more.items())
    return f"env -C {folder} -u PYTHONDONTWRITEBYTECODE {pairs} {command}"


@dataclass(slots=True)
class Running:
    """A server that runs, and how it came up."""

    contender: Contender
    server: Server
    startup: dict[str, Any]

    @property
    def pid(self) -> int:
        """The process that was started."""
        return self.server.process.pid

    @property
    def uri(self) -> str:
        """Its address, with Headway's login: the token of the first start."""
        token = self.contender.folder / "data" / "admin-token"
        login = f":{token.read_text().strip()}@" if token.exists() else ""
        return self.contender.uri.replace("http://", f"http://{login}")

    def cpu(self) -> float:
        """CPU seconds of the processes that count."""
        return cpu_seconds(self.pid, self.contender.alone)

    def memory(self) -> dict[str, float]:
        """Memory of the processes that count."""
        return memory(self.pid, self.contender.alone)


def started(contender: Contender, *, times: int) -> Running:
    """Start a server once to make its store and bytecode, then `times` more; keep the last one running."""
    log = str(contender.folder / "log")
    try:
        first = Server(contender.command, contender.uri, log)
    except RuntimeError as error:
        raise RuntimeError(f"{error}: {Path(log).read_text(errors='replace')[-2000:]}") from error
    first.settle(60)
    first.stop()
    seconds: list[float] = []
    ready: list[float] = []
    server = None
    for _ in range(times):
        if server is not None:
            server.stop()
            time.sleep(0.5)
        server = Server(contender.command, contender.uri, log)
        seconds.append(round(server.seconds, 3))
        ready.append(round(cpu_seconds(server.process.pid, contender.alone), 2))
    if server is None:
        raise ValueError("a server must be started once at least")
    settled = server.settle(60)
    pid = server.process.pid
    spent = cpu_seconds(pid, contender.alone)
    everything = cpu_seconds(pid)
    startup = {
        "first_start_s": round(first.seconds, 3),
        "seconds_to_health": sorted(seconds)[len(seconds) // 2],
        "all_seconds": seconds,
        "cpu_s_to_health": sorted(ready)[len(ready) // 2],
        "settled_after_s": round(settled, 1),
        "cpu_s_to_settle": round(spent, 2),
        "cpu_s_to_settle_with_children": round(everything, 2),
        "idle": memory(pid, contender.alone),
        "idle_with_children": memory(pid),
    }
    with Connection(contender.uri) as connection:
        startup["version"] = connection.request("GET", "/version")[1].decode()[:40]
    return Running(contender, server, startup)


def backend_pid(postgres_ctl: str) -> int | None:
    """Return the process of the PostgreSQL server that `tools/with-postgres` started; None where there is none."""
    words = postgres_ctl.split()
    if "-D" not in words:
        return None
    file = Path(words[words.index("-D") + 1]) / "postmaster.pid"
    try:
        return int(file.read_text().splitlines()[0])
    except (OSError, ValueError):
        return None


def load() -> list[float]:
    """Return the machine's load averages."""
    return [round(each, 2) for each in os.getloadavg()]
