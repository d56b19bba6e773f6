"""The daily verbs: run, plan, train, tune."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from headway.cli.client import connect
from headway.cli.follow import follow, give
from headway.cli.here import commit_for, head_commit, here, resolve
from headway.cli.oneoff import project_of, script_commit
from headway.cli.options import Detach, DryRun, Json, OfChange, Project, Ref, Set
from headway.cli.output import count, print_json, say, short, table
from headway.errors import NotFound, UsageError

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

    The exit code is the verdict's: 0 passed (of a change: ready to merge), 3 a gate failed, 1 the job failed.
    """
    if dry_run:
        plan(ref, params, project, change, as_json)
        return
    client = connect()
    repo, where = _where(client, ref, change)
    if change is None:
        head_commit()
    if params:  # a mistake in one is told before anything is recorded
        client.post(f"/repos/{repo}/plan", params=pairs_of(params), project=project, **where)
    shown = give(client, repo, command_text("train", params, project=project), **where)
    follow(client, shown, as_json=as_json, detach=detach)


RUN_OPTIONS_WITH_VALUE = frozenset({"-P", "--set", "--project", "--patience"})


def run(
    script: Annotated[
        str | None, typer.Argument(help="A Python file, or a command; the pipeline when left out.")
    ] = None,
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Passed on: to a command as they stand, to a script after --.")
    ] = None,
    *,
    params: Set = None,
    project: Project = None,
    dry_run: DryRun = False,
    detach: Detach = False,
    patience: Annotated[
        float,
        typer.Option("--patience", min=0, help="Around a command: seconds to wait for a server that is away."),
    ] = 300.0,
    drain: Annotated[
        bool, typer.Option("--drain", help="Deliver what earlier commands kept while the server was away.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run what lies here, uncommitted edits included: the pipeline, one script as a job, or any command.

    `headway run train.py -P lr=0.1 -- --epochs 3` makes a job of `python train.py --lr 0.1 --epochs 3`, in the
    environment of this folder's lock file. `headway run python train.py` runs the command here and now, as it is:
    what it logs with MLflow goes to the server, and is kept on this machine while that is away.
    """
    if drain:
        _drain(patience=patience, as_json=as_json)
        return
    from headway.cli.outside import is_command, run_command

    if script is not None and is_command(script):
        if params or project or dry_run or detach or as_json:
            raise _is_a_command(script)
        raise typer.Exit(run_command([script, *(arguments or ())], patience=patience))
    if script is None:
        train(None, params, project, None, dry_run, detach, as_json)
        return
    if project is not None:
        raise UsageError("a script belongs to no project", hint=f"headway run {script}")
    if not script.endswith(".py") and not Path(script).exists() and resolve(script) is None:
        raise NotFound(f"there is no script or program {script}", hint="headway run python train.py, or ls *.py")
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


def _drain(*, patience: float, as_json: bool) -> None:
    from headway.cli.doors import kept_doors
    from headway.cli.journal import drain

    drain(kept_doors(), patience=patience, as_json=as_json)


def _is_a_command(word: str) -> UsageError:
    return UsageError(
        f"{word} is a command, which runs as it is: it takes no -P, --project, --dry-run, --detach or --json",
        hint=f"headway run {word} ...; a script (.py) becomes a job and takes them",
    )


def tune(params: Set = None, project: Project = None, change: OfChange = None, as_json: Json = False) -> None:
    """Run the `tune:` block (its machinery comes later: this says what is missing)."""
    client = connect()
    repo, where = _where(client, None, change)
    shown = give(client, repo, command_text("tune", params, project=project), **where)
    follow(client, shown, as_json=as_json, detach=True)
