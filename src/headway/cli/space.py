"""`headway space`: where the bytes are, and those that can be given back."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from headway.cli.client import connect
from headway.cli.options import Json
from headway.cli.output import megabytes, note, print_json, say, table, when

app = typer.Typer(help="Where the bytes are.", invoke_without_command=True)


@app.callback()
def space(
    context: typer.Context,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure now; else the last measurement is shown.")] = False,
    as_json: Json = False,
) -> None:
    """Show bytes by kind, project, experiment and run, what is in the trash, and the free disk."""
    if context.invoked_subcommand is not None:
        return
    client = connect()
    found = client.post("/space/measure") if fresh else client.get("/space")
    if as_json:
        print_json(found)
        return
    _show(found)


def _show(found: dict[str, Any]) -> None:
    say(f"{megabytes(found['disk_free'])} free of {megabytes(found['disk_total'])}; measured {when(found['at'])}\n")
    kinds = sorted(found["kinds"].items(), key=lambda each: -each[1])
    table(["kind", "size"], [[name, megabytes(size)] for name, size in kinds if size], empty="nothing is stored")
    say(f"\n{megabytes(found['in_trash'])} of artifacts are in the trash\n")
    projects = [[name or "(of no project)", megabytes(size)] for name, size in found["projects"].items() if size]
    table(["project", "size"], projects, empty="no project has artifacts")
    say("")
    _table("experiment", "name", [each for each in found["experiments"] if each["artifacts"] + each["points"]][:20])
    say("")
    _table("run", "run_id", found["runs"])
    if found["in_trash"]:
        note("Next: headway trash list")


def _table(what: str, name: str, found: list[dict[str, Any]]) -> None:
    rows = [
        [each[name], each["project"], megabytes(each["artifacts"]), megabytes(each["points"]), each["stage"]]
        for each in found
    ]
    table([what, "project", "artifacts", "points", "stage"], rows, empty=f"no {what} has artifacts")


@app.command()
def reclaim(as_json: Json = False) -> None:
    """Give back what nothing needs: spent rows, old files, unused pages of the database."""
    done = connect().post("/space/reclaim")
    if as_json:
        print_json(done)
        return
    database = done["database"]
    rows = ", ".join(f"{count} of {name}" for name, count in done["rows"].items())
    say(f"rows: {rows}; files: {megabytes(done['files'])}")
    say(f"database: {megabytes(database['before'])} -> {megabytes(database['after'])} ({database['how']})")
