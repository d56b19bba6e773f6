"""`headway retention`: the rules of how long things are kept, and what they would remove."""

from __future__ import annotations

from typing import Any

import typer

from headway.cli.client import connect
from headway.cli.options import DryRun, Json
from headway.cli.output import note, print_json, say, table, when

app = typer.Typer(help="How long runs and deleted things are kept.", invoke_without_command=True)


@app.callback()
def retention(context: typer.Context, as_json: Json = False) -> None:
    """Show the rules in force and what they would remove now; nothing changes."""
    if context.invoked_subcommand is None:
        _say(connect().get("/retention"), as_json=as_json, verb="would")


@app.command("apply")
def apply_rules(dry_run: DryRun = False, as_json: Json = False) -> None:
    """Read the rules anew from the default branches and apply one batch; the worker does so every hour."""
    found = connect().post("/retention", dry_run=dry_run)
    _say(found, as_json=as_json, verb="would" if dry_run else "do")


def _say(found: dict[str, Any], *, as_json: bool, verb: str) -> None:
    if as_json:
        print_json(found)
        return
    days = found["trash_days"]
    say("trash: purged by people only" if days is None else f"trash: {days:g} days (HEADWAY_TRASH_DAYS)")
    rows = [
        [name, each["trash_days"], each["keep_last"], each["keep_days"]]
        for name, each in found["projects"].items()
        if any(value is not None for value in each.values())
    ]
    table(["project", "trash days", "keep last", "keep days"], rows, empty="no project has rules of its own")
    goes = "would go into the trash" if verb == "would" else "went into the trash"
    for each in found["runs"]:
        say(f"run {each['run_id']} ({each['experiment']}) {goes}: {each['reason']}")
    leaves = "would be purged, unless something refers to it" if verb == "would" else "is over its time"
    for each in found["trash"]:
        say(f"{each['kind'].replace('_', ' ')} {each['id']}, deleted {when(each['deleted_at'])}, {leaves}")
    if found["held"]:
        note(f"note: {found['held']} are held back; headway trash list says why")
    if not found["runs"] and not found["trash"]:
        say("nothing is over its time")
