"""`headway trash`: what is deleted, out of it again, or gone for good."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from headway.cli.client import Client, connect
from headway.cli.options import Detach, DryRun, Json, Limit, Yes
from headway.cli.output import megabytes, note, print_json, say, table, when
from headway.errors import UsageError

app = typer.Typer(help="What is deleted: list, restore, purge.")

Things = Annotated[list[str] | None, typer.Argument(help="Run, experiment or logged model ids.", metavar="[ID]...")]
_EVERY = 0.3


@app.command("list")
def list_trash(limit: Limit = 50, as_json: Json = False) -> None:
    """List deleted runs, experiments and logged models: since when, how large, and when they go."""
    found = connect().get("/trash", limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [
        [
            each["id"],
            each["kind"].replace("_", " ") + (f" of {each['runs']} runs" if each["runs"] else ""),
            each["name"],
            each["experiment"],
            when(each["deleted_at"]),
            each["deleted_by"],
            _size(each),
            f"held: {each['held']}" if each["held"] else when(each["goes_at"]) or "when it is purged",
        ]
        for each in found["items"]
    ]
    columns = ["id", "what", "name", "experiment", "deleted", "by", "size", "goes"]
    table(columns, rows, empty="the trash is empty")
    if found["total"] > len(rows):
        note(f"note: {found['total'] - len(rows)} more; --limit shows up to 1000")


@app.command()
def restore(thing: Annotated[str, typer.Argument(help="Its id.", metavar="ID")], as_json: Json = False) -> None:
    """Take a run, an experiment with its runs, or a logged model out of the trash."""
    found = connect().post("/trash/restore", id=thing)
    if as_json:
        print_json(found)
    else:
        say(f"restored {found['kind'].replace('_', ' ')} {found['id']} ({found['name']})")


@app.command()
def purge(
    things: Things = None,
    older_than: Annotated[str | None, typer.Option("--older-than", help="Only what was deleted before: 30d.")] = None,
    forget_results: Annotated[
        bool, typer.Option("--forget-results", help="Also runs whose results would be reused: they train anew then.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    detach: Detach = False,
    as_json: Json = False,
) -> None:
    """Delete for good what lies in the trash: everything, or what is named. There is no way back."""
    client = connect()
    body: dict[str, Any] = {"ids": things, "older_than": older_than, "forget_results": forget_results}
    body["everything"] = not things and older_than is None
    found = client.post("/trash/purges", **body, dry_run=dry_run or not yes)
    if dry_run or not yes:
        if as_json and dry_run:
            print_json(found)
            return
        _say_decision(found, "would go")
        if not dry_run and found["total"]:
            again = " ".join(["headway trash purge", *(things or []), *_options(older_than, forget_results)])
            raise UsageError(
                "nothing was purged: there is no way back, so it has to be confirmed", hint=f"{again} --yes"
            )
        return
    if found["purge"] is not None and not detach:
        found["purge"] = _follow(client, found["purge"], is_quiet=as_json)
    if as_json:
        print_json(found)
        return
    _say_decision(found, "go")
    done = found["purge"]
    if done is not None:
        verb = "purged" if done["state"] == "done" else "purging, in the background:"
        say(f"{verb} {done['done']} of {done['total']}, {megabytes(done['freed'])} of artifacts freed")
        for each in done["notes"]:
            note(f"note: {each}")


def _options(older_than: str | None, forget_results: bool) -> list[str]:  # the words of one command line
    return [*([f"--older-than {older_than}"] if older_than else []), *(["--forget-results"] if forget_results else [])]


def _size(each: dict[str, Any]) -> str:
    return "" if each["size"] is None else megabytes(each["size"])


def _say_decision(found: dict[str, Any], verb: str) -> None:
    rows = [
        [
            each["id"],
            each["kind"].replace("_", " "),
            each["name"],
            "" if each["size"] is None else megabytes(each["size"]),
        ]
        for each in found["going"]
    ]
    if rows and verb != "go":
        table(["id", "what", "name", "size"], rows, empty="")
    if verb != "go":
        say(f"{found['total']} {verb}")
    for each in found["held"]:
        say(f"stays: {each['kind'].replace('_', ' ')} {each['id']}: {each['reason']}")
        note(f"       {each['hint']}")
    if found["held_total"] > len(found["held"]):
        note(f"note: {found['held_total'] - len(found['held'])} more are held back")
    if not found["total"] and not found["held"]:
        say("nothing in the trash fits")


def _follow(client: Client, purge: dict[str, Any], *, is_quiet: bool) -> dict[str, Any]:
    shown = 0
    while purge["state"] != "done":
        if not is_quiet and purge["done"] != shown:
            shown = purge["done"]
            note(f"{shown} of {purge['total']} purged")
        time.sleep(_EVERY)
        purge = dict(client.get(f"/trash/purges/{purge['id']}"))
    return purge
