"""`headway config`: check, show, publish the schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headway.cli.output import print_json, say
from headway.cli.work import Json
from headway.errors import NotFound

app = typer.Typer(help="headway.yaml.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="The file.")]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"there is no {path}", hint="headway init writes one") from None


@app.command()
def validate(path: File = Path("headway.yaml"), as_json: Json = False) -> None:
    """Check the file; every error with line, column and fix."""
    from headway.projects.read import read_project

    spec = read_project(_read(path), path=str(path))
    if as_json:
        print_json({"valid": True, "project": spec.name})
    else:
        say(f"{path} is valid: project {spec.name}, {len(spec.steps)} steps, {len(spec.gates.rules)} gates")


@app.command()
def show(path: File = Path("headway.yaml")) -> None:
    """Print the file as it is understood, defaults filled in, as JSON."""
    from headway.projects.read import read_project

    print_json(read_project(_read(path), path=str(path)))


@app.command()
def schema() -> None:
    """Print the JSON Schema, for editors."""
    from headway.projects.schema import project_schema

    print_json(project_schema())
