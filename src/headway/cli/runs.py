"""`headway runs`: what training code logged, through the MLflow wire."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from headway.cli.client import Client, connect
from headway.cli.options import Json, Limit, Yes
from headway.cli.output import note, print_json, say, short, table
from headway.cli.progress import numbers_text
from headway.errors import Conflict, UsageError

app = typer.Typer(help="MLflow runs.")

RunId = Annotated[str, typer.Argument(help="Run id, or its first characters (6 or more).", metavar="RUN")]
Filter = Annotated[str, typer.Option("--filter", help="MLflow's language: metrics.auc > 0.7 and params.lr = '0.1'")]
Order = Annotated[str | None, typer.Option("--order", help="metrics.auc DESC")]

MOST = 1000  # that the server gives at once


@app.command("list")
def list_runs(where: Filter = "", order: Order = None, limit: Limit = 20, as_json: Json = False) -> None:
    """List runs by MLflow's filter language, newest first."""
    found = _find(connect(), where, order, limit)
    if as_json:
        print_json(found)
        return
    rows = [
        [
            each["info"]["run_id"][:8],
            each["info"]["name"],
            each["info"]["status"],
            each["tags"].get("headway.job"),
            numbers_text(_values(each)),
        ]
        for each in found
    ]
    empty = "no runs match" if where else "no runs yet: headway train"
    table(["run", "name", "status", "job", "metrics"], rows, empty=empty)
    if len(rows) == limit:
        note(f"note: the newest {limit}; --limit shows up to {MOST}")


def _find(client: Client, where: str, order: str | None, limit: int) -> list[dict[str, Any]]:
    try:
        return list(client.get("/runs", filter=where, order=order, limit=limit))
    except UsageError as error:
        hint = error.hint or "headway runs list --filter \"metrics.auc > 0.7 and params.lr = '0.1'\""
        raise UsageError(error.message, cause=error.cause, hint=hint) from None


def _values(run: dict[str, Any]) -> dict[str, float]:
    """The latest metrics that the code logged; what Headway itself measured is left out."""
    return {name: each["value"] for name, each in run["metrics"].items() if not name.startswith("system/")}


@app.command()
def show(run: RunId, as_json: Json = False) -> None:
    """Show one run."""
    found = connect().get(f"/runs/{run}")
    if as_json:
        print_json(found)
        return
    info = found["info"]
    say(f"run {info['run_id']}  {info['name']}  {info['status']}")
    began, ended = time_text(info["start_time"]), time_text(info["end_time"])
    said = f"experiment {info['experiment_id']}" + (f", from {began} UTC" if began else "")
    say(f"{said}{f' to {ended} UTC' if ended else ''}, by {info['user_id'] or 'nobody named'}\n")
    rows = [[name, each["value"], each["step"]] for name, each in sorted(found["metrics"].items())]
    table(["metric", "latest", "step"], rows, empty="no metrics")
    for kind in ("params", "tags"):
        if found[kind]:
            say("")
        table([kind[:-1], "value"], sorted(found[kind].items()), empty=f"no {kind}")


@app.command()
def compare(runs: Annotated[list[str], typer.Argument(help="Two or more runs.")], as_json: Json = False) -> None:
    """Show params and metrics of runs side by side; what is equal everywhere is left out."""
    if len(runs) < 2:
        raise UsageError("one run has nothing to be compared with", hint=f"headway runs compare {runs[0]} OTHER")
    client = connect()
    found = [client.get(f"/runs/{run}") for run in runs]
    sides = [{"params": each["params"], "metrics": _values(each)} for each in found]
    if as_json:
        print_json([{"run_id": each["info"]["run_id"], **side} for each, side in zip(found, sides, strict=True)])
        return
    rows: list[list[object]] = []
    for kind in ("params", "metrics"):
        for name in sorted({name for side in sides for name in side[kind]}):
            values = [side[kind].get(name) for side in sides]
            if kind == "metrics" or len(set(values)) > 1:
                rows.append([kind[:-1], name, *values])
    table(["", "name", *(short(each["info"]["run_id"]) for each in found)], rows, empty="nothing was logged")


@app.command()
def tag(
    run: RunId,
    pairs: Annotated[list[str], typer.Argument(help="key=value ...", metavar="KEY=VALUE")],
    as_json: Json = False,
) -> None:
    """Set tags of a run."""
    wanted = dict(_pair(each) for each in pairs)
    client = connect()
    run_id = client.get(f"/runs/{run}")["info"]["run_id"]
    for key, value in wanted.items():
        client.wire("POST", "mlflow/runs/set-tag", run_id=run_id, key=key, value=value)
    if as_json:
        print_json({"run_id": run_id, "tags": wanted})
    else:
        say(f"tagged {run_id[:8]}: " + ", ".join(f"{key}={value}" for key, value in wanted.items()))


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise UsageError(f"{text!r} is no key=value", hint="headway runs tag RUN note=good")
    if key.startswith(("mlflow.", "headway.")):
        raise UsageError(f"{key} is written by the code or by Headway only", hint="choose a name of your own")
    return key, value


@app.command()
def delete(run: RunId, yes: Yes = False, as_json: Json = False) -> None:
    """Hide a run from lists, as MLflow's own client does; a job's verdict keeps what it saw."""
    client = connect()
    info = client.get(f"/runs/{run}")["info"]
    run_id = info["run_id"]
    if not yes:
        raise UsageError(f"this deletes run {run_id[:8]} ({info['name']})", hint=f"headway runs delete {run_id} --yes")
    client.wire("POST", "mlflow/runs/delete", run_id=run_id)
    if as_json:
        print_json({"run_id": run_id, "deleted": True})
    else:
        say(f"deleted {run_id[:8]}")


class Format(StrEnum):
    """What `runs export` writes."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


@app.command()
def export(
    into: Annotated[Path | None, typer.Argument(help="A .csv or .json file, or a folder for Parquet.")] = None,
    where: Filter = "",
    order: Order = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="How many; Parquet takes all.")] = None,
    form: Annotated[Format | None, typer.Option("--format", help="By the file's name when left out.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over existing files.")] = False,
    as_json: Json = False,
) -> None:
    """Write runs as CSV or JSON, one row each with its latest metrics; as Parquet with every point, param and tag."""
    wanted = form or _format(into, as_json=as_json)
    if wanted is Format.PARQUET:
        _export_parquet(into, where=where, order=order, limit=limit, force=force, as_json=as_json)
        return
    most = MOST if limit is None else limit
    if most > MOST:
        raise UsageError(f"CSV and JSON take at most {MOST} runs", hint="headway runs export FOLDER --format parquet")
    if into is not None and into.exists() and not force:
        raise Conflict(f"{into} is there already", hint=f"headway runs export {into} --force")
    rows = [_row(each) for each in _find(connect(), where, order, most)]
    text = _csv(rows) if wanted is Format.CSV else json.dumps(rows, indent=2) + "\n"
    if into is None:
        say(text.rstrip("\n"))
        return
    into.write_text(text, encoding="utf-8")
    if as_json:
        print_json({"path": str(into), "runs": len(rows)})
    else:
        say(f"{len(rows)} runs in {into}")
    if len(rows) == most:
        note(f"note: stopped at {most} runs; --filter picks others, --format parquet takes all")


def _format(into: Path | None, *, as_json: bool) -> Format:
    if into is None:
        return Format.JSON if as_json else Format.CSV
    return {".json": Format.JSON, ".parquet": Format.PARQUET}.get(into.suffix, Format.CSV)


def _export_parquet(
    into: Path | None, *, where: str, order: str | None, limit: int | None, force: bool, as_json: bool
) -> None:
    import msgspec

    from headway.cli.export_parquet import arrow, export_parquet

    if into is None or order:
        raise UsageError(
            "Parquet goes into a folder, oldest run first",
            hint="headway runs export FOLDER --format parquet, without --order",
        )
    if into.is_file():
        raise Conflict(f"{into} is a file", hint="name a folder: Parquet makes four files")
    arrow()  # before a server is started for nothing
    reader = connect().reader()
    with reader.connection:
        written = export_parquet(reader, into, where=where, limit=limit, force=force)
    if as_json:
        print_json({"path": str(into), **msgspec.structs.asdict(written)})
    else:
        say(f"{written.runs} runs, {written.points} points, {written.params} params, {written.tags} tags in {into}")


def _row(run: dict[str, Any]) -> dict[str, Any]:
    info = run["info"]
    return {
        "run_id": info["run_id"],
        "name": info["name"],
        "status": info["status"],
        "experiment": info["experiment_id"],
        "user": info["user_id"],
        "start": _moment(info["start_time"]),
        "end": _moment(info["end_time"]),
        "job": run["tags"].get("headway.job", ""),
        "commit": run["tags"].get("mlflow.source.git.commit", ""),
        **{f"params.{name}": value for name, value in run["params"].items()},
        **{f"metrics.{name}": value for name, value in _values(run).items()},
    }


def time_text(millis: int | None) -> str:
    """Return a time of MLflow's wire as people read it; "" for none."""
    return _moment(millis)[:19].replace("T", " ")


def _moment(millis: int | None) -> str:
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="milliseconds") if millis else ""


def _csv(rows: list[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    written = io.StringIO()
    writer = csv.DictWriter(written, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _harmless(value) for name, value in row.items()} for row in rows)
    return written.getvalue()


def _harmless(value: object) -> object:
    """A text that a spreadsheet would take for a formula is quoted, since params are anybody's."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "@", "\t")) else value
