"""`headway config`: check, show, publish the schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headway.cli.options import Json
from headway.cli.output import count, print_json, say
from headway.errors import NotFound, UsageError

app = typer.Typer(help="headway.yaml.")

File = Annotated[Path, typer.Argument(help="The file.")]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"there is no {path}", hint="headway init writes one") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read", cause=error.strerror or str(error)) from None


@app.command()
def validate(path: File = Path("headway.yaml"), as_json: Json = False) -> None:
    """Check the file; every error with line, column and fix."""
    from headway.projects.read import read_project

    spec = read_project(_read(path), path=str(path))
    if as_json:
        print_json({"valid": True, "project": spec.name})
    else:
        steps, rules = count(len(spec.steps), "step"), count(len(spec.gates.rules), "gate")
        say(f"{path} is valid: project {spec.name}, {steps}, {rules}")


@app.command()
def show(path: File = Path("headway.yaml"), as_json: Json = False) -> None:
    """Print the file as it is understood, defaults filled in, always as JSON."""
    from headway.projects.read import read_project

    del as_json
    print_json(read_project(_read(path), path=str(path)))


@app.command()
def schema(as_json: Json = False) -> None:
    """Print the JSON Schema, for editors."""
    from headway.projects.schema import project_schema

    del as_json
    print_json(project_schema())
