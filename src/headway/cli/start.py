"""The verbs of the first five minutes: init, doctor, version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headway.cli.options import Json
from headway.cli.output import count, note, print_json, say, table
from headway.errors import Conflict, NotFound, UsageError

if TYPE_CHECKING:
    from headway.projects.detect import Detected

LARGEST = 4_000_000  # bytes of a file that is looked at
MOST_FILES = 5000  # of a folder that is looked at
_SKIPPED = ("node_modules", "__pycache__", "venv", "env", "site-packages", "dist", "build")
_READ = (".py", ".toml", ".txt", ".lock", ".yaml", ".yml", ".cfg")


def init(
    folder: Annotated[Path, typer.Argument(help="The project's folder.")] = Path(),
    *,
    force: Annotated[bool, typer.Option("--force", help="Write over what is there already.")] = False,
    github: Annotated[bool, typer.Option("--github", help="Make this server known at GitHub.")] = False,
    token: Annotated[bool, typer.Option("--token", help="With --github: a token from standard input, no App.")] = False,
    api: Annotated[str, typer.Option("--api", help="With --github: https://HOST/api/v3 of an own GitHub.")] = "",
    org: Annotated[str, typer.Option("--org", help="With --github: the organisation that owns the App.")] = "",
    name: Annotated[str, typer.Option("--name", help="With --github: the App's name.")] = "",
    port: Annotated[int, typer.Option("--port", help="With --github: of the set-up page; 0 = any.", max=65535)] = 0,
    as_json: Json = False,
) -> None:
    """Look at a folder and write the smallest headway.yaml; with --github, make this server known at GitHub."""
    if github:
        from headway.cli.init_github import set_up_github

        set_up_github(api=api, by_token=token, organisation=org, name=name, port=port, force=force, as_json=as_json)
        return
    _init_folder(folder, force=force, as_json=as_json)


def _init_folder(folder: Path, *, force: bool, as_json: bool) -> None:
    from headway.projects.detect import detect, project_name
    from headway.projects.write import smallest

    if not folder.is_dir():
        raise NotFound(f"there is no folder {folder}")
    target = folder / "headway.yaml"
    if target.exists() and not force:
        raise Conflict(f"{target} is there already", hint="headway config validate, or headway init --force")
    if not as_json:
        note("Looking at this folder …")
    found = detect(_files(folder))
    if found.script is None:
        raise NotFound(
            f"no training script was found in {folder.resolve()}",
            cause="looked for Python files with a main part, such as train.py",
            hint="write train.py, or write headway.yaml by hand: name: ..., run: python SCRIPT",
        )
    name = project_name(folder.resolve().name)
    metric = found.primary.name if found.primary else None
    text = smallest(name=name, script=found.script, metric=metric, goal=found.goal)
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{target} cannot be written", cause=error.strerror or str(error)) from None
    if as_json:
        print_json({"found": found, "written": str(target)})
        return
    for sign, what, told in _told(folder, found):
        note(f"  {sign} {what:<17}{told}")
    say(f"Wrote {target} ({count(len(text.splitlines()), 'line')}). Nothing else was changed.")
    is_in_git = _repository(folder) is not None
    note("Next: headway run" if is_in_git else "Next: git init && git add -A && git commit -m start && headway run")


def _told(folder: Path, found: Detected) -> list[tuple[str, str, str]]:
    repository = _repository(folder)
    mlflow, primary = found.mlflow, found.primary
    environment = ", ".join(part for part in (found.lockfile, f"Python {found.python}" if found.python else "") if part)
    return [
        ("✓", "git repository", str(repository)) if repository else ("!", "git repository", "none yet"),
        ("✓", "environment", environment) if found.lockfile else ("!", "environment", _no_lock(found)),
        ("✓", "entry point", f"{found.script} (logs to MLflow at {mlflow.place}: kept as it is)")
        if mlflow
        else ("✓", "entry point", f"{found.script} (no MLflow: metrics.json is read where it writes one)"),
        ("✓", "primary metric", f"{primary.name} (seen in {primary.place}), {found.goal}")
        if primary
        else ("!", "primary metric", "none seen: add `metrics: {NAME: {goal: maximize}}` for a verdict"),
    ]


def _no_lock(found: Detected) -> str:
    if found.other_lockfile:
        return f"{found.other_lockfile} is not read: write requirements.txt or uv.lock"
    return "no lock file: a bare Python, without packages"


def _repository(folder: Path) -> Path | None:
    """The root of the repository around a folder, found without git."""
    here = folder.resolve()
    return next((each for each in (here, *here.parents) if (each / ".git").exists()), None)


def _files(folder: Path) -> dict[str, bytes]:
    """Read what can tell something: scripts and lock files of the folder, links left out."""
    found: dict[str, bytes] = {}
    waiting = [folder]
    while waiting and len(found) < MOST_FILES:
        for path in sorted(waiting.pop().iterdir()):
            if path.name.startswith(".") or path.name in _SKIPPED or path.is_symlink():
                continue
            if path.is_dir():
                waiting.append(path)
            elif path.suffix in _READ and path.is_file() and path.stat().st_size <= LARGEST:
                found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


def doctor(
    live: Annotated[str | None, typer.Option("--live", help="OWNER/REPO: rehearse on a real repository.")] = None,
    change: Annotated[int | None, typer.Option("--change", help="With --live: a pull request to do it on.")] = None,
    as_json: Json = False,
) -> None:
    """Check Python, git, uv, isolation, disk, database, GPU and GitHub; exit 1 when something is broken.

    With --live: comment, check and deployment once on OWNER/REPO, and everything that can be taken away again is.
    """
    from headway import __version__
    from headway.cli.client import connect

    if change is not None and live is None:
        raise UsageError("--change is for --live", hint=f"headway doctor --live OWNER/REPO --change {change}")
    client = connect()
    items = client.get("/doctor") if live is None else client.post("/doctor/live", repo=live, change=change)
    if as_json:
        print_json(items)
    else:
        say(f"headway {__version__}  {client.url}")
        signs = {"ok": "✓", "warn": "!", "fail": "✗"}
        rows = [[signs[each["state"]], each["name"], _why(each), each["hint"] or " "] for each in items]
        table([" ", "what", "found", "hint"], rows, empty="nothing was checked")
    if any(item["state"] == "fail" for item in items):
        raise typer.Exit(code=1)


def _why(item: dict[str, str]) -> str:
    return f"{item['found']} ({item['cause']})" if item["cause"] else item["found"]


def version(as_json: Json = False) -> None:
    """Print the version."""
    from headway import __version__

    if as_json:
        print_json({"version": __version__})
    else:
        say(f"headway {__version__}")
