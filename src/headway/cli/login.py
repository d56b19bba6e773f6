"""`headway login`: a browser, or a token for a server elsewhere."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from headway.cli.client import Client, connect, server_url
from headway.cli.credentials import credentials_file, forget_token, keep_token, kept_token
from headway.cli.find_server import data_folder
from headway.cli.options import Json
from headway.cli.output import note, print_json, say
from headway.errors import LoginNeeded, UsageError

app = typer.Typer(help="Log in.", invoke_without_command=True)


@app.callback()
def login(
    context: typer.Context,
    token_stdin: Annotated[
        bool, typer.Option("--token-stdin", help="Keep the token that comes on standard input for HEADWAY_URL.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print the address that logs a browser in; on this machine the terminal is logged in already.

    For a server elsewhere: `printf %s TOKEN | HEADWAY_URL=https://... headway login --token-stdin`.
    """
    if context.invoked_subcommand is not None:
        return
    if token_stdin:
        _keep(as_json=as_json)
        return
    from headway.auth.first_start import read_first_token

    client = connect()
    user = _me(client)["user"]
    if as_json:
        print_json({"url": client.url, "user": user})
        return
    if not client.is_local:
        say(f"logged in to {client.url} as {user}")
        return
    say(f"{client.url}/login#token={read_first_token(data_folder()) or ''}")
    note("open it in a browser; it carries your token: do not pass it on")


def _keep(*, as_json: bool) -> None:
    url = server_url()
    if not url:
        raise UsageError(
            "HEADWAY_URL names no server", hint="printf %s TOKEN | HEADWAY_URL=https://... headway login --token-stdin"
        )
    if sys.stdin.isatty():
        import getpass

        token = getpass.getpass(f"token for {url}: ").strip()
    else:
        token = sys.stdin.read().strip()
    if not token:
        raise UsageError("standard input holds no token", hint="printf %s TOKEN | headway login --token-stdin")
    me = _me(Client(url, token, is_local=False))  # kept only when it works
    keep_token(url, token)
    if as_json:
        print_json({"url": url, "user": me["user"], "role": me["role"]})
    else:
        say(f"logged in to {url} as {me['user']} ({me['role']})")


def _me(client: Client) -> dict[str, Any]:
    return dict(client.get("/server"))


@app.command()
def status(as_json: Json = False) -> None:
    """Say who you are to which server, and where the token came from; exit 4 when it does not work."""
    client = connect()
    url = server_url()
    if os.environ.get("HEADWAY_TOKEN"):
        source = "HEADWAY_TOKEN"
    elif url:
        source = str(credentials_file()) if kept_token(url) else "none"
    else:
        source = str(data_folder() / "admin-token")
    me = _me(client)
    if as_json:
        shown = {"user": me["user"], "role": me["role"], "projects": me["projects"]}
        print_json({"url": client.url, **shown, "token_from": source})
    else:
        say(f"{client.url}  {me['user']} ({me['role']})  token from {source}")
        for name, role in sorted(me["projects"].items()):
            say(f"  in {name}: {role}")


@app.command()
def out(as_json: Json = False) -> None:
    """Forget the token kept for HEADWAY_URL."""
    url = server_url()
    if not url:
        raise UsageError(
            "there is no login to end on this machine",
            cause=f"who may read {data_folder() / 'admin-token'} is logged in",
            hint="HEADWAY_URL=https://... headway login out",
        )
    if not forget_token(url):
        raise LoginNeeded(f"no token is kept for {url}", cause=f"looked in {credentials_file()}")
    if as_json:
        print_json({"url": url, "logged_out": True})
    else:
        say(f"logged out of {url}")
