"""64 clients at once log points, each acknowledged after its commit; then every acknowledged point is read back.

    make bench-clients                SQLite
    make bench-clients-postgres       PostgreSQL

Aim: no error, `locked` or other, and at least 1,500 acknowledged writes a second on SQLite with synchronous=FULL. The
clients are one process on keep-alive connections, which takes part of the machine that it measures.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from contenders import backend_pid, load
from limits import free_port, sync_limits
from tracking_bench import Connection, Server, cpu_seconds, latencies, memory

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent / "tests"))

from fakes.herd import Client, Herd, lost_or_doubled  # noqa: E402  # the tests' folder is known from here on
from headway.db.connection import open_database  # noqa: E402

AIM = 1500


def main() -> int:
    """Measure, print and write; return 1 when a point is missing, an error came, or the aim is not met."""
    args = _arguments()
    postgres = os.environ.get("HEADWAY_TEST_POSTGRES", "") if args.database == "postgresql" else ""
    if args.database == "postgresql" and not postgres:
        print("run it as: tools/with-postgres .venv/bin/python bench/tracking/clients64.py --database postgresql")
        return 2
    with tempfile.TemporaryDirectory(prefix="bench-clients-") as name:
        found = _measured(Path(name), postgres, args)
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    path = folder / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-clients{args.clients}-{args.database}.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))
    is_good = not found["errors"] and not found["lost"] and not found["doubled"]
    return 0 if is_good and (postgres or found["acks_per_s"] >= AIM) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10)
    return parser.parse_args()


def _measured(room: Path, postgres: str, args: argparse.Namespace) -> dict[str, Any]:
    port = free_port()
    settings = {"HEADWAY_DATA": str(room), **({"HEADWAY_DATABASE": postgres} if postgres else {})}
    pairs = " ".join(f"'{name}={value}'" for name, value in settings.items())
    command = f"env -C {room} {pairs} {Path(sys.executable).parent}/headway server start --port {port}"
    uri = f"http://127.0.0.1:{port}"
    limits, before_load = sync_limits(room), load()
    server = Server(command, uri, str(room / "log"))
    try:
        server.settle(30)
        token = (room / "admin-token").read_text().strip()
        postmaster = backend_pid(os.environ.get("HEADWAY_TEST_POSTGRES_CTL", "")) if postgres else None
        with Connection(f"http://:{token}@127.0.0.1:{port}") as connection:
            herd = Herd(port, _clients(connection, args.clients), login=token)
            pid = server.process.pid
            spent = (cpu_seconds(pid, alone=True), cpu_seconds(postmaster) if postmaster else 0.0)
            begun = time.perf_counter()
            until = time.monotonic() + args.seconds
            herd.run(lambda: time.monotonic() > until)
            wall, acks = time.perf_counter() - begun, herd.acknowledged
            used = (cpu_seconds(pid, alone=True), cpu_seconds(postmaster) if postmaster else 0.0)
            lost, doubled, read = lost_or_doubled(herd.clients, lambda run, key: _steps(connection, run, key))
            found = {
                "database": args.database,
                "durable": _durable(room, postgres),
                "clients": args.clients,
                "seconds": round(wall, 2),
                "acknowledged": acks,
                "acks_per_s": round(acks / wall, 1),
                "server_cpu_us_per_ack": round((used[0] - spent[0]) / acks * 1e6, 1),
                "database_cpu_us_per_ack": round((used[1] - spent[1]) / acks * 1e6, 1),
                **latencies(herd.took),
                "max_ms": round(max(herd.took) * 1e3, 1),
                "errors": dict(herd.refused),
                "locked_errors": sum(count for text, count in herd.refused.items() if "locked" in text),
                "broken_connections": herd.broken,
                "read_back": read,
                "lost": lost,
                "doubled": doubled,
                "memory_mb": memory(pid, alone=True)["pss_mb"],
                "limits": limits,
                "load_before": before_load,
                "load_after": load(),
            }
    finally:
        server.stop()
    return found


def _clients(connection: Connection, count: int) -> list[Client]:
    """Return clients on eight runs, each with a key of its own: some write to the same run, as ranks do."""
    runs = [
        connection.post("runs/create", {"experiment_id": "0", "start_time": 1})["run"]["info"]["run_id"]
        for _ in range(min(8, count))
    ]
    return [Client(run=runs[index % len(runs)], key=f"loss_{index}") for index in range(count)]


def _steps(connection: Connection, run: str, key: str) -> list[int]:
    found = connection.get("metrics/get-history", [("run_id", run), ("metric_key", key)])
    return [int(each.get("step", 0)) for each in found.get("metrics", [])]


def _durable(room: Path, postgres: str) -> str:
    database = open_database(postgres or f"sqlite:///{room / 'headway.db'}")
    try:
        with database.read() as tx:
            if database.is_sqlite:
                names = {1: "NORMAL", 2: "FULL", 3: "EXTRA"}
                mode = tx.exec_driver_sql("pragma journal_mode").scalar_one()
                return f"{mode}, synchronous={names[tx.exec_driver_sql('pragma synchronous').scalar_one()]}"
            shown = [tx.exec_driver_sql(f"show {name}").scalar_one() for name in ("fsync", "synchronous_commit")]
            return f"fsync={shown[0]}, synchronous_commit={shown[1]}"
    finally:
        database.close()


if __name__ == "__main__":
    raise SystemExit(main())
