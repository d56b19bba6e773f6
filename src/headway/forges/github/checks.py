"""The required status: a check run of our App at one commit, or a commit status where there is no App."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headway.errors import NotFound
from headway.forges.github.payloads import CheckRun, to_list, to_type
from headway.forges.model import Receipt, StatusState, WantedStatus

if TYPE_CHECKING:
    from headway.forges.github.api import GitHubApi
    from headway.forges.github.tokens import Access, Tokens

LONGEST_TEXT = 65_535  # characters, GitHub's limit for summary and for text
LONGEST_TITLE = 250
MOST_BUTTONS = 3

_CONCLUSIONS = {
    StatusState.SUCCESS: "success",
    StatusState.FAILURE: "failure",
    StatusState.ERROR: "failure",
    StatusState.CANCELLED: "cancelled",
}
_STATES = {
    StatusState.PENDING: "pending",
    StatusState.SUCCESS: "success",
    StatusState.FAILURE: "failure",
    StatusState.ERROR: "error",
    StatusState.CANCELLED: "error",
}


class Checks:
    """Statuses at commits; remembers the ids of check runs, and looks again after every failure."""

    def __init__(self, api: GitHubApi, tokens: Tokens) -> None:
        """Speak through `api`; an App writes check runs, a person's token commit statuses."""
        self._api = api
        self._tokens = tokens
        self._ids: dict[tuple[str, str, str], int] = {}

    def deliver(self, name: str, wanted: WantedStatus, access: Access) -> Receipt:
        """Make the status stand at its commit: create it, or adopt and change the one that is there."""
        if self._tokens.config.app is None:
            return self._commit_status(name, wanted, access)
        key = (name, wanted.sha, wanted.context)
        known = self._ids.pop(key, None)
        if wanted.state is not StatusState.PENDING:
            # A merge waits for this one: a request that was cut off may have made a newer run since, which would count.
            known = None
        found = known if known is not None else self._find(name, wanted, access)
        body = check_body(wanted)
        if found is None:
            body["head_sha"] = wanted.sha
            answer = self._api.send("POST", f"/repos/{name}/check-runs", access, body, is_content=True)
        else:
            try:
                answer = self._api.send("PATCH", f"/repos/{name}/check-runs/{found}", access, body)
            except NotFound:
                if known is None:
                    raise
                return self.deliver(name, wanted, access)
        run = to_type(answer.data, CheckRun, "check run")
        self._ids[key] = run.id
        return Receipt(remote_id=str(run.id), url=wanted.url)

    def _find(self, name: str, wanted: WantedStatus, access: Access) -> int | None:
        app = self._tokens.app_id
        pages = self._api.pages(
            f"/repos/{name}/commits/{wanted.sha}/check-runs", access, check_name=wanted.context, app_id=app
        )
        ours = [
            run
            for page in pages
            for run in to_list(page, CheckRun, "check runs", under="check_runs")
            if run.app is not None and run.app.id == app and run.name == wanted.context
        ]
        # The newest is the one that a branch's rules look at.
        return max((run.id for run in ours), default=None)

    def _commit_status(self, name: str, wanted: WantedStatus, access: Access) -> Receipt:
        body = {
            "state": _STATES[wanted.state],
            "context": wanted.context,
            "description": _cut(wanted.title, 140),
            "target_url": wanted.url or None,
        }
        known = self._api.get(f"/repos/{name}/commits/{wanted.sha}/status", access).data
        for status in known.get("statuses", []):
            # A thousand statuses a commit and context is all that GitHub takes.
            if all(status.get(field) == value for field, value in body.items()):
                return Receipt(remote_id=str(status["id"]))
        answer = self._api.send("POST", f"/repos/{name}/statuses/{wanted.sha}", access, body, is_content=True)
        return Receipt(remote_id=str(answer.data["id"]))


def check_body(wanted: WantedStatus) -> dict[str, Any]:
    """Return the JSON of a check run, within GitHub's limits."""
    body: dict[str, Any] = {
        "name": wanted.context,
        "external_id": wanted.external_id,
        "output": {
            "title": _cut(wanted.title, LONGEST_TITLE) or wanted.context,
            "summary": _cut(wanted.summary, LONGEST_TEXT),
        },
        "actions": [
            {"label": button.label[:20], "description": button.description[:40], "identifier": button.action[:20]}
            for button in wanted.buttons[:MOST_BUTTONS]
        ],
    }
    if wanted.text:
        body["output"]["text"] = _cut(wanted.text, LONGEST_TEXT)
    if wanted.url:
        body["details_url"] = wanted.url
    if wanted.started_at is not None:
        body["started_at"] = _time(wanted.started_at)
    if wanted.state is StatusState.PENDING:
        body["status"] = "in_progress" if wanted.is_started else "queued"
        return body
    body["status"] = "completed"
    is_neutral = wanted.is_neutral and wanted.state is StatusState.SUCCESS
    body["conclusion"] = "neutral" if is_neutral else _CONCLUSIONS[wanted.state]
    if wanted.finished_at is not None:
        body["completed_at"] = _time(wanted.finished_at)
    return body


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
