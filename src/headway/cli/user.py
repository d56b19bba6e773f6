"""`headway user`: who may come in, and what they may do where."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from headway.cli.client import connect
from headway.cli.options import Json, Yes
from headway.cli.output import note, print_json, say, table, when
from headway.errors import UsageError

app = typer.Typer(help="People: a server-wide role, and roles in single projects.")

ROLES = "none, viewer, contributor, maintainer or admin"

Name = Annotated[str, typer.Argument(help="The user's name.")]
ProjectName = Annotated[str, typer.Argument(help="The project, as `headway project list` shows it.", metavar="PROJECT")]


@app.command()
def add(
    name: Name,
    role: Annotated[
        str, typer.Option(help=f"Server-wide role: {ROLES}. It counts in every project without a role of its own.")
    ] = "viewer",
    as_json: Json = False,
) -> None:
    """Take somebody in; they log in with a token, there are no passwords."""
    user = connect().post("/users", name=name, role=role)
    if as_json:
        print_json(user)
        return
    say(f"added {user['name']} ({user['role']} everywhere)")
    note(f"Next: headway token create --user {name}")


@app.command("list")
def list_users(as_json: Json = False) -> None:
    """List everybody with their roles."""
    users = connect().get("/users")
    if as_json:
        print_json(users)
        return
    rows = [
        (user["name"], user["role"], _roles(user), "disabled" if user["disabled"] else "", when(user["created_at"]))
        for user in users
    ]
    table(("user", "everywhere", "in projects", "state", "since"), rows, empty="nobody yet: headway user add NAME")


@app.command()
def show(name: Name, as_json: Json = False) -> None:
    """Show somebody's roles and tokens."""
    user = connect().get(_path(name))
    if as_json:
        print_json(user)
        return
    say(f"{user['name']}  {user['role']} everywhere{'  (disabled)' if user['disabled'] else ''}")
    for project, role in user["projects"].items():
        say(f"  {project}: {role}")
    for token in user["tokens"]:
        ends = f"{'expired' if token['expired'] else 'until'} {when(token['expires_at'])} UTC"
        said = [token["label"] or "without a label", ends if token["expires_at"] else "does not expire"]
        used = f"last used {when(token['last_used_at'])} UTC" if token["last_used_at"] else "never used"
        say(f"  token {token['id']}  {', '.join([*said, used])}")


@app.command()
def role(name: Name, role: Annotated[str, typer.Argument(help=ROLES, metavar="ROLE")], as_json: Json = False) -> None:
    """Give somebody another server-wide role."""
    user = connect().put(_path(name), role=role)
    if as_json:
        print_json(user)
    else:
        say(f"{user['name']} is {user['role']} everywhere")


@app.command()
def disable(name: Name, yes: Yes = False, as_json: Json = False) -> None:
    """Shut somebody out: every token and session of theirs stops working; nothing is forgotten."""
    if not yes:
        raise UsageError(f"this shuts {name} out at once", hint=f"headway user disable {name} --yes")
    _set_disabled(name, disabled=True, as_json=as_json)


@app.command()
def enable(name: Name, as_json: Json = False) -> None:
    """Let somebody in again: tokens that were neither revoked nor have expired work as before."""
    _set_disabled(name, disabled=False, as_json=as_json)


def _set_disabled(name: str, *, disabled: bool, as_json: bool) -> None:
    user = connect().put(_path(name), disabled=disabled)
    if as_json:
        print_json(user)
    else:
        say(f"{'disabled' if disabled else 'enabled'} {user['name']}")


@app.command()
def grant(
    name: Name,
    project: ProjectName,
    role: Annotated[str, typer.Argument(help=f"{ROLES}; none shuts out of this project.", metavar="ROLE")],
    as_json: Json = False,
) -> None:
    """Give a role in one project, in place of the server-wide one."""
    user = connect().put(_in_project(name, project), role=role)
    if as_json:
        print_json(user)
    else:
        say(f"{user['name']} is {user['projects'][user['project']]} in {user['project']}")


@app.command()
def revoke(name: Name, project: ProjectName, as_json: Json = False) -> None:
    """Take a role in one project away: the server-wide role counts there again."""
    user = connect().delete(_in_project(name, project))
    if as_json:
        print_json(user)
    else:
        say(f"{user['name']} is {user['role']} in {user['project']}, as everywhere")


def _path(name: str) -> str:
    return f"/users/{quote(name, safe='')}"


def _in_project(name: str, project: str) -> str:
    return f"{_path(name)}/projects/{quote(project, safe='')}"


def _roles(user: dict[str, Any]) -> str:
    return ", ".join(f"{project}: {role}" for project, role in user["projects"].items())
