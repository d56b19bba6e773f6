"""`headway ci train`: one command for one commit by a server of this data directory, and what came of it as outputs."""

from __future__ import annotations

import base64
import os
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from headway.cli.ci_event import Told, change_of_event, check_not_fork, read_told
from headway.cli.ci_github import AtGitHub, at_github
from headway.cli.ci_outputs import put, summarize
from headway.cli.client import Client, connect
from headway.cli.follow import give, judge, until_judged
from headway.cli.here import Here, git_output, here, resolve
from headway.cli.options import Json
from headway.cli.output import note
from headway.commands.grammar import parse_comment
from headway.commands.model import ParsedCommand, Verb
from headway.errors import Conflict, HeadwayError, Refused, UsageError
from headway.forges.model import Change, StatusState, WantedStatus
from headway.logs import configure

TRAINS = frozenset({Verb.TRAIN, Verb.TUNE, Verb.PLAN})
# What the common systems say of the commit that they build.
SHAS = ("GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT", "BUILDKITE_COMMIT", "CIRCLE_SHA1")


def train(
    *,
    comment: Annotated[str, typer.Option("--comment", help="The command, as in a comment.")] = "/train",
    change: Annotated[int | None, typer.Option("--change", help="Number of the pull request.")] = None,
    sha: Annotated[
        str | None, typer.Option("--sha", help="Its commit; the one that the CI builds when left out.")
    ] = None,
    base: Annotated[str | None, typer.Option("--base", help="Commit whose gates hold; the change's base.")] = None,
    repository: Annotated[str | None, typer.Option("--repository", help="OWNER/REPO; as the CI says.")] = None,
    post: Annotated[bool, typer.Option(help="Write commit statuses at GitHub.")] = True,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Exit 0 whatever the verdict is.")] = False,
    as_json: Json = False,
) -> None:
    """Train one commit and wait for the verdict; a change is judged by the gates of its base."""
    configure(process="ci")
    told = read_told(repository)
    _check_command(comment)
    number = change if change is not None else change_of_event(told)
    wanted = sha or (
        "" if told.is_privileged else next((os.environ[each] for each in SHAS if os.environ.get(each)), "")
    )
    if told.has_github and number is not None:
        with at_github(told) as github:
            found = github.forge.get_change(github.repo.id, number)
            wanted = _sure(found, wanted, told)
            ended = _run(
                told, comment, sha=wanted, change=found, base=base or found.base_sha, github=github if post else None
            )
    else:
        if told.is_privileged:
            raise Refused(
                f"under {told.event} it must be known whose code runs",
                cause="GITHUB_TOKEN is not set, or no change is named: a fork cannot be told from a branch",
                hint="env: {GITHUB_TOKEN: ${{ github.token }}}, and --change N",
            )
        ended = _run(told, comment, sha=wanted or "HEAD", change=None, base=base or "", github=None)
    put(_outputs(ended), as_json=as_json)
    for each in ended:
        if not keep_going:
            judge(each)


def _check_command(comment: str) -> None:
    parsed = parse_comment(comment)
    if len(parsed) != 1 or not isinstance(parsed[0], ParsedCommand) or parsed[0].verb not in TRAINS:
        raise UsageError(f"this is not one command that trains: {comment!r}", hint="--comment '/train lr=0.1'")


def _sure(change: Change, wanted: str, told: Told) -> str:
    """Return the commit to train: the head of the change as it stands, and nobody else's code beside secrets."""
    pull = told.data.get("pull_request")
    merge = str(pull.get("merge_commit_sha") or "") if isinstance(pull, dict) else ""
    if wanted and wanted in (merge, os.environ.get("GITHUB_SHA", "")) and wanted != change.head_sha:
        wanted = ""  # what Actions builds under pull_request is a merge that nobody wrote
    if wanted and wanted != change.head_sha:
        raise Conflict(
            f"change {change.number} is at {change.head_sha[:12]} now, not at {wanted[:12]}",
            cause="somebody pushed meanwhile: the work is superseded",
            hint="give the command again for the new commit",
        )
    check_not_fork(told, from_fork=change.from_fork, sha=change.head_sha)
    return change.head_sha


def _run(  # what is known of one commit
    told: Told, comment: str, *, sha: str, change: Change | None, base: str, github: AtGitHub | None
) -> list[dict[str, Any]]:
    _fetch(told, sha)
    if base:
        _fetch(told, base)
    _have_default_branch(told, base or sha)
    client = connect()
    at = here(client)
    commit = resolve(sha)
    if commit is None:
        raise UsageError(f"{sha!r} names no commit here", hint="git fetch origin COMMIT")
    where = _where(client, at, commit, change=change, base=base)
    shown = give(client, at.repo, comment.strip(), **where)
    jobs = shown["jobs"]
    if shown["command"]["answer"]:
        summarize(shown["command"]["answer"])
    for job in jobs:
        shown = client.get(f"/jobs/{job['id']}")
        _say_status(github, told, commit, shown, state=StatusState.PENDING, title="being trained")
    ended = []
    for job in jobs:
        each = until_judged(client, job["id"], is_quiet=False)
        ended.append(each)
        state, title = verdict_of(each)
        _say_status(github, told, commit, each, state=state, title=title)
    return ended


def _where(client: Client, at: Here, commit: str, *, change: Change | None, base: str) -> dict[str, Any]:
    """Return where the command applies: a change of the local forge, so that the base's gates hold, or a commit."""
    if change is None or not base:
        return {"sha": commit, "branch": at.branch or "detached"}
    head_ref, base_ref = f"headway-ci/{change.number}", f"headway-ci/{change.number}-base"
    _point(head_ref, commit)
    _point(base_ref, resolve(base) or "")
    try:
        made = client.post(f"/repos/{at.repo}/changes", head=head_ref, base=base_ref, title=change.title)
    except Conflict:
        known = client.get(f"/repos/{at.repo}/changes")
        made = next(each for each in known if (each["head_ref"], each["base_ref"]) == (head_ref, base_ref))
    except UsageError:
        return {"sha": commit, "branch": at.branch or "detached"}  # it has nothing that its base does not have
    return {"change": made["number"]}


def _have_default_branch(told: Told, otherwise: str) -> None:
    """Make the default branch known here: a CI checks out one commit, often without any branch at all."""
    found = told.data.get("repository")
    name = str(found.get("default_branch") or "") if isinstance(found, dict) else ""
    name = name or os.environ.get("CI_DEFAULT_BRANCH", "") or "main"
    if os.environ.get("CI") != "true" or resolve(f"refs/heads/{name}") is not None:
        return  # in a person's clone branches are the person's
    commit = resolve(f"refs/remotes/origin/{name}") or resolve(otherwise)
    if commit is not None:
        _point(name, commit)


def _point(name: str, commit: str) -> None:
    if git_output("update-ref", f"refs/heads/{name}", commit) is None:
        raise HeadwayError(f"git does not let {name} point to {commit[:12]}", hint="git update-ref says why")


def _fetch(told: Told, sha: str) -> None:
    """Fetch exactly this commit where it is missing; the token goes through the environment, to GitHub alone."""
    if resolve(sha) is not None or len(sha) not in (40, 64):
        return
    origin = (git_output("remote", "get-url", "origin") or b"").decode().strip()
    if not origin:
        return
    environment = {"GIT_TERMINAL_PROMPT": "0"}
    server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    if told.token and urlsplit(origin).netloc == urlsplit(server).netloc and origin.startswith(("https:", "http:")):
        login = base64.b64encode(f"x-access-token:{told.token}".encode()).decode()
        environment |= {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"http.{origin}.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Basic {login}",
        }
    done = git_output(
        "fetch",
        "--quiet",
        "--no-tags",
        "--no-recurse-submodules",
        "--end-of-options",
        origin,
        sha,
        environment=environment,
    )
    if done is None:
        note(f"note: {sha[:12]} cannot be fetched from {urlsplit(origin).netloc or origin}")


def verdict_of(shown: dict[str, Any]) -> tuple[StatusState, str]:
    """Return the status of a judged job: what is missing or unreadable is never success."""
    job, verdict = shown["job"], (shown["result"] or {}).get("verdict") or {}
    if job["state"] != "succeeded":
        return StatusState.ERROR, f"job #{job['number']} {job['state']}"
    outcome = str(verdict.get("outcome") or "has no verdict").replace("_", " ")
    is_good = verdict.get("outcome") in ("pass", "warn")
    return (StatusState.SUCCESS if is_good else StatusState.FAILURE), f"job #{job['number']}: {outcome}"


def _say_status(
    github: AtGitHub | None, told: Told, sha: str, shown: dict[str, Any], *, state: StatusState, title: str
) -> None:
    if github is None:
        return
    # What the required status says is for the commit's own values: others are told of beside it (ADR 0019).
    beside = "/other-values" if shown["plan"]["replaced"] else ""
    github.say(
        WantedStatus(
            repo_id=github.repo.id,
            sha=sha,
            context=f"headway/{shown['job']['project']}{beside}",
            state=state,
            title=title,
            url=told.page,
        )
    )


def _outputs(ended: list[dict[str, Any]]) -> dict[str, Any]:
    first = ended[0] if ended else None
    verdicts = [((each["result"] or {}).get("verdict") or {}).get("outcome") or each["job"]["state"] for each in ended]
    good = [each in ("pass", "warn") for each in verdicts]
    return {
        "passed": bool(good) and all(good),
        "job": first["job"]["number"] if first else None,
        "jobs": [each["job"]["number"] for each in ended],
        "sha": first["job"]["commit"] if first else "",
        "verdict": verdicts[0] if verdicts else "",
        "verdicts": {each["job"]["project"]: found for each, found in zip(ended, verdicts, strict=True)},
        "metrics": first["metrics"] if first else {},
    }
