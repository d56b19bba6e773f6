"""Headway beside a real MLflow server: one run, one machine, each scenario on both, one after the other.

    make bench-tracking              SQLite, about 12 minutes
    make bench-tracking-postgres     PostgreSQL, about 8 minutes

Both servers run all the time, so that each has the other's idle processes beside it; only one is asked at a time. The
results are written to bench/tracking/results/, and the page docs/explanation/speed.md takes the newest table of each
database. CPU per call is the figure to trust on a machine that others use too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import platform
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contenders import PLAIN, Running, backend_pid, contenders, load, started
from limits import asgi_limits, sync_limits
from table import judged, markdown
from tracking_bench import Bench, cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "explanation" / "speed.md"
_PLACES = frozenset({"page", "table", "mlflow", "headway"})
SCENARIOS = ("create_run", "log_metric", "log_batch", "populate", "search", "history", "artifacts", "client")


def main() -> int:
    """Measure and write; return 1 when a scenario failed."""
    args = _arguments()
    postgres = os.environ.get("HEADWAY_TEST_POSTGRES", "") if args.database == "postgresql" else ""
    if args.database == "postgresql" and not postgres:
        print("run it as: tools/with-postgres .venv/bin/python bench/tracking/run.py --database postgresql")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers must end with us
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # the client would print the login
    start = time.perf_counter()
    report: dict[str, Any] = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "database": {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[args.database],
        "machine": {
            "cpus": os.cpu_count(),
            "platform": platform.platform(),
            "python": f"Python {platform.python_version()}",
            "load_before": load(),
        },
        "settings": {
            name: value for name, value in vars(args).items() if name not in ("page", "table", "mlflow", "headway")
        },
    }
    with tempfile.TemporaryDirectory(prefix="bench-tracking-") as name:
        room = Path(name)
        _say("the machine's limits", report.setdefault("limits", _limits(room, args)))
        programs = args.mlflow, str(Path(args.headway).absolute())
        with _both(room, postgres, programs, "" if args.uvloop else PLAIN) as servers:
            _measure(servers, args, report)
    report["judged"] = judged(report["mlflow"], report["headway"])
    report["machine"]["load_after"] = load()
    report["seconds"] = round(time.perf_counter() - start)
    _write(report, args)
    return 1 if any("error" in found for which in ("mlflow", "headway") for found in report[which].values()) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--scenarios", default=",".join(SCENARIOS), help="comma-separated (default: all)")
    parser.add_argument("--runs", type=int, default=2000, help="runs to search in")
    parser.add_argument("--points", type=int, default=50_000, help="points of the long history")
    parser.add_argument("--requests", type=int, default=300, help="calls of a sample")
    parser.add_argument("--seconds", type=float, default=8, help="longest sample")
    parser.add_argument("--least", type=float, default=1.5, help="shortest sample: CPU is counted in ticks of 10 ms")
    parser.add_argument("--connections", type=int, default=4, help="connections that populate")
    parser.add_argument("--artifact-mb", type=int, default=256)
    parser.add_argument("--small-files", type=int, default=300)
    parser.add_argument("--headway", default=str(Path(sys.executable).parent / "headway"), help="Headway's program")
    parser.add_argument("--mlflow", default=sys.executable, metavar="PYTHON", help="the Python that has MLflow")
    parser.add_argument(
        "--uvloop", action="store_true", help="give MLflow uvloop and httptools, which it does not bring"
    )
    parser.add_argument("--table", help="the page's table that takes the result (default: the database's)")
    parser.add_argument("--no-page", dest="page", action="store_false", help="leave the page as it is")
    return parser.parse_args()


def _limits(room: Path, args: argparse.Namespace) -> dict[str, float]:
    return {**sync_limits(room), **asgi_limits(room / "asgi.log", seconds=args.least)}


@contextlib.contextmanager
def _both(room: Path, postgres: str, programs: tuple[str, str], options: str) -> Iterator[tuple[Running, Running]]:
    running: list[Running] = []
    try:
        for contender in contenders(room, postgres, programs, options):
            running.append(started(contender, times=1 if contender.name == "mlflow" else 5))
            _say(f"{contender.name} starts", running[-1].startup)
        yield running[0], running[1]
    finally:
        for each in running:
            each.server.stop()


def _measure(servers: tuple[Running, Running], args: argparse.Namespace, report: dict[str, Any]) -> None:
    benches = []
    for each in servers:
        report[each.contender.name] = {"startup": each.startup}
        mine = argparse.Namespace(**{**vars(args), "uri": each.uri, "alone": each.contender.alone})
        benches.append(Bench(mine, each.pid))
    database = backend_pid(os.environ.get("HEADWAY_TEST_POSTGRES_CTL", "")) if args.database == "postgresql" else None
    for name in args.scenarios.split(","):
        for each, bench in zip(servers, benches, strict=True):
            before, spent = time.perf_counter(), cpu_seconds(database) if database else math.nan
            try:
                found = getattr(bench, name)()
            except Exception as error:  # noqa: BLE001  # one scenario that breaks must not lose the others
                found = {"error": repr(error)[:500]}
            found["wall_s"] = round(time.perf_counter() - before, 2)
            if database:
                found["database_cpu_s"] = round(cpu_seconds(database) - spent, 2)
            report[each.contender.name][name] = found
            _say(f"{each.contender.name} {name}", found)
    for each in servers:
        report[each.contender.name]["memory_after"] = each.memory()
        _say(f"{each.contender.name} memory", each.memory())


def _write(report: dict[str, Any], args: argparse.Namespace) -> None:
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    stamp = report["started"].replace(":", "").replace("-", "")
    path = folder / f"{stamp}-{args.table or args.database}.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    text = markdown(report)
    print(f"\n{text}\n{path}: {report['seconds']} s")
    if args.page:
        put_table(PAGE, args.table or args.database, text)


def put_table(page: Path, name: str, table: str) -> None:
    """Replace what stands between a page's two marks of that name."""
    text = page.read_text(encoding="utf-8")
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    page.write_text(f"{head}{begin}\n{table}\n{end}{tail}", encoding="utf-8")


def _say(what: str, found: dict[str, Any]) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}: {json.dumps(found)}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
