"""The verbs that bring a model to people: deploy, approve, rollback, why."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from headway.cli.client import Client, connect
from headway.cli.find_job import find_job, job_number
from headway.cli.follow import follow, give
from headway.cli.here import here
from headway.cli.options import Detach, DryRun, Json, OfChange, Project
from headway.cli.output import clean_line, clean_text, count, note, print_json, say
from headway.cli.progress import Progress
from headway.errors import HeadwayError

To = Annotated[str | None, typer.Option("--to", help="Environment; the project's own when left out.")]

POLL = 0.3
MOVES_WITHIN = 10.0
RESTING = ("waiting", "promoted", "rolled_back", "failed", "refused")


def deploy(
    job: Annotated[str | None, typer.Argument(help="Job number; the newest good one when left out.")] = None,
    to: To = None,
    project: Project = None,
    change: OfChange = None,
    dry_run: DryRun = False,
    detach: Detach = False,
    as_json: Json = False,
) -> None:
    """Release the model of a job: staging and its test, approval, canary, production."""
    client = connect()
    number = find_job(client, job, change) if job is not None or change is not None else ""
    text = _text("deploy", number, to=to, project=project, dry_run=dry_run)
    _release(client, text, number, change, as_json=as_json, detach=detach or dry_run)


def approve(
    job: Annotated[str | None, typer.Argument(help="Job number whose release waits.")] = None,
    to: To = None,
    project: Project = None,
    change: OfChange = None,
    detach: Detach = False,
    as_json: Json = False,
) -> None:
    """Let the release that waits go on to production."""
    number = job_number(job) if job else ""
    text = _text("approve", number, to=to, project=project)
    _release(connect(), text, number, change, as_json=as_json, detach=detach)


def rollback(
    environment: Annotated[str | None, typer.Argument(help="Environment: production.")] = None,
    project: Project = None,
    change: OfChange = None,
    detach: Detach = False,
    as_json: Json = False,
) -> None:
    """Go back to the version that served before, in one step."""
    text = _text("rollback", environment or "", project=project)
    _release(connect(), text, "", change, as_json=as_json, detach=detach)


def why(
    subject: Annotated[str, typer.Argument(help="Request id, deployment, or version (flights@3).")],
    as_json: Json = False,
) -> None:
    """Walk back from a prediction, a deployment or a version to its causes."""
    links = connect().get(f"/why/{subject}")
    if as_json:
        print_json(links)
        return
    width = max(len(link["what"]) for link in links)
    for link in links:
        say(clean_line(f"{link['what']:>{width}}  {link['value']}  {link['detail']}".rstrip()))


def _text(verb: str, number: str, *, to: str | None = None, project: str | None, dry_run: bool = False) -> str:
    words = [f"/{verb}", number]
    words += ["--to", to] if to else []
    words += ["--project", project] if project else []
    words += ["--dry-run"] if dry_run else []
    return " ".join(word for word in words if word)


def _release(client: Client, text: str, number: str, change: int | None, *, as_json: bool, detach: bool) -> None:
    at = here(client)
    if change is None and number:
        change = client.get(f"/jobs/{number}")["job"]["change"]
    where: dict[str, Any] = {"branch": at.default_branch} if change is None else {"change": change}
    before = {each["id"] for each in client.get("/releases")}
    shown = give(client, at.repo, text, **where)
    release = None if detach else meant(client, shown["command"], before)
    follow(client, shown | {"jobs": []}, as_json=as_json and release is None, detach=True)
    if release is not None:
        verb = str(shown["command"]["verb"])
        ended = until_resting(client, release, verb=verb, is_quiet=as_json)
        _tell(ended, verb=verb, as_json=as_json)


def meant(client: Client, command: dict[str, Any], before: set[str]) -> dict[str, Any] | None:
    """Return the release that a command made or moved: a new one, else one under way, else the newest."""
    found: list[dict[str, Any]] = client.get("/releases", project=command["project"])
    new = [each for each in found if each["id"] not in before]
    moving = [each for each in found if each["state"] not in RESTING]
    return next(iter(new or moving or found), None)


def until_resting(client: Client, release: dict[str, Any], *, verb: str, is_quiet: bool) -> dict[str, Any]:
    """Return the release once nothing more happens to it by itself."""
    progress = Progress(is_quiet=is_quiet)
    # What was approved or taken back a moment ago has not moved yet.
    patience = time.monotonic() + (MOVES_WITHIN if verb != "deploy" else 0)
    try:
        while release["state"] not in RESTING or (release["state"] == "waiting" and time.monotonic() < patience):
            progress.state(_doing(release))
            time.sleep(POLL)
            release = client.get(f"/releases/{release['id']}")
    except KeyboardInterrupt:
        progress.clear()
        if not is_quiet:
            environment = f"{release['project']}-{release['environment']}"
            note(f"\nthe release goes on without you: headway endpoints show {environment}")
        raise
    finally:
        progress.clear()
    return release


def _doing(release: dict[str, Any]) -> str:
    said = f"{release['model']} v{release['version']}: {release['state']} {release['reason']}".rstrip()
    stages = [each for each in release["stages"] if each["stage"] == "canary"]
    if release["state"] != "canary" or not stages:
        return said
    # Without traffic nothing moves, and nobody would know what is waited for.
    least = (release["spec"] or {}).get("min_requests")
    waits = f", judged after {count(least, 'answer')}" if least else ""
    return f"{said} {stages[-1]['weight']} %{waits}"


def _tell(release: dict[str, Any], *, verb: str, as_json: bool) -> None:
    title = f"{release['model']} v{release['version']}"
    if as_json:
        print_json(release)
    else:
        state, reason = release["state"].replace("_", " "), release["reason"]
        what = reason if reason.startswith(state) else f"{state} {reason}".rstrip()
        say(clean_line(f"{title} to {release['environment']}: {what}"))
        if release["test_output"] and verb == "deploy":
            say(clean_text(release["test_output"]))
        if release["state"] == "waiting":
            note(f"Next: headway approve --project {release['project']}")
    if verb != "rollback" and release["state"] in ("failed", "refused", "rolled_back"):
        raise HeadwayError(
            f"{title} {release['state'].replace('_', ' ')}",
            cause=release["reason"],
            hint=f"headway endpoints logs {release['project']}-{release['environment']}",
        )
