"""The job that a command names: by number or id, and never one of another repository."""

from __future__ import annotations

from headway.commands.model import Command
from headway.errors import NotFound
from headway.jobs.model import Job
from headway.jobs.store import JobStore


def named_job(store: JobStore, command: Command) -> Job:
    """Return the job of a command's first argument.

    Raises:
        NotFound: there is none, or it is another repository's: whoever may act here may not act there.
    """
    name = command.arguments[0].lstrip("#")
    job = store.get(name)
    if job.repo_id != command.repo_id:
        raise NotFound(f"there is no job {name} in this repository", hint="headway jobs lists them")
    return job
