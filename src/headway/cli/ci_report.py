"""`headway ci report`: the runs of one commit as Markdown, for a summary, a file, or the living comment of a change."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from headway.cli.ci_event import change_of_event, read_told
from headway.cli.ci_github import at_github
from headway.cli.ci_outputs import put, summarize
from headway.cli.ci_train import SHAS
from headway.cli.client import Client, connect
from headway.cli.here import here, resolve
from headway.cli.options import Json
from headway.cli.output import note
from headway.errors import UsageError
from headway.forges.model import WantedComment
from headway.logs import configure

LOOKED_AT = 200  # jobs


def report(
    *,
    sha: Annotated[
        str | None, typer.Option("--sha", help="The commit; the one that the CI builds when left out.")
    ] = None,
    change: Annotated[int | None, typer.Option("--change", help="Pull request that gets the comment.")] = None,
    repository: Annotated[str | None, typer.Option("--repository", help="OWNER/REPO; as the CI says.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="Write the Markdown there too.")] = None,
    post: Annotated[bool, typer.Option("--post", help="Keep it as the one living comment of the change.")] = False,
    as_json: Json = False,
) -> None:
    """Fetch the runs of a commit as Markdown; without any it says so."""
    configure(process="ci")
    told = read_told(repository)
    client = connect()
    commit = resolve(sha or next((os.environ[each] for each in SHAS if os.environ.get(each)), "HEAD")) or (sha or "")
    if not commit:
        raise UsageError("there is no commit to report on", hint="--sha COMMIT")
    found = _jobs(client, commit)
    reports = [_report(client, each["job"]["id"], page=told.page) for each in found]
    whole = "\n\n".join(each["body"] for each in reports) or f"No runs of `{commit[:12]}`."
    if file is not None:
        file.write_text(whole + "\n", encoding="utf-8")
    summarize(whole)
    put(
        {
            "markdown": whole,
            "count": len(found),
            "jobs": [each["job"]["number"] for each in found],
            "verdict": (found[0]["outcome"] or found[0]["job"]["state"]) if found else "",
            "passed": bool(found) and all(each["outcome"] in ("pass", "warn") for each in found),
            "sha": commit,
        },
        as_json=as_json,
    )
    if not as_json:
        typer.echo(whole)
    number = change if change is not None else change_of_event(told)
    if not post or not reports:
        return
    if not told.has_github or number is None:
        note("note: nothing is posted: it needs GITHUB_TOKEN, a repository and a change")
        return
    with at_github(told) as github:
        for each in reports:
            github.say(WantedComment(repo_id=github.repo.id, number=number, marker=each["marker"], body=each["body"]))


def _jobs(client: Client, commit: str) -> list[dict[str, Any]]:
    """Return the newest job of every project at a commit."""
    at = here(client)
    newest: dict[str, dict[str, Any]] = {}
    for each in client.get("/jobs", repo_id=at.repo, limit=LOOKED_AT):
        if each["job"]["commit"] == commit:
            newest.setdefault(each["job"]["project"], each)
    return [newest[name] for name in sorted(newest)]


def _report(client: Client, job: str, *, page: str) -> dict[str, str]:
    found = dict(client.get(f"/jobs/{job}/report", format="markdown"))
    # Pages of a server that ends with the workflow lead nowhere: the workflow's own page stays.
    here_only = re.escape(client.url) + r"[^\s)\"'>]*"
    return {**found, "body": re.sub(here_only, page or client.url, str(found["body"]))}
