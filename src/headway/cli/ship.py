"""The verbs that bring a model to people: deploy, approve, rollback, why."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from headway.cli.client import Client, connect
from headway.cli.follow import follow, give
from headway.cli.here import here
from headway.cli.judge import OfChange, find_job
from headway.cli.output import note, print_json, say
from headway.cli.work import Detach, Json, Project
from headway.errors import HeadwayError

To = Annotated[str | None, typer.Option("--to", help="Environment; the project's own when left out.")]

RESTING = ("waiting", "promoted", "rolled_back", "failed", "refused")


def deploy(
    job: Annotated[str | None, typer.Argument(help="Job number; the newest good one when left out.")] = None,
    to: To = None,
    project: Project = None,
    change: OfChange = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
    detach: Detach = False,
    as_json: Json = False,
) -> None:
    """Release the model of a job: staging, approval, canary, production."""
    client = connect()
    number = find_job(client, job, change) if job is not None or change is not None else ""
    text = _text("deploy", number, to=to, project=project, dry_run=dry_run)
    shown = _say(client, text, number, change)
    _follow_release(client, shown, as_json=as_json, detach=detach or dry_run)


def approve(
    job: Annotated[str | None, typer.Argument(help="Job number whose release waits.")] = None,
    to: To = None,
    project: Project = None,
    change: OfChange = None,
    detach: Detach = False,
    as_json: Json = False,
) -> None:
    """Let the release that waits go on to production."""
    client = connect()
    number = (job or "").lstrip("#")
    text = _text("approve", number, to=to, project=project)
    _follow_release(client, _say(client, text, number, change), as_json=as_json, detach=detach)


def rollback(
    environment: Annotated[str | None, typer.Argument(help="Environment: production.")] = None,
    project: Project = None,
    change: OfChange = None,
    as_json: Json = False,
) -> None:
    """Go back to the version that served before, in one step."""
    client = connect()
    text = _text("rollback", environment or "", project=project)
    _follow_release(client, _say(client, text, "", change), as_json=as_json, detach=False)


def why(
    subject: Annotated[str, typer.Argument(help="Request id, deployment, or version (flights@3).")],
    as_json: Json = False,
) -> None:
    """Walk back from a prediction, a deployment or a version to its causes."""
    links = connect().get(f"/why/{subject}")
    if as_json:
        print_json(links)
        return
    for link in links:
        say(f"{link['what']:>14}  {link['value']}  {link['detail']}".rstrip())


def _text(verb: str, number: str, *, to: str | None = None, project: str | None, dry_run: bool = False) -> str:
    words = [f"/{verb}", number.lstrip("#")]
    words += ["--to", to] if to else []
    words += ["--project", project] if project else []
    words += ["--dry-run"] if dry_run else []
    return " ".join(word for word in words if word)


def _say(client: Client, text: str, number: str, change: int | None) -> dict[str, Any]:
    at = here(client)
    if change is None and number:
        change = client.get(f"/jobs/{number}")["job"]["change"]
    where: dict[str, Any] = {"branch": at.default_branch} if change is None else {"change": change}
    return give(client, at.repo, text, **where)


def _follow_release(client: Client, shown: dict[str, Any], *, as_json: bool, detach: bool) -> None:
    follow(client, shown | {"jobs": []}, as_json=as_json and detach, detach=True)
    command = shown["command"]
    found = [] if detach else client.get("/releases", project=command["project"])
    if not found:
        return
    release = _until_resting(client, found[0], is_quiet=as_json)
    title = f"{release['model']} v{release['version']}"
    if as_json:
        print_json(release)
    else:
        say(f"{title} to {release['environment']}: {release['state']} {release['reason']}".rstrip())
        if release["test_output"]:
            say(release["test_output"])
    if release["state"] == "waiting":
        note("Next: headway approve")
    is_wanted = command["verb"] == "rollback"
    if release["state"] in ("failed", "refused") or (release["state"] == "rolled_back" and not is_wanted):
        raise HeadwayError(
            f"{title} {release['state'].replace('_', ' ')}",
            cause=release["reason"],
            hint=f"headway endpoints logs {release['project']}-{release['environment']}",
        )


def _until_resting(client: Client, release: dict[str, Any], *, is_quiet: bool) -> dict[str, Any]:
    told = ""
    while release["state"] not in RESTING:
        now = f"{release['model']} v{release['version']}: {release['state']} {release['reason']}".rstrip()
        if now != told and not is_quiet:
            note(f"· {now}")
        told = now
        time.sleep(0.3)
        release = client.get(f"/releases/{release['id']}")
    return release
