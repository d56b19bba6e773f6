"""`headway logs`: what a job's code says."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from headway.cli.client import Client, connect
from headway.cli.find_job import find_job
from headway.cli.options import Json, NewestJob, OfChange
from headway.cli.output import clean_line, note, print_json, say
from headway.errors import NotFound, UsageError

POLL = 0.5


def logs(
    job: NewestJob = None,
    step: Annotated[str | None, typer.Option("--step", help="One step.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more, until the job has ended.")] = False,
    tail: Annotated[int | None, typer.Option("--tail", min=1, help="Only the last lines.")] = None,
    change: OfChange = None,
    as_json: Json = False,
) -> None:
    """Print the log of a job, or of the newest job here."""
    if follow and as_json:
        raise UsageError("--follow prints lines as they come, --json one document", hint="leave one of them out")
    client = connect()
    number = find_job(client, job, change)
    _check_step(client, number, step)
    lines, cursor, is_final = _read_on(client, number, step, "")
    shown = lines[-tail:] if tail else lines
    if as_json:
        print_json({"lines": shown, "is_final": is_final})
        return
    for line in shown:
        say(clean_line(line))
    if not shown and not follow:
        note(f"job #{number} has said nothing" + ("" if is_final else f" yet: headway logs {number} -f"))
    while follow and not is_final:
        time.sleep(POLL)
        lines, cursor, is_final = _read_on(client, number, step, cursor)
        for line in lines:
            say(clean_line(line))


def _read_on(client: Client, number: str, step: str | None, cursor: str) -> tuple[list[str], str, bool]:
    """Return all lines from a cursor on, the next cursor, and whether nothing more will come."""
    lines: list[str] = []
    while True:
        page: dict[str, Any] = client.get(f"/jobs/{number}/logs", task=step, cursor=cursor)
        cursor = str(page["next"])
        lines += page["lines"]
        if not page["lines"]:
            return lines, cursor, bool(page["is_final"])


def _check_step(client: Client, number: str, step: str | None) -> None:
    if step is None:
        return
    names = [str(task["name"]) for task in client.get(f"/jobs/{number}")["tasks"]]
    if step not in names:
        raise NotFound(f"job #{number} has no step {step!r}", cause=f"its steps are {', '.join(names)}")
