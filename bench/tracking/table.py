"""The figures of one run as a table, beside the aims of the project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Found = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One measurement: where its summary stands in the results, and what is asked of it."""

    name: str
    at: tuple[str, ...]
    cpu_aim: float | None = None  # so many times less CPU for a call
    rate_aim: float | None = None  # so many times more calls a second


LINES = (
    Line(name="runs/create", at=("create_run",), cpu_aim=25),
    Line(name="log-metric, 1 connection", at=("log_metric", "connections_1"), cpu_aim=25, rate_aim=25),
    Line(name="log-metric, 8 connections", at=("log_metric", "connections_8")),
    Line(name="log-batch, 1,000 points of one key", at=("log_batch", "one_key_1000_steps"), cpu_aim=40),
    Line(name="log-batch, 1,000 keys", at=("log_batch", "1000_keys"), cpu_aim=15),
    Line(name="populate, 3 requests a run", at=("populate", "per_run")),
    Line(name="search by metric and param", at=("search", "filter_metric_param_order_metric_100"), cpu_aim=60),
    Line(name="search, newest 1,000", at=("search", "newest_1000"), cpu_aim=60),
    Line(name="search, newest 100", at=("search", "newest_100")),
    Line(name="search ordered by metric, 100", at=("search", "order_by_metric_100_no_filter")),
    Line(name="search by tag LIKE, 100", at=("search", "tag_like_100")),
    Line(name="runs/get", at=("search", "get_run")),
    Line(name="history, every point", at=("history", "get_history_unpaged"), cpu_aim=30),
    Line(name="history, pages of 25,000", at=("history", "get_history_paged_25000")),
    Line(name="history, 25,000 in bulk", at=("history", "get_history_bulk_25000")),
    Line(name="history, 2,500 by interval", at=("history", "get_history_bulk_interval_2500")),
    Line(name="4 KB file up (Headway syncs, MLflow does not)", at=("artifacts", "small_upload"), rate_aim=4),
    Line(name="4 KB file down", at=("artifacts", "small_download"), rate_aim=50),
)
# Figures of whole scenarios: name, where, unit, aimed ratio, whether more is better, what Headway may have at most.
WHOLES: tuple[tuple[str, tuple[str, ...], str, float | None, bool, float | None], ...] = (
    ("256 MB file up", ("artifacts", "upload_mb_per_s"), "MB/s", 1, True, None),
    ("256 MB file down", ("artifacts", "download_mb_per_s"), "MB/s", 1, True, None),
    ("start until /health", ("startup", "seconds_to_health"), "s", None, False, 1.0),
    ("CPU of the start, until quiet", ("startup", "cpu_s_to_settle"), "s", 100, False, None),
    ("memory after the start (PSS)", ("startup", "idle", "pss_mb"), "MB", None, False, 120),
    ("memory after the run (PSS)", ("memory_after", "pss_mb"), "MB", None, False, 120),
    (
        "MLflow's client: a run of 10, 10 and 3",
        ("client", "run_with_10_params_10_metrics_3_tags", "runs_per_s"),
        "/s",
        None,
        True,
        None,
    ),
    ("MLflow's client: log_metric", ("client", "log_metric_sync", "calls_per_s"), "/s", None, True, None),
)

_HEAD = (
    "| call | CPU ms, MLflow | CPU ms, Headway | less CPU | p50 ms, MLflow | p50 ms, Headway | calls/s, MLflow "
    "| calls/s, Headway | more calls | aim | holds |"
)


def at(found: Found, path: tuple[str, ...]) -> Any:
    """Return what stands at a path, or None."""
    here: Any = found
    for name in path:
        here = here.get(name) if isinstance(here, dict) else None
    return here


def judged(theirs: Found, ours: Found) -> list[dict[str, Any]]:
    """Return one record for each measurement that both servers have: figures, ratios, aims, and whether they hold."""
    found = [each for line in LINES if (each := _call(line, at(theirs, line.at), at(ours, line.at)))]
    for name, path, unit, aim, is_more, most in WHOLES:
        them, us = at(theirs, path), at(ours, path)
        if them is None or us is None:
            continue
        ratio = us / them if is_more else them / max(us, 0.01)
        holds = None if aim is None and most is None else (aim is None or ratio >= aim) and (most is None or us <= most)
        aimed = f"{aim:g}×" if aim else f"under {most:g} {unit}" if most else ""
        found.append(
            {"name": name, "unit": unit, "mlflow": them, "headway": us, "ratio": ratio, "aim": aimed, "holds": holds}
        )
    return found


def _call(line: Line, them: Found | None, us: Found | None) -> dict[str, Any] | None:
    if not them or not us or "p50_ms" not in them or "p50_ms" not in us:
        return None
    cpu = [each.get("server_cpu_ms_per_call") for each in (them, us)]
    rate = [each.get("calls_per_s") or 1e3 / each["mean_ms"] for each in (them, us)]
    cpu_ratio = cpu[0] / max(cpu[1], 1e-3) if None not in cpu else None
    rate_ratio = rate[1] / rate[0]
    checks = []
    if line.cpu_aim and cpu_ratio is not None:
        checks.append(cpu_ratio >= line.cpu_aim)
    if line.rate_aim:
        checks.append(rate_ratio >= line.rate_aim)
    aims = [f"CPU {line.cpu_aim:g}×"] if line.cpu_aim else []
    aims += [f"rate {line.rate_aim:g}×"] if line.rate_aim else []
    return {
        "name": line.name,
        "cpu": cpu,
        "p50": [them["p50_ms"], us["p50_ms"]],
        "rate": rate,
        "cpu_ratio": cpu_ratio,
        "rate_ratio": rate_ratio,
        "aim": ", ".join(aims),
        "holds": all(checks) if checks else None,
    }


def markdown(report: Found) -> str:
    """Return the run as Markdown: where it was made, the calls, the wholes, and the machine's limits."""
    limits = report["limits"]
    where = (
        f"Measured {report['started'][:10]} on {report['machine']['cpus']} cores, {report['machine']['python']}, "
        f"MLflow {report['mlflow']['startup']['version']}{' with uvloop' if report['settings'].get('uvloop') else ''}, "
        f"{report['database']}, "
        f"{report['settings']['runs']:,} runs in the search, {report['settings']['points']:,} points in the history; "
        f"load average {report['machine']['load_before'][0]:g} before and {report['machine']['load_after'][0]:g} after "
        "(the benchmark itself is two)."
    )
    bounds = (
        "The machine's limits in the same run: fdatasync of 4 KB p50 "
        f"{limits['fdatasync_overwrite_p50_us']:.0f} µs over old bytes and "
        f"{limits['fdatasync_append_p50_us']:.0f} µs at the end of a file; an empty ASGI answer p50 "
        f"{limits['raw_asgi_p50_us']:.0f} µs, {limits['raw_asgi_cpu_us']:.0f} µs of CPU, "
        f"{limits['raw_asgi_calls_per_s']:,.0f} calls/s on one connection."
    )
    lines = [
        where,
        "",
        _HEAD,
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |",
    ]
    rows = report["judged"]
    lines += [_call_row(row) for row in rows if "cpu" in row]
    lines += ["", "| | MLflow | Headway | ratio | aim | holds |", "| --- | ---: | ---: | ---: | --- | --- |"]
    lines += [
        f"| {row['name']}, {row['unit']} | {_plain(row['mlflow'])} | {_plain(row['headway'])} | {row['ratio']:.1f}× "
        f"| {row['aim']} | {_said(row['holds'])} |"
        for row in rows
        if "unit" in row
    ]
    lines += ["", bounds]
    return "\n".join(lines) + "\n"


def _call_row(row: dict[str, Any]) -> str:
    cpu = [_plain(each) for each in row["cpu"]]
    ratio = "" if row["cpu_ratio"] is None else f"**{row['cpu_ratio']:.1f}×**"
    return (
        f"| {row['name']} | {cpu[0]} | {cpu[1]} | {ratio} | {_plain(row['p50'][0])} | {_plain(row['p50'][1])} "
        f"| {_plain(row['rate'][0])} | {_plain(row['rate'][1])} | {row['rate_ratio']:.1f}× "
        f"| {row['aim']} | {_said(row['holds'])} |"
    )


def _plain(value: float | None) -> str:
    if value is None:
        return ""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _said(holds: bool | None) -> str:  # noqa: FBT001  # a cell of the table
    return "" if holds is None else "yes" if holds else "**no**"
