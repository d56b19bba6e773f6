"""`headway secrets`: names in headway.yaml, values here."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from headway.cli.client import connect
from headway.cli.here import here
from headway.cli.options import Json, Yes
from headway.cli.output import note, print_json, say
from headway.errors import NotFound, UsageError

app = typer.Typer(help="Secrets of this repository; values go in and never come out.")

Name = Annotated[str, typer.Argument(help="Name, as headway.yaml lists it.")]


@app.command("set")
def set_secret(name: Name, as_json: Json = False) -> None:
    """Set a secret; the value comes from standard input, never from the command line."""
    client = connect()
    repo = here(client).repo
    if sys.stdin.isatty():
        import getpass

        value = getpass.getpass(f"value of {name}: ")
    else:
        value = sys.stdin.read().rstrip("\n")
    if not value:
        raise UsageError("an empty value is no secret", hint=f"printf %s VALUE | headway secrets set {name}")
    client.put(f"/repos/{repo}/secrets/{name}", value=value)
    if as_json:
        print_json({"name": name})
        return
    say(f"set {name}")
    note(f"Next: list it in headway.yaml: env: {{secrets: [{name}]}}")


@app.command("list")
def list_secrets(as_json: Json = False) -> None:
    """List the names."""
    client = connect()
    names = client.get(f"/repos/{here(client).repo}/secrets")
    if as_json:
        print_json(names)
        return
    if not names:
        note("no secrets: printf %s VALUE | headway secrets set NAME")
    for name in names:
        say(name)


@app.command()
def remove(name: Name, yes: Yes = False, as_json: Json = False) -> None:
    """Forget a secret."""
    if not yes:
        raise UsageError(f"this forgets {name} for good", hint=f"headway secrets remove {name} --yes")
    client = connect()
    try:
        client.delete(f"/repos/{here(client).repo}/secrets/{name}")
    except NotFound as error:
        if "secret" not in error.message:
            raise
        raise NotFound(f"there is no secret {name}", hint="headway secrets list") from None
    if as_json:
        print_json({"name": name, "removed": True})
    else:
        say(f"removed {name}")
