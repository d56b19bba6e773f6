"""`headway jobs`: executions of pipelines."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from headway.cli.client import connect
from headway.cli.find_job import job_number
from headway.cli.options import JobNumber, Json, Limit, OfChange, Project
from headway.cli.output import note, print_json, say, short, table, when, words
from headway.cli.progress import numbers_text
from headway.errors import UsageError

app = typer.Typer(help="Executions of pipelines.")

STATES = ("queued", "running", "succeeded", "failed", "cancelled", "refused")


@app.command("list")
def list_jobs(
    project: Project = None,
    state: Annotated[str | None, typer.Option(help=f"One of {', '.join(STATES)}.")] = None,
    branch: Annotated[str | None, typer.Option(help="Only of this branch.")] = None,
    change: OfChange = None,
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """List jobs of all repositories, newest first."""
    if state is not None and state not in STATES:
        raise UsageError(f"--state {state} is no state of a job", hint=f"one of {', '.join(STATES)}")
    filters = {"project": project, "state": state, "branch": branch, "change": change}
    found = connect().get("/jobs", limit=limit, **filters)
    if as_json:
        print_json(found)
        return
    is_filtered = any(value is not None for value in filters.values())
    table(
        ["job", "project", "branch", "commit", "state", "verdict", "queued (UTC)", "asked by", "metrics"],
        [_row(each) for each in found],
        empty="no jobs match" if is_filtered else "no jobs yet: headway train",
    )


def _row(each: dict[str, Any]) -> list[object]:
    job = each["job"]
    return [
        f"#{job['number']}",
        job["project"],
        job["branch"],
        short(job["commit"]),
        job["state"],
        words(each["outcome"]),
        when(job["queued_at"]),
        f"{job['actor']}, {each['asked']['origin']}" if each["asked"] else job["actor"],
        numbers_text(each["metrics"], 3),
    ]


@app.command()
def show(job: JobNumber, as_json: Json = False) -> None:
    """Show one job with its steps."""
    shown = connect().get(f"/jobs/{job_number(job)}")
    if as_json:
        print_json(shown)
        return
    one = shown["job"]
    say(f"job #{one['number']} of {one['project']} at {short(one['commit'])} on {one['branch']}")
    say(f"state     {one['state']} {one['reason']}".rstrip())
    if shown["position"] is not None:
        say(f"queue     position {shown['position']}")
    say(f"asked     {when(one['queued_at'])} UTC by {one['actor']}")
    if shown["asked"] and shown["asked"]["cause"]:
        say(f"because   {shown['asked']['cause']}")
    verdict = (shown["result"] or {}).get("verdict")
    if verdict:
        withheld = f": {verdict['withheld']}" if verdict["withheld"] else ""
        say(f"verdict   {words(verdict['outcome'])}{withheld}")
    if shown["metrics"]:
        say(f"metrics   {numbers_text(shown['metrics'], 6)}")
    rows = [
        [task["name"], task["state"], (task["run_id"] or "")[:8], task["attempts"], task["reason"]]
        for task in shown["tasks"]
    ]
    table(["step", "state", "run", "attempts", "why"], rows, empty="no steps")
    note(f"Next: headway report {one['number']}, headway logs {one['number']}")
