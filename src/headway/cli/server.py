"""`headway server`: start, stop, look after."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Annotated

import typer

from headway.cli.client import connect, data_folder, running_server
from headway.cli.output import note, print_json, say
from headway.cli.work import Json
from headway.errors import HeadwayError, Unreachable, UsageError

app = typer.Typer(help="The server of this data directory.", no_args_is_help=True)

STOP_SECONDS = 20.0


@app.command()
def start(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.")] = None,
    auth: Annotated[str | None, typer.Option(help="token, or none (loopback only).")] = None,
) -> None:
    """Run the server here until it is interrupted."""
    from dataclasses import replace

    from headway.auth.first_start import FILE_NAME
    from headway.server import LOOPBACK, serve
    from headway.settings import Settings

    settings = Settings.from_environment()
    if host is not None:
        settings = replace(settings, host=host)
    if port is not None:
        settings = replace(settings, port=port)
    if auth is not None:
        settings = replace(settings, auth=auth)
    if settings.host not in LOOPBACK and not settings.public_url.startswith("https://"):
        raise UsageError(
            f"listening on {settings.host} would send tokens in the clear",
            cause="anything but loopback needs a proxy that speaks TLS",
            hint="set HEADWAY_PUBLIC_URL=https://... to the proxy's address, or listen on 127.0.0.1",
        )
    if settings.auth == "none":
        note("auth is off: everybody on this machine is an administrator of this server")
    note(f"data in {settings.data}; login token in {settings.data / FILE_NAME}; stop with Ctrl-C")
    serve(settings)


@app.command()
def status(as_json: Json = False) -> None:
    """Say whether a server runs on this data directory, and where."""
    found = running_server(data_folder())
    if as_json:
        print_json(found or {"running": False})
    elif found is None:
        say(f"no server runs on {data_folder()}")
    else:
        say(f"{found['url']}  process {found['pid']}  version {found['version']}  data {data_folder()}")
    if found is None:
        raise typer.Exit(code=6)


@app.command()
def stop() -> None:
    """Stop the server; trainings and endpoints go on."""
    found = running_server(data_folder())
    if found is None:
        raise Unreachable(f"no server runs on {data_folder()}")
    os.kill(int(found["pid"]), signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while running_server(data_folder()) is not None:
        if time.monotonic() > deadline:
            raise HeadwayError("the server does not stop", hint=f"kill -9 {found['pid']} loses nothing acknowledged")
        time.sleep(0.1)
    say("stopped; what was running goes on and is found again at the next start")


@app.command()
def backup(folder: Annotated[Path, typer.Argument(help="A new folder.")], as_json: Json = False) -> None:
    """Copy database and files while everything goes on."""
    made = connect().post("/backup", path=str(folder.absolute()))
    if as_json:
        print_json(made)
    else:
        say(f"{made['files']} files, {made['size'] / 1e6:.1f} MB in {made['path']}")


@app.command()
def restore(folder: Annotated[Path, typer.Argument(help="A backup.")], as_json: Json = False) -> None:
    """Lay a backup out as this data directory, which must be new."""
    from headway.db.backup import restore as lay_out

    made = lay_out(folder, data_folder())
    if as_json:
        print_json(made)
    else:
        say(f"{made.files} files, {made.size / 1e6:.1f} MB in {made.path}; headway server start")


@app.command()
def clean(as_json: Json = False) -> None:
    """Free what nothing refers to: environments, old attempts, build folders."""
    freed = connect().post("/clean")
    if as_json:
        print_json(freed)
    else:
        say("  ".join(f"{name} {size / 1e6:.1f} MB" for name, size in freed.items()) + " freed")
