"""What is done about a job that exists: stop, retry, reproduce."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from headway.cli.client import Client, connect
from headway.cli.find_job import job_number, where_of
from headway.cli.follow import follow, give
from headway.cli.options import Detach, JobNumber, Json
from headway.errors import Conflict, NotFound

_FINAL = ("succeeded", "failed", "cancelled", "refused")


def stop(job: JobNumber, as_json: Json = False) -> None:
    """Stop a job with everything that it started."""
    client = connect()
    shown = _job(client, job)
    if shown["state"] in _FINAL:
        raise Conflict(f"job #{shown['number']} has ended already: it {_was(shown['state'])}")
    _again(client, "stop", shown, as_json=as_json, detach=True)


def _was(state: str) -> str:
    return state if state in ("succeeded", "failed") else f"was {state}"


def retry(job: JobNumber, detach: Detach = False, as_json: Json = False) -> None:
    """Run an ended job again: what succeeded is reused, unless all of it did."""
    client = connect()
    _again(client, "retry", _job(client, job), as_json=as_json, detach=detach)


def reproduce(
    subject: Annotated[str, typer.Argument(help="Job number, or id of a run.", metavar="JOB|RUN")],
    detach: Detach = False,
    as_json: Json = False,
) -> None:
    """Run a good job again from the same commit, data, environment and parameters: how far do its numbers scatter?"""
    client = connect()
    shown = _job(client, subject if subject.lstrip("#").isdigit() else _job_of_run(client, subject))
    if shown["state"] != "succeeded":
        number = shown["number"]
        raise Conflict(
            f"job #{number} is {shown['state']}: there is no result to reproduce", hint=f"headway retry {number}"
        )
    _again(client, "retry", shown, as_json=as_json, detach=detach)


def _job_of_run(client: Client, run: str) -> str:
    number = client.get(f"/runs/{run}")["tags"].get("headway.job")
    if not number:
        raise NotFound(
            f"run {run} was not made by a job",
            cause="only what Headway itself has run can be run again: the commit and the environment are known",
        )
    return str(number)


def _job(client: Client, job: str) -> dict[str, Any]:
    return dict(client.get(f"/jobs/{job_number(job)}")["job"])


def _again(client: Client, verb: str, job: dict[str, Any], *, as_json: bool, detach: bool) -> None:
    shown = give(client, job["repo_id"], f"/{verb} {job['number']}", **where_of(job))
    follow(client, shown, as_json=as_json, detach=detach)
