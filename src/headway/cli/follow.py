"""Wait for a command and its jobs, showing live logs and metrics where somebody watches."""

from __future__ import annotations

import re
import sys
import time
from typing import Any

from headway.cli.client import Client
from headway.cli.output import clean_text, in_terminal, note, print_json, say
from headway.cli.progress import Progress, numbers_text
from headway.errors import GateFailed, HeadwayError, Refused

POLL = 0.2
WIDTH = 100  # of a report that goes into a file
_BLOCKING = ("failed", "missing", "cannot_tell")
_DOING = re.compile(r"^job #(\d+) is doing exactly this\b", re.MULTILINE)
_ACTIVE = ("ready", "running", "collecting")


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
            raise _refused(str(shown["command"]["answer"]))
        time.sleep(POLL)


def _refused(answer: str) -> Refused:
    """An answer has a message, perhaps a cause, and perhaps a last line that begins with "Try: "."""
    first, *rest = answer.splitlines() or ["the command was refused"]
    cause = "\n".join(line for line in rest if not line.startswith("Try: "))
    hint = next((line.removeprefix("Try: ") for line in rest if line.startswith("Try: ")), "")
    return Refused(first, cause=cause, hint=hint)


def follow(client: Client, shown: dict[str, Any], *, as_json: bool, detach: bool) -> None:
    """Show the command's jobs until they are judged, then their reports; the exit code is the verdict's.

    Raises:
        GateFailed: a job ran well and its verdict does not allow a merge.
        HeadwayError: a job failed.
    """
    answer = shown["command"]["answer"]
    # What another command began is waited for like its own, or the exit code would be no verdict's.
    others = [] if detach else _DOING.findall(answer or "")
    jobs = [*shown["jobs"], *(client.get(f"/jobs/{number}")["job"] for number in others)]
    if answer and not as_json:
        say(in_terminal(clean_text(answer)))
    if not as_json:
        for job in jobs:
            note(f"▶ job #{job['number']} ({job['project']})  {client.url}/jobs/{job['number']}")
    if detach or not jobs:
        if as_json:
            print_json(shown)
        elif jobs:
            note(f"Next: headway logs {jobs[0]['number']} -f")
        return
    ended = _until_all_judged(client, jobs, is_quiet=as_json)
    if as_json:
        print_json(ended)
    else:
        for each in ended:
            say(report_text(client, each["job"]["id"]))
    for each in ended:
        judge(each)


def report_text(client: Client, job: str) -> str:
    """Return a job's report as a terminal shows it."""
    import shutil

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH
    answer = client.get(f"/jobs/{job}/report", format="terminal", width=width)
    text = str(answer["text"]).rstrip()
    # Of a change, what can be done next stands there as it is typed, and other words are those of its comments.
    return text if answer["change"] is not None else in_terminal(text)


def _until_all_judged(client: Client, jobs: list[dict[str, Any]], *, is_quiet: bool) -> list[dict[str, Any]]:
    try:
        return [until_judged(client, job["id"], is_quiet=is_quiet) for job in jobs]
    except KeyboardInterrupt:
        if not is_quiet:
            for job in jobs:
                number = job["number"]
                note(f"\njob #{number} goes on without you: headway logs {number} -f, or headway stop {number}")
        raise


def until_judged(client: Client, job_id: str, *, is_quiet: bool) -> dict[str, Any]:
    """Return a job once it is judged, telling meanwhile what it says."""
    cursor = ""
    progress = Progress(is_quiet=is_quiet)
    try:
        while True:
            shown = dict(client.get(f"/jobs/{job_id}"))
            if not is_quiet:
                cursor = _tell_log(client, job_id, cursor, progress)
                progress.state(_doing(shown), numbers_text(shown["metrics"]))
            if shown["job"]["settled_at"] is not None:
                return shown
            time.sleep(POLL)
    finally:
        progress.clear()


def _tell_log(client: Client, job_id: str, cursor: str, progress: Progress) -> str:
    while True:
        page = client.get(f"/jobs/{job_id}/logs", cursor=cursor)
        cursor = str(page["next"])
        for line in page["lines"]:
            progress.line(line)
        if not page["lines"]:
            return cursor


def _doing(shown: dict[str, Any]) -> str:
    if shown["position"] is not None:
        return f"queued, position {shown['position']}"
    active = [each for each in shown["tasks"] if each["state"] in _ACTIVE]
    return ", ".join(f"{task['name']}: {task['reason'] or task['state']}" for task in active)


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
        if verdict.get("withheld") and verdict["outcome"] == "cannot_tell" and job["change"] is None:
            return  # other values were tried where nothing is to be merged: the gates have nothing against them
        failed = [c["id"] for c in verdict.get("checks", []) if c["judged"] and c["state"] in _BLOCKING]
        why = ", ".join(failed) or verdict.get("withheld") or str(verdict.get("outcome")).replace("_", " ")
        raise GateFailed(
            f"job #{job['number']} ran well and is not ready: {why}",
            hint=f"headway report {job['number']}",
        )
