"""`headway journal`: what commands outside jobs logged and the server has not got yet."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from headway.cli.doors import Kept, kept_door, kept_doors
from headway.cli.options import Json, Yes
from headway.cli.output import clean_line, note, print_json, say, table
from headway.errors import Conflict, HeadwayError, UsageError

app = typer.Typer(help="What `headway run COMMAND` keeps until the server has it.")

Journal = Annotated[str, typer.Argument(help="A journal, as `headway journal` lists it.")]
Journals = Annotated[list[str] | None, typer.Argument(help="Journals; all when left out.")]


@app.command("list")
def list_journals(as_json: Json = False) -> None:
    """List them, the oldest first."""
    found = kept_doors()
    if as_json:
        print_json([_plain(each) for each in found])
        return
    rows = [[each.id, _state(each), each.waiting_bytes, each.refused, each.url, each.command] for each in found]
    table(["journal", "state", "bytes", "refused", "server", "command"], rows, empty="nothing is kept")


@app.command("deliver")
def deliver_journals(names: Journals = None, as_json: Json = False) -> None:
    """Deliver what is kept, with today's token; what the server still does not take stays."""
    drain([kept_door(name) for name in names or ()] or kept_doors(), as_json=as_json)


@app.command()
def discard(name: Journal, yes: Yes = False, as_json: Json = False) -> None:
    """Remove a journal with all that is in it: what was logged there and not delivered is lost."""
    kept = kept_door(name)
    if kept.is_open:
        raise Conflict(f"{kept.id} belongs to a command that still runs", hint="wait for its end, or end it")
    if not yes:
        raise UsageError(
            f"this loses {kept.waiting_bytes} bytes that the server has not got, and {kept.refused} refused requests",
            hint=f"headway journal discard {kept.id} --yes",
        )
    shutil.rmtree(kept.folder)
    if as_json:
        print_json({"discarded": kept.id})
        return
    say(f"discarded {kept.id}")


def drain(chosen: list[Kept], *, patience: float = 20.0, as_json: bool = False) -> None:
    """Deliver these journals one after the other; the exit code is that of the worst."""
    ends = [{"id": kept.id, **_drained(kept, patience)} for kept in chosen]
    if as_json:
        print_json(ends)
    elif not ends:
        note("nothing is kept")
    for end in ends:
        if not as_json:
            say(f"{end['id']}  {end['state']}")
    code = max((int(end["exit_code"]) for end in ends), default=0)
    if code:
        raise typer.Exit(code)


def _drained(kept: Kept, patience: float) -> dict[str, Any]:
    from headway.cli.outside import Talk, deliver, outcome, tracker_of
    from headway.cli.tracker import check

    if kept.is_open:
        return {"state": "in use: its own command delivers it", "exit_code": 0}
    tracker = tracker_of(kept)
    try:
        if tracker.data is None:
            check(tracker, patience=patience)
    except HeadwayError as error:
        note(f"error: {error.message}\ncause: {clean_line(error.cause)}\nhint:  {error.hint}")
        return {"state": "kept", "exit_code": error.exit_code}
    code = outcome(deliver(kept.folder, tracker, Talk(tracker), patience=patience), kept.folder, 0)
    return {"state": "delivered" if code == 0 else "kept", "exit_code": code}


def _state(kept: Kept) -> str:
    if kept.is_open:
        return "open"
    return f"since {datetime.fromtimestamp(kept.at, UTC):%Y-%m-%d %H:%M}"


def _plain(kept: Kept) -> dict[str, Any]:
    return {
        "id": kept.id,
        "folder": str(kept.folder),
        "server": kept.url,
        "command": kept.command,
        "at": datetime.fromtimestamp(kept.at, UTC).isoformat(),
        "waiting_bytes": kept.waiting_bytes,
        "refused": kept.refused,
        "is_open": kept.is_open,
    }
