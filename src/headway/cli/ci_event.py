"""What a CI says of the event that it runs for, and of the GitHub behind it: read from its variables and file only."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headway.errors import Refused, UsageError
from headway.logs import hide

PRIVILEGED = frozenset({"pull_request_target", "issue_comment", "workflow_run", "pull_request_review", "issues"})
"""Events that strangers cause, whose workflows have the repository's secrets and a writing token all the same."""

_LARGEST = 30_000_000  # bytes of an event; GitHub's own limit is 25 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The event, the repository, and the token with which GitHub may be asked."""

    event: str = ""
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)
    delivery: str = ""
    repository: str = ""
    token: str = field(default="", repr=False)
    api: str = ""
    page: str = ""  # of the run of the workflow

    @property
    def is_privileged(self) -> bool:
        """Whether code that runs here could reach secrets or a writing token."""
        return self.event in PRIVILEGED

    @property
    def may_have_secrets(self) -> bool:
        """Whether a fork's code could reach secrets: under one event alone GitHub withholds them from forks."""
        return self.event not in ("", "pull_request")  # "" is another CI, or a person's terminal

    @property
    def has_github(self) -> bool:
        """Whether GitHub can be asked."""
        return bool(self.token and self.repository)


def read_told(repository: str | None = None) -> Told:
    """Return what this CI says; in one that is not GitHub's, almost nothing.

    Raises:
        UsageError: the event's file cannot be read.
    """
    source = os.environ
    token = source.get("HEADWAY_GITHUB_TOKEN") or source.get("GITHUB_TOKEN") or source.get("GH_TOKEN") or ""
    hide(token)
    name = repository or source.get("GITHUB_REPOSITORY", "")
    run, server = source.get("GITHUB_RUN_ID", ""), source.get("GITHUB_SERVER_URL", "https://github.com")
    path = source.get("GITHUB_EVENT_PATH", "")
    return Told(
        event=source.get("GITHUB_EVENT_NAME", ""),
        data=_read(Path(path)) if path else {},
        delivery=f"actions-{run}-{source.get('GITHUB_RUN_ATTEMPT', '1')}" if run else "actions",
        repository=name,
        token=token,
        api=source.get("HEADWAY_GITHUB_API") or source.get("GITHUB_API_URL") or "https://api.github.com",
        page=f"{server}/{name}/actions/runs/{run}" if run and name else "",
    )


def change_of_event(told: Told) -> int | None:
    """Return the number of the pull request that an event is about."""
    for place in (told.data.get("pull_request"), told.data.get("issue")):
        number = place.get("number") if isinstance(place, dict) else None
        if isinstance(number, int):
            return number
    return None


def check_not_fork(told: Told, *, from_fork: bool, sha: str) -> None:
    """Return when code of this commit may run in this workflow.

    Raises:
        Refused: code from a fork, in a workflow that has the repository's secrets.
    """
    if told.may_have_secrets and from_fork:
        raise Refused(
            f"commit {sha[:12]} comes from a fork, and this workflow has the repository's secrets",
            cause=f"rule: code from a fork never runs under {told.event} (a 'pwn request'); "
            "whoever may comment does not make the code trusted",
            hint="run it in a workflow on: pull_request (no secrets, a reading token), or on a Headway server",
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST:
            raise UsageError(f"{path} is no event: it has more than {_LARGEST} bytes")
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"the event in {path} cannot be read", cause=str(error)[:200]) from None
    if not isinstance(found, dict):
        raise UsageError(f"the event in {path} is no JSON object")
    return found
