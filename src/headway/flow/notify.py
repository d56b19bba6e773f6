"""Tell people that a long job has ended: a webhook or Slack, to addresses that live in secrets."""

from __future__ import annotations

import math

import httpx

from headway.addresses import is_public, look_up
from headway.app import App
from headway.auth.secrets import SecretStore
from headway.errors import HeadwayError, Refused
from headway.flow.model import JobResult
from headway.flow.present import base_url, job_url
from headway.jobs.model import Job
from headway.logs import logger
from headway.planning.model import Plan
from headway.projects.model import NotifySpec
from headway.serving.model import Release, ReleaseState

LONG_SECONDS = 60.0
TIMEOUT = 10.0


def notify_ended(app: App, job: Job, plan: Plan, result: JobResult) -> None:
    """Tell of an ended job what the project asked for; without `events`, of every one that took over a minute."""
    happened = _events(result)
    usual = happened if result.seconds >= LONG_SECONDS else set()
    _notify(app, job.repo_id, plan, happened, usual=usual, message=_message(app, job, result))


_RELEASE_EVENTS = {
    ReleaseState.WAITING: "approval_needed",
    ReleaseState.PROMOTED: "deployed",
    ReleaseState.ROLLED_BACK: "rolled_back",
}


def notify_released(app: App, release: Release, plan: Plan) -> None:
    """Tell of a release that waits for a person, serves, or was rolled back."""
    event = _RELEASE_EVENTS.get(release.state)
    if event is None:
        return
    title = f"{release.model} v{release.version}"
    words = {"approval_needed": "waits for approval to", "deployed": "serves", "rolled_back": "was rolled back in"}
    text = f"{title} {words[event]} {release.environment}" + (f": {release.reason}" if release.reason else "")
    message: dict[str, object] = {
        "text": text,
        "project": release.project,
        "event": event,
        "model": release.model,
        "version": release.version,
        "environment": release.environment,
        "reason": release.reason,
        "url": f"{base_url(app)}/releases/{release.id}",
    }
    _notify(app, release.repo_id, plan, {event}, usual={event}, message=message)


def _notify(
    app: App, repo_id: str, plan: Plan, happened: set[str], *, usual: set[str], message: dict[str, object]
) -> None:
    """Send to everybody who asked for it; a failure is logged and never stops the flow."""
    for spec in plan.project.notifications:
        if not (happened & set(spec.events) if spec.events else usual):
            continue
        try:
            with app.database.read() as tx:
                address = SecretStore(tx).values_for(repo_id, (spec.secret,))[spec.secret]
            _send(spec, address, message)
        except Exception as error:  # noqa: BLE001  # foreign addresses fail in foreign ways
            logger().warning("notification failed", what=message["text"], kind=spec.kind, error=_told(error))


def _told(error: Exception) -> str:
    # Never the whole text: it names the address, and a webhook's address is its secret.
    if isinstance(error, HeadwayError):
        return error.message
    if isinstance(error, httpx.HTTPStatusError):
        return f"it answered {error.response.status_code}"
    return type(error).__name__


def _events(result: JobResult) -> set[str]:
    """The words of `notifications: events` that an ended job fits."""
    found = {"finished"}
    if result.crash is not None:
        found.add("crashed")
    if result.verdict is not None and not result.verdict.withheld:
        found.add("gate_passed" if result.verdict.allows_merge else "gate_failed")
    return found


def _message(app: App, job: Job, result: JobResult) -> dict[str, object]:
    outcome = result.verdict.outcome.value if result.verdict else job.state.value
    text = f"{job.project} job #{job.number}: {outcome} after {result.seconds:.0f} s ({job_url(app, job.number)})"
    return {
        "text": text,
        "project": job.project,
        "job": job.number,
        "state": job.state.value,
        "outcome": outcome,
        "commit": job.commit,
        "change": job.change,
        "metrics": {name: value for name, value in result.metrics.items() if math.isfinite(value)},
        "url": job_url(app, job.number),
    }


def _send(spec: NotifySpec, address: str, message: dict[str, object]) -> None:
    url = httpx.URL(address)
    where = public_address(url)
    body: dict[str, object] = {"text": message["text"]} if spec.kind == "slack" else message
    if spec.channel:
        body["channel"] = spec.channel
    # Straight to the address that was checked, under its own name: a second look-up might lead elsewhere.
    # No redirects and no proxies for the same reason; the answer's body is left unread.
    with (
        httpx.Client(timeout=TIMEOUT, follow_redirects=False, trust_env=False) as client,
        client.stream(
            "POST",
            url.copy_with(host=where),
            json=body,
            headers={"host": url.netloc.decode("ascii")},
            extensions={"sni_hostname": url.host},
        ) as answer,
    ):
        answer.raise_for_status()


def public_address(url: httpx.URL) -> str:
    """Return an address of the host that lies outside of the own network (security.md, 13).

    Raises:
        Refused: it is no http(s) address, or the host leads into the own network.
        Unreachable: there is no such host.
    """
    if url.scheme not in ("http", "https") or not url.host:
        raise Refused("the notification address is no http(s) address")
    found = look_up(url.host, url.port or (443 if url.scheme == "https" else 80))
    for each in found:
        if not is_public(each):
            raise Refused(f"{url.host} leads to {each}, which is not a public address")
    return found[0]
