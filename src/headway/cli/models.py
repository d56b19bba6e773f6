"""`headway models`: registered models and versions."""

from __future__ import annotations

from typing import Annotated

import typer

from headway.cli.client import connect
from headway.cli.output import print_json, say, short, table
from headway.cli.work import Json

app = typer.Typer(help="Registered models.", no_args_is_help=True)

Model = Annotated[str, typer.Argument(help="Name of the model.")]


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List the models."""
    found = connect().get("/models")
    if as_json:
        print_json(found)
        return
    rows = [[each["name"], each["versions"], (each["latest"] or {}).get("state")] for each in found]
    table(["model", "versions", "newest"], rows, empty="no models yet: merge a change, or headway deploy")


@app.command()
def show(model: Model, as_json: Json = False) -> None:
    """Show a model's versions with where each came from."""
    shown = connect().get(f"/models/{model}")
    if as_json:
        print_json(shown)
        return
    rows = [
        [
            f"v{each['number']}",
            each["state"],
            ", ".join(each["aliases"]),
            short(each["lineage"]["commit"]),
            each["lineage"]["change"],
            each["run_id"][:8],
            each["created_at"][:19],
        ]
        for each in shown["versions"]
    ]
    table(["version", "state", "aliases", "commit", "change", "run", "made"], rows, empty="no versions")


@app.command()
def alias(
    model: Model,
    name: Annotated[str, typer.Argument(help="Alias: champion.")],
    version: Annotated[int, typer.Argument(help="Version.")],
    as_json: Json = False,
) -> None:
    """Move an alias to a version."""
    made = connect().post(f"/models/{model}/aliases", alias=name, version=version)
    if as_json:
        print_json(made)
    else:
        say(f"{model}@{name} is v{version}")
