"""`headway diff`: what went into two jobs beside what came out."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from headway.cli.client import connect
from headway.cli.find_job import find_job, job_number
from headway.cli.options import Json, NewestJob
from headway.cli.output import clean_line, print_json, say, table
from headway.errors import NotFound


def diff(
    job: NewestJob = None,
    other: Annotated[str | None, typer.Argument(help="Another job; the baseline when left out.")] = None,
    as_json: Json = False,
) -> None:
    """Show what changed between two jobs beside what moved."""
    client = connect()
    number = find_job(client, job, None)
    against = None if other is None else job_number(other)
    try:
        found = client.get(f"/jobs/{number}/compare", **{"with": against})
    except NotFound as error:
        if "?with=" not in error.hint:
            raise
        hint = f"headway diff {number} OTHER"
        raise NotFound(error.message, cause="it was the first of its branch", hint=hint) from None
    if as_json:
        print_json(found)
        return
    specs = _goals(client.get(f"/jobs/{number}"))
    rows = [
        [name, before, now, _delta(before, now), _judgement(before, now, specs.get(name))]
        for name, (before, now) in found["metrics"].items()
    ]
    table(["metric", f"#{found['other']}", f"#{found['job']}", "change", ""], rows, empty="no metrics")
    changed = found["changed"]
    say("")
    say(f"files     {', '.join(map(clean_line, changed['files'])) or 'same'}")
    for kind in ("params", "data", "packages"):
        moved = ", ".join(
            clean_line(f"{name} {a or 'absent'} → {b or 'absent'}") for name, (a, b) in changed[kind].items()
        )
        say(f"{kind:<10}{moved or 'same'}")


def _goals(shown: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["goal"] for each in shown["plan"]["project"]["metrics"]}


def _delta(before: float | None, now: float | None) -> str | None:
    return None if before is None or now is None else f"{now - before:+.4g}"


def _judgement(before: float | None, now: float | None, goal: str | None) -> str:
    if before is None or now is None or goal is None or before == now:
        return " "
    return "better" if (now > before) == (goal == "maximize") else "worse"
