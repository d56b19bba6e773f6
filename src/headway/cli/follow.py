"""Wait for a command and its jobs, showing live logs and metrics where somebody watches."""

from __future__ import annotations

import sys
import time
from typing import Any

from headway.cli.client import Client
from headway.cli.output import note, print_json, say
from headway.errors import GateFailed, HeadwayError, Refused

POLL = 0.2
_BLOCKING = ("failed", "missing", "cannot_tell")


def give(client: Client, repo: str, text: str, **where: Any) -> dict[str, Any]:
    """Give a command and return it once it has been carried out.

    Raises:
        Refused: the command was refused, with the reason.
    """
    command = client.post(f"/repos/{repo}/commands", text=text, **where)
    while True:
        shown = client.get(f"/commands/{command['id']}")
        state = shown["command"]["state"]
        if state == "executed":
            return dict(shown)
        if state == "refused":
            first, *rest = str(shown["command"]["answer"]).splitlines()
            raise Refused(
                first, cause=" ".join(line for line in rest if not line.startswith("Try: ")), hint=_hint(rest)
            )
        time.sleep(POLL)


def _hint(lines: list[str]) -> str:
    return next((line.removeprefix("Try: ") for line in lines if line.startswith("Try: ")), "")


def follow(client: Client, shown: dict[str, Any], *, as_json: bool, detach: bool) -> None:
    """Show the command's jobs until they are judged, then their reports; the exit code is the verdict's.

    Raises:
        GateFailed: a job ran well and its verdict does not allow a merge.
        HeadwayError: a job failed.
    """
    jobs = shown["jobs"]
    answer = shown["command"]["answer"]
    if answer and not as_json:
        say(answer)
    for job in jobs:
        note(f"▶ job #{job['number']} ({job['project']})  {client.url}/jobs/{job['number']}")
    if detach or not jobs:
        if as_json:
            print_json(shown)
        return
    ended = [_until_judged(client, job["id"], is_quiet=as_json) for job in jobs]
    if as_json:
        print_json(ended)
    else:
        for each in ended:
            width = 100 if not sys.stdout.isatty() else None
            say(client.get(f"/jobs/{each['job']['id']}/report", format="terminal", width=width)["text"])
    for each in ended:
        judge(each)


def _until_judged(client: Client, job_id: str, *, is_quiet: bool) -> dict[str, Any]:
    cursor, told = "", ""
    while True:
        shown = dict(client.get(f"/jobs/{job_id}"))
        if not is_quiet:
            page = client.get(f"/jobs/{job_id}/logs", cursor=cursor)
            cursor = page["next"]
            for line in page["lines"]:
                note(f"  {line}")
            told = _progress(shown, told)
        if shown["job"]["settled_at"] is not None:
            return shown
        time.sleep(POLL)


def _progress(shown: dict[str, Any], told: str) -> str:
    if shown["position"] is not None:
        now = f"queued, position {shown['position']}"
    else:
        now = ", ".join(
            f"{task['name']}: {task['reason'] or task['state']}"
            for task in shown["tasks"]
            if task["state"] in ("ready", "running", "collecting")
        )
    if now and now != told:
        note(f"· {now}")
    return now or told


def judge(shown: dict[str, Any]) -> None:
    """Leave with the exit code of a judged job.

    Raises:
        GateFailed: it ran well and its verdict does not allow a merge.
        HeadwayError: it failed.
    """
    job, result = shown["job"], shown["result"]
    if job["state"] != "succeeded":
        raise HeadwayError(
            f"job #{job['number']} {job['state']}",
            cause=job["reason"],
            hint=((result or {}).get("crash") or {}).get("hint") or f"headway logs {job['number']}",
        )
    verdict = (result or {}).get("verdict") or {}
    if verdict.get("outcome") not in ("pass", "warn"):
        failed = [c["id"] for c in verdict.get("checks", []) if c["judged"] and c["state"] in _BLOCKING]
        raise GateFailed(
            f"job #{job['number']} ran well and is not ready: {', '.join(failed) or verdict.get('outcome')}",
            hint=f"headway report {job['number']}",
        )
