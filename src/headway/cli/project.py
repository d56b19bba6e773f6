"""`headway project`: what belongs together, and who sees it."""

from __future__ import annotations

from typing import Annotated

import typer

from headway.cli.client import connect
from headway.cli.options import Json
from headway.cli.output import note, print_json, say, table

app = typer.Typer(help="Projects: each repository is one; others hold what is made by hand.")


@app.command("list")
def list_projects(as_json: Json = False) -> None:
    """List the projects that you may see, with your role in each."""
    projects = connect().get("/projects")
    if as_json:
        print_json(projects)
        return
    rows = [(each["name"], each["role"], ", ".join(each["repos"])) for each in projects]
    table(("project", "your role", "repositories"), rows, empty="no projects: headway project add NAME")


@app.command()
def add(name: Annotated[str, typer.Argument(help="The project's name.")], as_json: Json = False) -> None:
    """Make a project without a repository: for experiments and models that are made by hand."""
    made = connect().post("/projects", name=name)
    if as_json:
        print_json(made)
        return
    say(f"added {made['name']}")
    note(f"Next: headway user grant NAME {made['name']} contributor; headway token create --project {made['name']}")
