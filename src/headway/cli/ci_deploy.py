"""`headway ci deploy`: release the model of a run, and record it as a deployment at GitHub."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from headway.cli.ci_event import read_told
from headway.cli.ci_github import AtGitHub, at_github
from headway.cli.ci_outputs import put, summarize
from headway.cli.client import Client, connect
from headway.cli.find_job import job_number, where_of
from headway.cli.follow import give
from headway.cli.here import here
from headway.cli.options import Json
from headway.cli.ship import meant, until_resting
from headway.errors import HeadwayError, NotFound, UsageError
from headway.forges.model import WantedDeployment
from headway.ids import new_id
from headway.logs import configure

_SAYS = {"promoted": "success", "waiting": "in_progress"}  # a release that rests in any other state has failed


def deploy(
    job: Annotated[str, typer.Option("--job", help="Number of the run, as `train` gave it.")],
    *,
    to: Annotated[str | None, typer.Option("--to", help="Environment; the project's own when left out.")] = None,
    sha: Annotated[str | None, typer.Option("--sha", help="The commit that must be deployed.")] = None,
    repository: Annotated[str | None, typer.Option("--repository", help="OWNER/REPO; as the CI says.")] = None,
    post: Annotated[bool, typer.Option(help="Record a deployment at GitHub.")] = True,
    as_json: Json = False,
) -> None:
    """Release the model of a run to an environment and wait until it serves, waits for an approval, or failed."""
    configure(process="ci")
    told = read_told(repository)
    client = connect()
    number = job_number(job)
    shown: dict[str, Any] = client.get(f"/jobs/{number}")["job"]
    commit = str(shown["commit"])
    if sha is not None and (len(sha) not in (40, 64) or sha != commit):
        raise UsageError(f"job #{number} is of {commit}, not of {sha}", hint=f"--sha {commit}")
    if post and told.has_github:
        with at_github(told) as github:
            release = _release(client, shown, to=to, at=github, page=told.page)
    else:
        release = _release(client, shown, to=to, at=None, page="")
    put(
        {
            "deployed": release["state"] == "promoted",
            "state": release["state"],
            "release": release["id"],
            "environment": release["environment"],
            "model": release["model"],
            "version": release["version"],
            "sha": commit,
        },
        as_json=as_json,
    )
    title = f"{release['model']} v{release['version']} to {release['environment']}"
    summarize(f"**{title}**: {release['state']} {release['reason']}".rstrip())
    if release["state"] not in _SAYS:
        raise HeadwayError(f"{title}: {release['state'].replace('_', ' ')}", cause=release["reason"])


def _release(client: Client, job: dict[str, Any], *, to: str | None, at: AtGitHub | None, page: str) -> dict[str, Any]:
    words = ["/deploy", str(job["number"]), "--project", str(job["project"]), *(["--to", to] if to else [])]
    before = {each["id"] for each in client.get("/releases")}
    shown = give(client, here(client).repo, " ".join(words), **where_of(job))
    release = meant(client, shown["command"], before)
    if release is None:
        raise NotFound("no release was begun", cause=str(shown["command"]["answer"]))
    chain = _chain(client, job, release) if at is not None else {}
    _record(at, job, release, chain, state="in_progress", page=page)
    ended = until_resting(client, release, verb="deploy", is_quiet=False)
    _record(at, job, ended, chain, state=_SAYS.get(ended["state"], "failure"), page=page)
    return ended


def _chain(client: Client, job: dict[str, Any], release: dict[str, Any]) -> dict[str, str]:
    """Return the way from the deployment to its cause; a name of its own, since every runner's numbers begin anew."""
    chain = {
        "release": new_id(),
        "job": str(job["number"]),
        "model": str(release["model"]),
        "version": str(release["version"]),
        "requested_by": str(release["requested_by"]),
    }
    versions = client.get(f"/models/{quote(chain['model'], safe='')}")["versions"]
    found = next((each for each in versions if each["number"] == release["version"]), None)
    return chain if found is None else chain | {"run": str(found["run_id"]), "digest": str(found["digest"])}


def _record(  # what is known of one release
    at: AtGitHub | None, job: dict[str, Any], release: dict[str, Any], chain: dict[str, str], *, state: str, page: str
) -> None:
    if at is None:
        return
    at.say(
        WantedDeployment(
            repo_id=at.repo.id,
            sha=str(job["commit"]),
            environment=str(release["environment"]),
            state=state,
            description=f"{release['model']} v{release['version']}: {release['state']}",
            url=page,
            payload=chain,
        )
    )
