"""The daily verbs: run, plan, train, tune."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from headway.cli.client import connect
from headway.cli.follow import follow, give
from headway.cli.here import commit_for, here
from headway.cli.oneoff import project_of, script_commit
from headway.cli.options import Detach, DryRun, Json, OfChange, Project, Ref, Set
from headway.cli.output import count, print_json, say, short, table
from headway.errors import UsageError

_ACTIONS = {"decide_later": "later"}


def _where(client: Any, ref: str | None, change: int | None) -> tuple[str, dict[str, Any]]:
    at = here(client)
    if change is None:
        branch, sha = commit_for(at, ref)
        return at.repo, {"sha": sha, "branch": branch}
    if ref is not None:
        raise UsageError(f"{ref} and --change {change} are two things", hint=f"headway train --change {change}")
    return at.repo, {"change": change}


def command_text(verb: str, params: list[str] | None, *, project: str | None) -> str:
    """Return the comment that says the same."""
    pairs = [_quoted(key, value) for key, value in pairs_of(params).items()]
    return " ".join([f"/{verb}", *pairs, *(["--project", project] if project else [])])


def pairs_of(params: list[str] | None) -> dict[str, str]:
    """Return --set options as keys and values.

    Raises:
        UsageError: one has no equals sign.
    """
    for each in params or []:
        if "=" not in each:
            raise UsageError(f"{each!r} is no key=value", hint="--set lr=0.1")
    return dict(each.split("=", 1) for each in params or [])


def _quoted(key: str, value: str) -> str:
    if value and all(c.isalnum() or c in "._-+/:" for c in value):
        return f"{key}={value}"
    return f'{key}="' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def plan(
    ref: Ref = None, params: Set = None, project: Project = None, change: OfChange = None, as_json: Json = False
) -> None:
    """Show what `train` would do: run or reuse, and why. Nothing is started."""
    client = connect()
    repo, where = _where(client, ref, change)
    plans = client.post(f"/repos/{repo}/plan", params=pairs_of(params), project=project, **where)["plans"]
    if as_json:
        print_json(plans)
        return
    for each in plans:
        say(f"{each['project']['name']} at {short(each['commit'])}  (plan {each['id'][:12]})")
        rows = [
            [
                task["spec"]["name"],
                _ACTIONS.get(task["action"], task["action"]),
                _time(task),
                _cost(task["expected_cost"]),
                task["why"],
            ]
            for task in each["tasks"]
        ]
        table(["step", "action", "time", "cost", "why"], rows, empty="no steps")
        for told in each["notes"]:
            say(f"note: {told}")
        say(_summary(each["tasks"]))


def _summary(tasks: list[dict[str, Any]]) -> str:
    running = [task for task in tasks if task["action"] != "reuse"]
    if not running:
        return "Already trained: nothing has to run."
    known = [task["expected_seconds"] for task in running if task["expected_seconds"] is not None]
    about = f", about {_duration(sum(known))} by earlier runs" if len(known) == len(running) else ""
    return f"{count(len(running), 'step')} of {len(tasks)} to run{about}."


def _time(task: dict[str, Any]) -> str:
    if task["action"] == "reuse":
        return ""
    return "not known" if task["expected_seconds"] is None else _duration(task["expected_seconds"])


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _cost(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def train(
    ref: Ref = None,
    params: Set = None,
    project: Project = None,
    change: OfChange = None,
    dry_run: DryRun = False,
    detach: Detach = False,
    as_json: Json = False,
) -> None:
    """Run the pipeline of the working tree (uncommitted edits included), a ref or a change, and judge its result.

    The exit code is the verdict's: 0 ready to merge, 3 a gate failed, 1 the job failed.
    """
    if dry_run:
        plan(ref, params, project, change, as_json)
        return
    client = connect()
    repo, where = _where(client, ref, change)
    shown = give(client, repo, command_text("train", params, project=project), **where)
    follow(client, shown, as_json=as_json, detach=detach)


def run(
    script: Annotated[str | None, typer.Argument(help="A Python file; the pipeline when left out.")] = None,
    arguments: Annotated[list[str] | None, typer.Argument(help="Passed on to the script, after --.")] = None,
    params: Set = None,
    project: Project = None,
    dry_run: DryRun = False,
    detach: Detach = False,
    as_json: Json = False,
) -> None:
    """Run what lies here, uncommitted edits included: the pipeline, or one script that needs no headway.yaml.

    `headway run train.py -P lr=0.1 -- --epochs 3` runs `python train.py --lr 0.1 --epochs 3`, tracked, in the
    environment of this folder's lock file.
    """
    if script is None:
        train(None, params, project, None, dry_run, detach, as_json)
        return
    if project is not None:
        raise UsageError("a script belongs to no project", hint=f"headway run {script}")
    client = connect()
    at = here(client)
    branch, sha = script_commit(at, script, list(arguments or ()), list(params or ()))
    name = project_of(script)
    if dry_run:
        plans = client.post(f"/repos/{at.repo}/plan", params={}, project=name, sha=sha, branch=branch)["plans"]
        if as_json:
            print_json(plans)
        else:
            say(f"would run: {plans[0]['project']['steps'][0]['run']}\n{_summary(plans[0]['tasks'])}")
        return
    shown = give(client, at.repo, command_text("train", None, project=name), sha=sha, branch=branch)
    follow(client, shown, as_json=as_json, detach=detach)


def tune(params: Set = None, project: Project = None, change: OfChange = None, as_json: Json = False) -> None:
    """Run the `tune:` block (its machinery comes later: this says what is missing)."""
    client = connect()
    repo, where = _where(client, None, change)
    shown = give(client, repo, command_text("tune", params, project=project), **where)
    follow(client, shown, as_json=as_json, detach=True)
