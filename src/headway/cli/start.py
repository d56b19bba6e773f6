"""The verbs of the first five minutes: init, doctor, login, version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headway.cli.client import connect, data_folder
from headway.cli.output import note, print_json, say, table
from headway.cli.work import Json
from headway.errors import Conflict, NotFound

if TYPE_CHECKING:
    from headway.projects.detect import Detected

LARGEST = 4_000_000  # bytes of a file that is looked at


def init(
    folder: Annotated[Path, typer.Argument(help="The project's folder.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Write over an existing headway.yaml.")] = False,
    as_json: Json = False,
) -> None:
    """Look at a folder and write the smallest headway.yaml; nothing else is changed."""
    from headway.projects.detect import detect, project_name
    from headway.projects.write import smallest

    target = folder / "headway.yaml"
    if target.exists() and not force:
        raise Conflict(f"{target} is there already", hint="headway config validate, or headway init --force")
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
    target.write_text(text, encoding="utf-8")
    if as_json:
        print_json({"found": found, "written": str(target)})
        return
    for what, told in _told(found):
        note(f"  {what:<15}{told}")
    say(f"Wrote {target} ({len(text.splitlines())} lines). Nothing else was changed.")
    note("Next: git add headway.yaml && git commit -m headway, then: headway train")


def _told(found: Detected) -> list[tuple[str, str]]:
    primary = found.primary
    return [
        ("environment", found.lockfile or "no lock file: a bare Python"),
        ("entry point", found.script or "none"),
        ("tracking", f"MLflow, kept as it is ({found.mlflow.place})" if found.mlflow else "none: write metrics.json"),
        (
            "primary metric",
            f"{primary.name}, {found.goal} (seen in {primary.place})" if primary else "none: add metrics:",
        ),
    ]


def _files(folder: Path) -> dict[str, bytes]:
    """Read what can tell something: scripts and lock files of the folder, links left out."""
    found: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        is_hidden = any(part.startswith(".") or part in ("node_modules", "__pycache__") for part in relative.parts)
        if is_hidden or path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST:
            continue
        if path.suffix in (".py", ".toml", ".txt", ".lock", ".yaml", ".yml", ".cfg"):
            found[relative.as_posix()] = path.read_bytes()
    return found


def doctor(as_json: Json = False) -> None:
    """Check Python, git, uv, sandbox, disk, database; exit 1 when something is broken."""
    items = connect().get("/doctor")
    if as_json:
        print_json(items)
    else:
        signs = {"ok": "✓", "warn": "!", "fail": "✗"}
        table(
            ["", "what", "found", "hint"],
            [[signs[i["state"]], i["name"], i["found"], i["hint"]] for i in items],
            empty="",
        )
    if any(item["state"] == "fail" for item in items):
        raise typer.Exit(code=1)


def login(as_json: Json = False) -> None:
    """Print the address that logs a browser in; on this machine the terminal is logged in already."""
    from headway.auth.first_start import read_first_token

    client = connect()
    token = read_first_token(data_folder()) or ""
    address = f"{client.url}/login#token={token}"
    if as_json:
        print_json({"url": client.url, "user": client.get("/server")["user"]})
    else:
        say(address)
        note("the address carries your token: do not pass it on")


def version(as_json: Json = False) -> None:
    """Print the version."""
    from headway import __version__

    if as_json:
        print_json({"version": __version__})
    else:
        say(f"headway {__version__}")
