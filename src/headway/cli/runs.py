"""`headway runs` and `headway diff`: what runs logged, through the MLflow wire."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from headway.cli.client import connect
from headway.cli.judge import find_job
from headway.cli.output import print_json, say, table
from headway.cli.work import Json

app = typer.Typer(help="MLflow runs.", no_args_is_help=True)


@app.command("list")
def list_runs(
    where: Annotated[str, typer.Option("--filter", help="metrics.auc > 0.7 and params.lr = '0.1'")] = "",
    order: Annotated[str | None, typer.Option("--order", help="metrics.auc DESC")] = None,
    limit: Annotated[int, typer.Option(help="How many.")] = 20,
    as_json: Json = False,
) -> None:
    """List runs by MLflow's filter language, newest first."""
    found = connect().get("/runs", filter=where, order=order, limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [
        [
            each["info"]["run_id"][:8],
            each["info"]["name"],
            each["info"]["status"],
            "  ".join(f"{name} {value['value']:.4g}" for name, value in _shown(each["metrics"])),
        ]
        for each in found
    ]
    table(["run", "name", "status", "metrics"], rows, empty="no runs match")


def _shown(metrics: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in metrics.items() if not name.startswith("system/")][:4]


@app.command()
def show(run: Annotated[str, typer.Argument(help="Run id, or its first 8 characters.")], as_json: Json = False) -> None:
    """Show one run."""
    found = connect().get(f"/runs/{run}")
    if as_json:
        print_json(found)
        return
    info = found["info"]
    say(f"run {info['run_id']}  {info['name']}  {info['status']}")
    for kind in ("params", "tags"):
        table([kind[:-1], "value"], sorted(found[kind].items()), empty=f"no {kind}")
    rows = [[name, each["value"], each["step"]] for name, each in sorted(found["metrics"].items())]
    table(["metric", "latest", "step"], rows, empty="no metrics")


def diff(
    job: Annotated[str | None, typer.Argument(help="Job number; the newest when left out.")] = None,
    other: Annotated[str | None, typer.Argument(help="Another job; the baseline when left out.")] = None,
    as_json: Json = False,
) -> None:
    """Show what changed between two jobs beside what moved."""
    client = connect()
    found = client.get(f"/jobs/{find_job(client, job, None)}/compare", **{"with": other})
    if as_json:
        print_json(found)
        return
    rows = [[name, before, now, _delta(before, now)] for name, (before, now) in found["metrics"].items()]
    table(["metric", f"#{found['other']}", f"#{found['job']}", "change"], rows, empty="no metrics")
    changed = found["changed"]
    say(f"files   {', '.join(changed['files']) or 'same'}")
    for kind in ("params", "data", "packages"):
        moved = ", ".join(f"{name} {a or 'absent'} → {b or 'absent'}" for name, (a, b) in changed[kind].items())
        say(f"{kind:<8}{moved or 'same'}")


def _delta(before: float | None, now: float | None) -> str | None:
    return None if before is None or now is None else f"{now - before:+.4g}"
