"""The job that somebody means: by number, or the newest of a change or of this repository."""

from __future__ import annotations

from typing import Any

from headway.cli.client import Client
from headway.cli.here import here
from headway.errors import NotFound, UsageError


def find_job(client: Client, job: str | None, change: int | None) -> str:
    """Return the number of the job that is named, or of the newest of a change, or of this repository."""
    if job is not None:
        return job_number(job)
    at = here(client)
    found = client.get("/jobs", repo_id=at.repo, change=change, limit=1)
    if not found:
        if change is not None:
            client.get(f"/repos/{at.repo}/changes/{change}")  # says that there is none
        where = f"change {change}" if change is not None else at.name
        hint = f"headway change comment {change} /train" if change is not None else "headway train"
        raise NotFound(f"{where} has no job yet", hint=hint)
    return str(found[0]["job"]["number"])


def job_number(text: str) -> str:
    """Return what people type for a job (7, #7) as the server knows it.

    Raises:
        UsageError: it is neither a number nor a job's id.
    """
    number = text.lstrip("#")
    if not number.isalnum():
        raise UsageError(f"{text!r} is no job", hint="headway jobs list")
    return number


def where_of(job: dict[str, Any]) -> dict[str, Any]:
    """Return the place that a further command about a job is for."""
    if job["change"] is not None:
        return {"change": job["change"]}
    return {"sha": job["commit"], "branch": job["branch"]}
