"""The daily verbs: plan, train, run, stop, retry, logs."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from headway.cli.client import connect
from headway.cli.follow import follow, give
from headway.cli.here import commit_for, here
from headway.cli.output import print_json, say, short, table
from headway.errors import UsageError

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Set = Annotated[list[str] | None, typer.Option("--set", "-P", help="A parameter: lr=0.1; repeatable.")]
Ref = Annotated[str | None, typer.Argument(help="Branch or commit; the working tree when left out.")]
Project = Annotated[str | None, typer.Option("--project", help="One project of the repository.")]
ChangeOption = Annotated[int | None, typer.Option("--change", help="The head of a change of the local forge.")]
Detach = Annotated[bool, typer.Option("--detach", "-d", help="Do not wait.")]

jobs = typer.Typer(help="Executions of pipelines.", no_args_is_help=True)


def _where(client: Any, ref: str | None, change: int | None) -> tuple[str, dict[str, Any]]:
    at = here(client)
    if change is not None:
        return at.repo, {"change": change}
    branch, sha = commit_for(at, ref)
    return at.repo, {"sha": sha, "branch": branch}


def command_text(verb: str, params: list[str] | None, *, project: str | None, dry_run: bool = False) -> str:
    """Return the comment that says the same."""
    for each in params or []:
        if "=" not in each:
            raise UsageError(f"{each!r} is no key=value", hint="--set lr=0.1")
    words = [f"/{verb}", *(_quoted(each) for each in params or [])]
    words += ["--project", project] if project else []
    words += ["--dry-run"] if dry_run else []
    return " ".join(words)


def _quoted(pair: str) -> str:
    key, _, value = pair.partition("=")
    return f"{key}={value}" if value and all(c.isalnum() or c in "._-+/:" for c in value) else f'{key}="{value}"'


def plan(
    ref: Ref = None, params: Set = None, project: Project = None, change: ChangeOption = None, as_json: Json = False
) -> None:
    """Show what `train` would do: run or reuse, and why."""
    client = connect()
    repo, where = _where(client, ref, change)
    command_text("plan", params, project=project)
    pairs = dict(each.split("=", 1) for each in params or [])
    plans = client.post(f"/repos/{repo}/plan", params=pairs, project=project, **where)["plans"]
    if as_json:
        print_json(plans)
        return
    for each in plans:
        say(f"{each['project']['name']} at {short(each['commit'])}  (plan {each['id'][:12]})")
        rows = [
            [task["spec"]["name"], task["action"], task["why"], _seconds(task["expected_seconds"])]
            for task in each["tasks"]
        ]
        table(["step", "action", "why", "time"], rows, empty="no steps")


def _seconds(value: float | None) -> str:
    return "not known" if value is None else f"{value:.1f} s"


def train(
    ref: Ref = None,
    params: Set = None,
    project: Project = None,
    change: ChangeOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the plan.")] = False,
    detach: Detach = False,
    as_json: Json = False,
) -> None:
    """Run the pipeline of the working tree, a ref or a change, and judge its result."""
    if dry_run:
        plan(ref, params, project, change, as_json)
        return
    client = connect()
    repo, where = _where(client, ref, change)
    shown = give(client, repo, command_text("train", params, project=project), **where)
    follow(client, shown, as_json=as_json, detach=detach)


def run(
    ref: Ref = None,
    params: Set = None,
    project: Project = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the plan.")] = False,
    detach: Detach = False,
    as_json: Json = False,
) -> None:
    """Run the working tree as it stands, uncommitted edits included: the same as `train`."""
    train(ref, params, project, None, dry_run, detach, as_json)


def tune(params: Set = None, project: Project = None, change: ChangeOption = None, as_json: Json = False) -> None:
    """Run the `tune:` block (its machinery comes later: this says what is missing)."""
    client = connect()
    repo, where = _where(client, None, change)
    follow(
        client, give(client, repo, command_text("tune", params, project=project), **where), as_json=as_json, detach=True
    )


def stop(job: Annotated[str, typer.Argument(help="Job number.")], as_json: Json = False) -> None:
    """Stop a job with everything that it started."""
    _on_job("stop", job, as_json=as_json)


def retry(
    job: Annotated[str, typer.Argument(help="Job number.")], detach: Detach = False, as_json: Json = False
) -> None:
    """Run an ended job again; what succeeded is reused."""
    client = connect()
    shown = client.get(f"/jobs/{job.lstrip('#')}")["job"]
    where = {"change": shown["change"]} if shown["change"] is not None else {"sha": shown["commit"]}
    follow(client, give(client, shown["repo_id"], f"/retry {shown['number']}", **where), as_json=as_json, detach=detach)


def _on_job(verb: str, job: str, *, as_json: bool) -> None:
    client = connect()
    shown = client.get(f"/jobs/{job.lstrip('#')}")["job"]
    where = {"change": shown["change"]} if shown["change"] is not None else {"sha": shown["commit"]}
    follow(client, give(client, shown["repo_id"], f"/{verb} {shown['number']}", **where), as_json=as_json, detach=True)


def logs(
    job: Annotated[str, typer.Argument(help="Job number.")],
    step: Annotated[str | None, typer.Option("--step", help="One step.")] = None,
    follow_on: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more.")] = False,
    tail: Annotated[int | None, typer.Option("--tail", help="Only the last lines.")] = None,
    as_json: Json = False,
) -> None:
    """Print the log of a job."""
    client = connect()
    cursor = ""
    lines: list[str] = []
    while True:
        page = client.get(f"/jobs/{job.lstrip('#')}/logs", task=step, cursor=cursor)
        cursor = page["next"]
        lines += page["lines"]
        if follow_on:
            for line in page["lines"]:
                say(line)
        if not page["lines"] and (page["is_final"] or not follow_on):
            break
        if not page["lines"]:
            time.sleep(0.5)
    shown = lines[-tail:] if tail else lines
    if as_json:
        print_json({"lines": shown})
    elif not follow_on:
        for line in shown:
            say(line)


@jobs.command("list")
def list_jobs(
    project: Project = None,
    state: Annotated[str | None, typer.Option(help="queued, running, succeeded, failed ...")] = None,
    limit: Annotated[int, typer.Option(help="How many.")] = 20,
    as_json: Json = False,
) -> None:
    """List jobs, newest first."""
    found = connect().get("/jobs", project=project, state=state, limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [
        [
            f"#{each['job']['number']}",
            each["job"]["project"],
            each["job"]["branch"],
            short(each["job"]["commit"]),
            each["job"]["state"],
            each["outcome"],
            "  ".join(f"{name} {value:.4g}" for name, value in list(each["metrics"].items())[:3]),
        ]
        for each in found
    ]
    table(
        ["job", "project", "branch", "commit", "state", "verdict", "metrics"], rows, empty="no jobs yet: headway train"
    )


@jobs.command("show")
def show_job(job: Annotated[str, typer.Argument(help="Job number.")], as_json: Json = False) -> None:
    """Show one job with its steps."""
    shown = connect().get(f"/jobs/{job.lstrip('#')}")
    if as_json:
        print_json(shown)
        return
    one = shown["job"]
    where = f"{one['project']} at {short(one['commit'])} on {one['branch']}"
    say(f"job #{one['number']} {where}: {one['state']} {one['reason']}".rstrip())
    rows = [[task["name"], task["state"], task["reason"], task["run_id"], task["attempts"]] for task in shown["tasks"]]
    table(["step", "state", "why", "run", "attempts"], rows, empty="no steps")
