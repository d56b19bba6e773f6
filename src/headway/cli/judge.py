"""The verbs that judge: gate, report, override."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from headway.cli.client import connect
from headway.cli.find_job import find_job
from headway.cli.follow import follow, give, judge, report_text
from headway.cli.here import here
from headway.cli.options import Json, NewestJob, OfChange, Project
from headway.cli.output import print_json, say, table, words
from headway.errors import Conflict, NotThereYet, UsageError


def gate(job: NewestJob = None, change: OfChange = None, as_json: Json = False) -> None:
    """Print the checks of a job; exit 3 when it is not ready to merge, 1 when it failed."""
    client = connect()
    shown: dict[str, Any] = client.get(f"/jobs/{find_job(client, job, change)}")
    number, state = shown["job"]["number"], shown["job"]["state"]
    if not shown["job"]["settled_at"]:
        raise Conflict(f"job #{number} is {state}: there is no verdict yet", hint=f"headway logs {number} -f")
    verdict = (shown["result"] or {}).get("verdict")
    if as_json:
        print_json(verdict)
    elif verdict is not None:
        rows = [
            [words(c["state"]), c["id"], c["candidate"], c["baseline"], c["limit"], _why(c)] for c in verdict["checks"]
        ]
        columns = ["state", "check", "this", "baseline", "limit", "why"]
        table(columns, rows, empty="no rules: the run itself is the check")
        for told in verdict["notes"]:
            say(f"note: {told}")
        withheld = f", {verdict['withheld']}" if verdict["withheld"] else ""
        say(f"job #{number}: {words(verdict['outcome'])}{withheld}")
    judge(shown)


def _why(check: dict[str, Any]) -> str:
    if check["overridden_by"]:
        return f"accepted by @{check['overridden_by']}: {check['override_reason']}"
    return str(check["message"])


def report(
    job: NewestJob = None,
    change: OfChange = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="As it stands in the pull request.")] = False,
    post: Annotated[bool, typer.Option("--post", help="Write it into the change again.")] = False,
    as_json: Json = False,
) -> None:
    """Print the report of a job or of a change's newest job."""
    if post:
        raise NotThereYet(
            "posting a report by hand is not there yet",
            cause="the report of a change is kept up to date by itself: one comment for each project",
            hint=f"headway change show {change if change is not None else 'NUMBER'}",
        )
    client = connect()
    number = find_job(client, job, change)
    if as_json:
        print_json(client.get(f"/jobs/{number}/report"))
    elif markdown:
        say(client.get(f"/jobs/{number}/report", format="markdown")["body"])
    else:
        say(report_text(client, number))


def override(
    change: Annotated[int, typer.Argument(help="Number of the change.")],
    check: Annotated[str, typer.Argument(help="The check's id, as `headway gate` prints it.")],
    reason: Annotated[list[str], typer.Argument(help="Why it is accepted.")],
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Accept one failed check of a change's head commit, knowingly; kept in the events."""
    said = " ".join(reason).strip()
    if not said or "\n" in said:
        raise UsageError("an override needs a reason of one line", hint=f"headway override {change} CHECK REASON")
    client = connect()
    quoted = '"' + check.replace("\\", "\\\\").replace('"', '\\"') + '"'
    scope = f"--project {project} " if project else ""
    shown = give(client, here(client).repo, f"/override {scope}{quoted} {said}", change=change)
    follow(client, shown, as_json=as_json, detach=True)
