"""Tell people that a long job has ended: a webhook or Slack, to addresses that live in secrets."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

import httpx

from headway.app import App
from headway.auth.secrets import SecretStore
from headway.errors import Refused
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
            logger().warning("notification failed", job=job.number, kind=spec.kind, error=str(error))


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
    check_public(address)
    body: dict[str, object] = {"text": message["text"]} if spec.kind == "slack" else message
    if spec.channel:
        body["channel"] = spec.channel
    # No redirects: a checked address must not lead to an unchecked one.
    httpx.post(address, json=body, timeout=TIMEOUT, follow_redirects=False).raise_for_status()


def check_public(address: str) -> None:
    """Refuse an address that leads into the own network (security.md, 13).

    Raises:
        Refused: it is no http(s) address, or resolves to a private, loopback or link-local one.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Refused("the notification address is no http(s) address")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    for *_, where in socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM):
        if not ipaddress.ip_address(where[0]).is_global:
            raise Refused(f"{parts.hostname} leads to {where[0]}, which is not a public address")
