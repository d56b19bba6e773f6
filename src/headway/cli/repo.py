"""`headway repo`: the repositories that a server listens to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from headway.cli.client import Client, connect
from headway.cli.options import Json, Yes
from headway.cli.output import note, print_json, say, table
from headway.errors import NotFound, UsageError

app = typer.Typer(help="Repositories that this server listens to.")

Which = Annotated[str, typer.Argument(help="OWNER/REPO at GitHub, or a path of this machine.", metavar="REPO")]


@app.command()
def add(repo: Which, as_json: Json = False) -> None:
    """Listen to a repository: OWNER/REPO at GitHub, or a folder of this machine."""
    folder = Path(repo).expanduser()
    is_place = repo.startswith((".", "/", "~")) or (folder / ".git").exists()
    if not is_place and repo.count("/") != 1:
        raise UsageError(f"{repo!r} is neither OWNER/REPO nor a folder with a repository", hint="headway repo add .")
    found = connect().post("/repos", **({"path": str(folder.resolve())} if is_place else {"name": repo}))
    if as_json:
        print_json(found)
        return
    say(f"{found['name']} ({found['forge']}), default branch {found['default_branch']}")
    if found["forge"] == "github":
        note(f"Next: headway doctor, then write /train under a pull request of {found['name']}")


@app.command("list")
def list_repos(as_json: Json = False) -> None:
    """List the repositories."""
    found = connect().get("/repos")
    if as_json:
        print_json(found)
        return
    rows = [[each["name"], each["forge"], each["default_branch"], each["location"]] for each in found]
    table(["repository", "forge", "branch", "location"], rows, empty="no repositories yet: headway repo add OWNER/REPO")


@app.command()
def remove(repo: Which, yes: Yes = False, as_json: Json = False) -> None:
    """Listen to a repository no more; its jobs, runs and models stay."""
    client = connect()
    found = find_repo(client, repo)
    if not yes:
        raise UsageError(
            f"this stops listening to {found['name']}; its jobs, runs and models stay",
            hint=f"headway repo remove {repo} --yes",
        )
    client.delete(f"/repos/{found['id']}")
    if as_json:
        print_json({"id": found["id"], "removed": True})
    else:
        say(f"{found['name']} is not listened to any more")


def find_repo(client: Client, name: str) -> dict[str, Any]:
    """Return the repository that is meant by a name, a place or an id.

    Raises:
        NotFound: there is none.
    """
    place = str(Path(name).expanduser().resolve())
    for each in client.get("/repos"):
        if name == each["id"] or name.lower() == each["name"].lower() or place == each["location"]:
            return dict(each)
    raise NotFound(f"no repository {name!r} is listened to", hint="headway repo list")
