"""Tell people that a long job has ended: a webhook or Slack, to addresses that live in secrets."""

from __future__ import annotations

import ipaddress
import socket

import httpx

from headway.app import App
from headway.auth.secrets import SecretStore
from headway.errors import HeadwayError, Refused
from headway.flow.model import JobResult
from headway.flow.present import job_url
from headway.jobs.model import Job
from headway.logs import logger
from headway.planning.model import Plan
from headway.projects.model import NotifySpec

LONG_SECONDS = 60.0
TIMEOUT = 10.0


def notify_ended(app: App, job: Job, plan: Plan, result: JobResult) -> None:
    """Send what the project asked for; a failure is logged and never stops the flow."""
    happened = _events(job, result)
    for spec in plan.project.notifications:
        if not happened & set(spec.events or ("ended",)):
            continue
        try:
            with app.database.read() as tx:
                address = SecretStore(tx).values_for(job.repo_id, (spec.secret,))[spec.secret]
            _send(spec, address, _message(app, job, result))
        except Exception as error:  # noqa: BLE001  # foreign addresses fail in foreign ways
            logger().warning("notification failed", job=job.number, kind=spec.kind, error=_told(error))


def _told(error: Exception) -> str:
    # Never the whole text: it names the address, and a webhook's address is its secret.
    if isinstance(error, HeadwayError):
        return error.message
    if isinstance(error, httpx.HTTPStatusError):
        return f"it answered {error.response.status_code}"
    return type(error).__name__


def _events(job: Job, result: JobResult) -> set[str]:
    found: set[str] = set()
    if result.seconds >= LONG_SECONDS:
        found.add("ended")
    if result.crash is not None:
        found.add("crashed")
    if result.verdict is not None and not result.verdict.allows_merge:
        found.add("gate_failed")
    if job.state == "succeeded":
        found.add("succeeded")
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
        "metrics": result.metrics,
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
        Refused: it is no http(s) address, or the host resolves to a private, loopback or link-local one.
    """
    if url.scheme not in ("http", "https") or not url.host:
        raise Refused("the notification address is no http(s) address")
    port = url.port or (443 if url.scheme == "https" else 80)
    found = [str(where[0]) for *_, where in socket.getaddrinfo(url.host, port, type=socket.SOCK_STREAM)]
    for each in found:
        address = ipaddress.ip_address(each)
        if not address.is_global or address.is_multicast:
            raise Refused(f"{url.host} leads to {each}, which is not a public address")
    return found[0]
