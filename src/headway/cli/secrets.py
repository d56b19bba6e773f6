"""`headway secrets`: names in headway.yaml, values here."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from headway.cli.client import connect
from headway.cli.here import here
from headway.cli.output import print_json, say
from headway.cli.work import Json
from headway.errors import UsageError

app = typer.Typer(help="Secrets of this repository; values go in and never come out.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name, as headway.yaml lists it.")]


@app.command("set")
def set_secret(name: Name) -> None:
    """Set a secret; the value comes from standard input."""
    if sys.stdin.isatty():
        import getpass

        value = getpass.getpass(f"value of {name}: ")
    else:
        value = sys.stdin.read().rstrip("\n")
    if not value:
        raise UsageError("an empty value is no secret", hint=f"printf %s value | headway secrets set {name}")
    client = connect()
    client.put(f"/repos/{here(client).repo}/secrets/{name}", value=value)
    say(f"set {name}")


@app.command("list")
def list_secrets(as_json: Json = False) -> None:
    """List the names."""
    client = connect()
    names = client.get(f"/repos/{here(client).repo}/secrets")
    if as_json:
        print_json(names)
    else:
        say("\n".join(names) or "no secrets: printf %s value | headway secrets set NAME")


@app.command()
def remove(name: Name, yes: Annotated[bool, typer.Option("--yes", help="Do it.")] = False) -> None:
    """Forget a secret."""
    if not yes:
        raise UsageError(f"this forgets {name} for good", hint=f"headway secrets remove {name} --yes")
    client = connect()
    client.delete(f"/repos/{here(client).repo}/secrets/{name}")
    say(f"removed {name}")
