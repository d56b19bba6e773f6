"""The tracking server among 5,000, 100,000 and 1,000,000 runs: CPU for each shape of a search, memory, and the plans.

    make bench-growth                SQLite, all three sizes: about 10 minutes
    make bench-growth-postgres       PostgreSQL, 5,000 and 100,000 runs

All servers run at once, each on a database of its own, and every shape is asked of each in turns, so that whatever else
the machine does touches all sizes alike. CPU for a call is the figure to trust. `--keep FOLDER` keeps the databases
there (SQLite), and takes those that are there already: a million runs take two minutes of CPU to make.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contenders import backend_pid, load
from growth_chart import draw
from limits import free_port
from tracking_bench import Connection, Server, cpu_seconds, latencies, memory, timed

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from fakes.many_runs import START, Filled, fill  # noqa: E402  # the tests' folder is known from here on
from fakes.search_plans import plans_of, steps_of  # noqa: E402
from fakes.search_shapes import SHAPES, Shape, filled_values  # noqa: E402
from headway.db.connection import Database, open_database  # noqa: E402
from headway.db.migrate import migrate  # noqa: E402

PAGE = ROOT / "docs" / "explanation" / "growth.md"
IMAGES = ROOT / "docs" / "images"
Found = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Subject:
    """One server on one database."""

    filled: Filled
    database: Database
    server: Server
    uri: str
    postmaster: int | None
    connection: Connection

    def cpu(self) -> tuple[float, float]:
        """CPU seconds of the server's process, and of the database's processes where it has any."""
        return cpu_seconds(self.server.process.pid, alone=True), cpu_seconds(
            self.postmaster
        ) if self.postmaster else 0.0

    def memory(self) -> float:
        """Proportional memory of the server's process, in MB."""
        return memory(self.server.process.pid, alone=True)["pss_mb"]


def main() -> int:
    """Measure and write; return 1 when a search reads a big table from end to end."""
    args = _arguments()
    postgres = os.environ.get("HEADWAY_TEST_POSTGRES", "") if args.database == "postgresql" else ""
    if args.database == "postgresql" and not postgres:
        print("run it as: tools/with-postgres .venv/bin/python bench/tracking/growth.py --database postgresql")
        return 2
    start = time.perf_counter()
    report: Found = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "database": {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[args.database],
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "load_before": load()},
        "sizes": args.runs,
        "filling": [],
    }
    with contextlib.ExitStack() as stack:
        room = Path(args.keep or stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-growth-")))
        subjects = [stack.enter_context(_subject(room, count, postgres, report)) for count in args.runs]
        _measure(subjects, args, report)
    report["machine"]["load_after"] = load()
    report["seconds"] = round(time.perf_counter() - start)
    _write(report, args)
    return 1 if any(each.get("scans") for each in report["shapes"]) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument(
        "--runs", default="5000,100000", type=lambda text: [int(each) for each in text.split(",")], help="sizes"
    )
    parser.add_argument("--keep", default="", help="folder of the databases (SQLite)")
    parser.add_argument("--rounds", type=int, default=3, help="samples of a shape; their median counts")
    parser.add_argument(
        "--least", type=float, default=1.0, help="seconds of a sample: CPU is counted in ticks of 10 ms"
    )
    parser.add_argument("--most-pages", type=int, default=100, help="pages of 1,000 runs that are read from end to end")
    parser.add_argument("--no-page", dest="page", action="store_false", help="leave page and chart as they are")
    return parser.parse_args()


# --- a server on so many runs ---------------------------------------------------------------------


@contextlib.contextmanager
def _subject(room: Path, count: int, postgres: str, report: Found) -> Iterator[Subject]:
    folder = room / str(count)
    folder.mkdir(parents=True, exist_ok=True)
    url = _new_postgres(postgres, count) if postgres else f"sqlite:///{folder / 'headway.db'}"
    database = open_database(url)
    migrate(database)
    report["filling"].append(_filled(database, folder, count))
    filled = Filled(narrow="1", wide="2", runs=count)
    port = free_port()
    settings = {"HEADWAY_DATA": str(folder), **({"HEADWAY_DATABASE": url} if postgres else {})}
    pairs = " ".join(f"'{name}={value}'" for name, value in settings.items())
    command = f"env -C {folder} {pairs} {Path(sys.executable).parent}/headway server start --auth none --port {port}"
    uri = f"http://127.0.0.1:{port}"
    server = Server(command, uri, str(folder / "log"))
    try:
        server.settle(30)
        with Connection(uri) as connection:
            yield Subject(
                filled=filled,
                database=database,
                server=server,
                uri=uri,
                postmaster=backend_pid(os.environ.get("HEADWAY_TEST_POSTGRES_CTL", "")) if postgres else None,
                connection=connection,
            )
    finally:
        server.stop()
        database.close()


def _new_postgres(postgres: str, count: int) -> str:
    name = f"growth{count}"
    admin = open_database(postgres)
    with admin.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"create database {name}")
    admin.close()
    return postgres.replace("/headway?", f"/{name}?")


def _filled(database: Database, folder: Path, count: int) -> Found:
    with database.read() as tx:
        there = tx.exec_driver_sql("select max(id) from run").scalar()
    begun, spent = time.perf_counter(), time.process_time()
    if not there:
        fill(database, count, tell=lambda done: _say(f"{done:,} runs are in") if done % 100_000 == 0 else None)
    with database.read() as tx:
        size = (
            (folder / "headway.db").stat().st_size
            if database.is_sqlite
            else int(tx.exec_driver_sql("select pg_database_size(current_database())").scalar_one())
        )
    return {
        "runs": count,
        "was_there": bool(there),
        "seconds": round(time.perf_counter() - begun, 1),
        "cpu_s": round(time.process_time() - spent, 1),
        "bytes": size,
    }


# --- measuring ------------------------------------------------------------------------------------


def _measure(subjects: list[Subject], args: argparse.Namespace, report: Found) -> None:
    report["memory_idle_mb"] = [each.memory() for each in subjects]
    _say(f"memory, idle: {report['memory_idle_mb']}")
    report["shapes"] = []
    for shape in SHAPES:
        bodies = [_body(shape, each) for each in subjects]
        found = _asked(shape.name, [_searching(*each) for each in zip(subjects, bodies, strict=True)], subjects, args)
        plans = [plans_of(each.database, body) for each, body in zip(subjects, bodies, strict=True)]
        found["is_walk"] = shape.is_walk
        found["plan"] = plans[-1][0]
        found["scans"] = [] if shape.is_walk else sorted({line for _, bad in plans for line in bad})
        if subjects[0].database.is_sqlite:
            found["steps"] = [steps_of(each.database, body)[0] for each, body in zip(subjects, bodies, strict=True)]
        report["shapes"].append(found)
    report["shapes"].append(_asked("runs/get", [_getting(each) for each in subjects], subjects, args))
    report["shapes"].append(_asked("a run written, 3 calls", [_writing(each) for each in subjects], subjects, args))
    report["memory_searched_mb"] = [each.memory() for each in subjects]
    report["pages"] = [_every_page(each, args.most_pages) for each in subjects]
    report["memory_after_mb"] = [each.memory() for each in subjects]
    _say(f"memory, after: {report['memory_after_mb']}, pages: {report['pages']}")


def _body(shape: Shape, subject: Subject) -> Found:
    body = shape.body(filled_values(subject.filled))
    if shape.is_deep:
        # The run before the last hundred: its sort keys lead to the last page, as the token of its page would.
        keys = [START + 100 * 1000, uuid.UUID(int=101, version=4).hex]
        body["page_token"] = base64.urlsafe_b64encode(json.dumps(keys).encode()).decode()
    return body


def _searching(subject: Subject, body: Found) -> Callable[[], int]:
    raw = json.dumps(body).encode()

    def search() -> int:
        status, answer = subject.connection.request("POST", "/api/2.0/mlflow/runs/search", raw)
        if status != 200:
            raise RuntimeError(f"{status}: {answer[:300]!r}")
        return answer.count(b'"lifecycle_stage"')

    return search


def _getting(subject: Subject) -> Callable[[], int]:
    run = uuid.UUID(int=subject.filled.runs // 2, version=4).hex
    path = f"/api/2.0/mlflow/runs/get?run_id={run}"
    return lambda: int(subject.connection.request("GET", path)[0] == 200)


def _writing(subject: Subject) -> Callable[[], int]:
    """Return what writes one more run in three calls, as a training does, into an experiment of its own keys."""
    post = subject.connection.post
    values = filled_values(subject.filled)
    metrics = [{"key": f"metric_{index}", "value": index / 7, "timestamp": 1, "step": 0} for index in range(10)]
    params = [{"key": f"param_{index}", "value": str(index)} for index in range(10)]
    tags = [{"key": key, "value": "x"} for key in ("team", "stage", "commit")]

    def write() -> int:
        # Older than all others: the first page stays what it was.
        made = post("runs/create", {"experiment_id": values["narrow"], "start_time": 1, "tags": tags})
        run = made["run"]["info"]["run_id"]
        post("runs/log-batch", {"run_id": run, "metrics": metrics, "params": params})
        post("runs/update", {"run_id": run, "status": "FINISHED", "end_time": 2})
        return 1

    return write


def _asked(name: str, calls: list[Callable[[], int]], subjects: list[Subject], args: argparse.Namespace) -> Found:
    """Ask every server in turns, several times; return the medians for each size."""
    returned = [call() for call in calls]
    for call in calls:  # the documents of these runs are kept from now on
        call()
    time.sleep(0.05)
    cpu: list[list[float]] = [[] for _ in calls]
    database_cpu: list[list[float]] = [[] for _ in calls]
    p50: list[list[float]] = [[] for _ in calls]
    for _ in range(args.rounds):
        for index, (call, subject) in enumerate(zip(calls, subjects, strict=True)):
            before = subject.cpu()
            took = timed(call, 10, 20, args.least)
            after = subject.cpu()
            cpu[index].append((after[0] - before[0]) / len(took) * 1e3)
            database_cpu[index].append((after[1] - before[1]) / len(took) * 1e3)
            p50[index].append(latencies(took)["p50_ms"])
    found = {
        "name": name,
        "returned": returned,
        "cpu_ms": [round(statistics.median(each), 3) for each in cpu],
        "database_cpu_ms": [round(statistics.median(each), 3) for each in database_cpu],
        "p50_ms": [round(statistics.median(each), 3) for each in p50],
    }
    found["total_cpu_ms"] = [round(a + b, 3) for a, b in zip(found["cpu_ms"], found["database_cpu_ms"], strict=True)]
    _say(f"{name}: returned {returned}, CPU ms {found['total_cpu_ms']}, p50 ms {found['p50_ms']}")
    return found


def _every_page(subject: Subject, most: int) -> Found:
    before, begun = subject.cpu(), time.perf_counter()
    seen, pages, token = 0, 0, ""
    while pages < most:
        page = subject.connection.post(
            "runs/search", {"experiment_ids": [subject.filled.narrow], "max_results": 1000, "page_token": token}
        )
        seen, pages, token = seen + len(page.get("runs", ())), pages + 1, page.get("next_page_token", "")
        if not token:
            break
    after = subject.cpu()
    return {
        "runs": seen,
        "seconds": round(time.perf_counter() - begun, 2),
        "cpu_s": round(sum(after) - sum(before), 2),
    }


# --- writing --------------------------------------------------------------------------------------


def _write(report: Found, args: argparse.Namespace) -> None:
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    stamp = report["started"].replace(":", "").replace("-", "")
    path = folder / f"{stamp}-growth-{args.database}.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    text = markdown(report)
    print(f"\n{text}\n{path}: {report['seconds']} s")
    if args.page:
        draw(report, IMAGES / f"growth-{args.database}.svg")
        _put(PAGE, args.database, text)


def markdown(report: Found) -> str:
    """Return the run as Markdown."""
    sizes = report["sizes"]
    before, after = report["machine"]["load_before"][0], report["machine"]["load_after"][0]
    heads = [f"{size:,}" for size in sizes]
    ratios = [f"{size:,} / {sizes[0]:,}" for size in sizes[1:]]
    lines = [
        f"Measured {report['started'][:10]} on {report['machine']['cpus']} shared cores, Python "
        f"{report['machine']['python']}, {report['database']}; load average {before:g} before and {after:g} after. CPU "
        "is user plus system time of the server"
        + (" and of PostgreSQL's processes" if report["database"] != "SQLite" else "")
        + f", the median of samples taken from {len(sizes)} servers in turns.",
        "",
        "| CPU ms for a call | " + " | ".join([*heads, *ratios]) + " | p50 ms: " + ", ".join(heads) + " |",
        "| --- |" + " ---: |" * (len(sizes) + len(ratios) + 1),
    ]
    for each in report["shapes"]:
        cpu = each["total_cpu_ms"]
        ratio = [f"{now / max(cpu[0], 0.001):.2f}" for now in cpu[1:]]
        name = each["name"] + (" (looks at every run)" if each.get("is_walk") else "")
        lines.append(
            f"| {name} | "
            + " | ".join([*(f"{now:.2f}" for now in cpu), *ratio])
            + " | "
            + ", ".join(f"{now:.2f}" for now in each["p50_ms"])
            + " |"
        )
    lines += [
        "",
        f"| | {' | '.join(heads)} |",
        "| --- |" + " ---: |" * len(sizes),
        _row("memory of the server, idle, PSS MB", report["memory_idle_mb"]),
        _row("after all searches above", report["memory_searched_mb"]),
        _row(
            "after every page of 1,000 (of a million: the first hundred)"
            if sizes[-1] > 100_000
            else "after every page of 1,000",
            report["memory_after_mb"],
        ),
        _row("CPU s to read these pages, documents made on the way", [each["cpu_s"] for each in report["pages"]]),
        _row("database, MB", [round(each["bytes"] / 1e6) for each in report["filling"]]),
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, values: list[Any]) -> str:
    return f"| {name} | " + " | ".join(f"{value:,}" for value in values) + " |"


def _put(page: Path, name: str, table: str) -> None:
    text = page.read_text(encoding="utf-8")
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    page.write_text(f"{head}{begin}\n{table}\n{end}{tail}", encoding="utf-8")


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
