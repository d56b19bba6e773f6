"""The verbs that judge: gate, report, override."""

from __future__ import annotations

import shutil
import sys
from typing import Annotated, Any

import typer

from headway.cli.client import Client, connect
from headway.cli.follow import follow, give, judge
from headway.cli.here import here
from headway.cli.output import print_json, say, table
from headway.cli.work import Json
from headway.errors import NotFound, UsageError

Job = Annotated[str | None, typer.Argument(help="Job number.")]
OfChange = Annotated[int | None, typer.Option("--change", help="The newest job of a change.")]


def find_job(client: Client, job: str | None, change: int | None) -> str:
    """Return the job that is named, or the newest of a change, or the newest of this repository."""
    if job is not None:
        return job.lstrip("#")
    at = here(client)
    found = client.get("/jobs", repo_id=at.repo, change=change, limit=1)
    if not found:
        where = f"change {change}" if change is not None else at.name
        raise NotFound(f"{where} has no job yet", hint="headway train")
    return str(found[0]["job"]["number"])


def gate(job: Job = None, change: OfChange = None, as_json: Json = False) -> None:
    """Print the checks of a job; exit 3 when it is not ready to merge."""
    client = connect()
    shown: dict[str, Any] = client.get(f"/jobs/{find_job(client, job, change)}")
    if not shown["job"]["settled_at"]:
        number, state = shown["job"]["number"], shown["job"]["state"]
        raise UsageError(f"job #{number} is {state}: there is no verdict yet", hint=f"headway logs {number} -f")
    verdict = (shown["result"] or {}).get("verdict")
    if as_json:
        print_json(verdict)
    elif verdict is not None:
        rows = [
            [c["state"], c["id"], c["candidate"], c["baseline"], c["limit"], c["message"]] for c in verdict["checks"]
        ]
        columns = ["state", "check", "this", "baseline", "limit", "why"]
        table(columns, rows, empty="no rules: the run itself is the check")
        say(f"verdict: {verdict['outcome']}")
    judge(shown)


def report(
    job: Job = None,
    change: OfChange = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="As it stands in the pull request.")] = False,
    as_json: Json = False,
) -> None:
    """Print the report of a job or of a change's newest job."""
    client = connect()
    number = find_job(client, job, change)
    if as_json:
        print_json(client.get(f"/jobs/{number}/report"))
    elif markdown:
        say(client.get(f"/jobs/{number}/report", format="markdown")["body"])
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        say(client.get(f"/jobs/{number}/report", format="terminal", width=width)["text"])


def override(
    change: Annotated[int, typer.Argument(help="Number of the change.")],
    check: Annotated[str, typer.Argument(help="The check's id, as `headway gate` prints it.")],
    reason: Annotated[list[str], typer.Argument(help="Why it is accepted.")],
    project: Annotated[str | None, typer.Option("--project", help="One project of the repository.")] = None,
    as_json: Json = False,
) -> None:
    """Accept one failed check of a change's head commit, knowingly; kept in the events."""
    client = connect()
    quoted = '"' + check.replace("\\", "\\\\").replace('"', '\\"') + '"'
    scope = f"--project {project} " if project else ""
    text = f"/override {scope}{quoted} {' '.join(reason)}"
    follow(client, give(client, here(client).repo, text, change=change), as_json=as_json, detach=True)
