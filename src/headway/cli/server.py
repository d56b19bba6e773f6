"""`headway server`: start, stop, look after."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from headway.cli.client import connect, server_url
from headway.cli.find_server import announced, damaged, data_folder, is_held, lost, make_usable, running_server
from headway.cli.options import Json, Yes
from headway.cli.output import megabytes, note, print_json, say
from headway.errors import Conflict, HeadwayError, StorageFull, Unreachable, UsageError

app = typer.Typer(help="The server of this data directory.")

STOP_SECONDS = 30.0
_FULL = 28  # errno.ENOSPC


@app.command()
def start(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = None,
    auth: Annotated[str | None, typer.Option(help="token, or none (loopback only).")] = None,
) -> None:
    """Run the server here until it is interrupted."""
    from dataclasses import replace

    from headway.settings import LOOPBACK, Settings

    settings = Settings.from_environment()
    given: dict[str, Any] = {"host": host, "port": port, "auth": auth}
    settings = replace(settings, **{name: value for name, value in given.items() if value is not None})
    settings = replace(settings, data=settings.data.absolute())
    if settings.auth not in ("token", "none"):
        raise UsageError(f"auth {settings.auth!r} is not known", hint="--auth token, or --auth none")
    if settings.host not in LOOPBACK and not settings.public_url.startswith("https://"):
        raise UsageError(
            f"listening on {settings.host} would send tokens in the clear",
            cause="anything but loopback needs a proxy that speaks TLS",
            hint="set HEADWAY_PUBLIC_URL=https://... to the proxy's address, or listen on 127.0.0.1",
        )
    if settings.auth == "none":
        note("auth is off: everybody on this machine is an administrator of this server")
    _serve(settings)


def _serve(settings: Any) -> None:
    from headway.worker_child import WorkerChild

    make_usable(settings.data)
    _let_lookers_pass(settings.data)
    if is_held(settings.data):
        _serve_with(settings, None)  # which says that another server runs here
        return
    if not settings.database:
        _check_readable(settings.data)
    # Before anything heavy is imported: both start at the same time, and what runs is adopted the sooner.
    worker = WorkerChild(settings)
    if not settings.database:  # else another server may turn out to write to it
        worker.start()
    try:
        _serve_with(settings, worker)
    finally:
        worker.stop()


def _serve_with(settings: Any, worker: Any) -> None:
    gc.disable()  # nothing of what is imported goes away again; `serve` enables it
    from sqlalchemy.exc import DatabaseError

    from headway.server import serve

    def tell(url: str) -> None:
        note(f"listening on {url}, data in {settings.data}; log in: headway login; stop with Ctrl-C")

    try:
        is_wanted_again = serve(settings, worker, on_listening=tell)
    except OSError as error:
        if error.errno == _FULL:
            raise StorageFull(f"the disk of {settings.data} is full", hint="free space, then the same again") from None
        raise UsageError(
            f"{settings.data} cannot be used as data directory",
            cause=error.strerror or str(error),
            hint="set HEADWAY_DATA to a folder that you may write to",
        ) from None
    except DatabaseError as error:
        if not any(sign in str(error) for sign in ("not a database", "malformed")):
            raise
        raise damaged(settings.data) from None
    if is_wanted_again:
        # The same process, command line and environment: whoever watches over us sees no end.
        os.execv(sys.executable, [sys.executable, "-m", "headway.cli.main", *sys.argv[1:]])  # noqa: S606  # ourselves


def _check_readable(data: Path) -> None:
    """Look before the worker is started too: one error is said, not two at once."""
    import sqlite3
    from contextlib import closing

    path = data / "headway.db"
    if not path.is_file():
        return
    try:
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA schema_version")
    except sqlite3.DatabaseError as error:
        if "not a database" in str(error) or "malformed" in str(error):
            raise damaged(data) from None


def _let_lookers_pass(data: Path) -> None:
    """A terminal that looks whether a server runs holds the lock for a moment; that is no other server."""
    for _ in range(20):
        if announced(data) is not None or not is_held(data):
            return
        time.sleep(0.05)


@app.command()
def status(as_json: Json = False) -> None:
    """Say whether a server runs on this data directory, and where; exit 6 when none does."""
    if server_url():
        _remote_status(as_json=as_json)
        return
    data = data_folder()
    found = running_server(data)
    if as_json:
        print_json({"running": found is not None, **(found or {}), "data": str(data)})
    elif found is None:
        say(f"no server runs on {data}")
        note("Next: any verb starts one that stops when idle; headway server start runs one here")
    else:
        say(f"{found['url']}  process {found['pid']}  version {found['version']}  data {data}")
    if found is None:
        raise typer.Exit(code=6)


def _remote_status(*, as_json: bool) -> None:
    client = connect(start=False)
    about = client.get("/server")
    if as_json:
        print_json({"running": True, "url": client.url, "version": about["version"], "user": about["user"]})
    else:
        say(f"{client.url}  version {about['version']}  {about['user']} ({about['role']})")


@app.command()
def stop(as_json: Json = False) -> None:
    """Stop the server of this data directory; trainings and endpoints go on."""
    data = data_folder()
    found = running_server(data)
    if found is None:
        raise lost(data) if is_held(data) else Unreachable(f"no server runs on {data}")
    try:
        os.kill(int(found["pid"]), signal.SIGTERM)
    except ProcessLookupError:
        pass  # it was faster
    except PermissionError:
        raise HeadwayError(
            f"process {found['pid']} belongs to somebody else", hint="ask whoever started it to stop it"
        ) from None
    deadline = time.monotonic() + STOP_SECONDS
    while is_held(data):
        if time.monotonic() > deadline:
            raise HeadwayError("the server does not stop", hint=f"kill -9 {found['pid']} loses nothing acknowledged")
        time.sleep(0.1)
    if as_json:
        print_json({"stopped": found["pid"]})
    else:
        say("stopped; what was running goes on and is found again at the next start")


@app.command()
def restart(as_json: Json = False) -> None:
    """Let the running server read its configuration again; trainings and endpoints go on."""
    data = data_folder()
    if running_server(data) is None:
        raise Unreachable(f"no server runs on {data}", hint="headway server start")
    found = start_again(data)
    if as_json:
        print_json(found)
    else:
        say(f"started again: {found['url']}  process {found['pid']}")


def start_again(data: Path) -> dict[str, Any]:
    """Tell the server of a data directory to begin anew in its place, and return its new announcement.

    Raises:
        HeadwayError: it did not come back.
    """
    found = running_server(data) or {}
    before = _announced_at(data)
    try:
        os.kill(int(found["pid"]), signal.SIGUSR1)
    except (KeyError, ProcessLookupError, PermissionError) as error:
        raise HeadwayError("the server cannot be told", cause=str(error), hint="headway server stop") from None
    deadline = time.monotonic() + 2 * STOP_SECONDS
    while time.monotonic() < deadline:
        again = running_server(data)
        if again is not None and _announced_at(data) not in (0, before):
            return again
        time.sleep(0.1)
    raise HeadwayError("the server did not come back", hint="headway server status, and its log in server.log")


def _announced_at(data: Path) -> int:
    try:
        return (data / "server.json").stat().st_mtime_ns
    except OSError:
        return 0


@app.command()
def backup(folder: Annotated[Path, typer.Argument(help="A new folder.")], as_json: Json = False) -> None:
    """Copy database and files while everything goes on."""
    made = connect().post("/backup", path=str(folder.absolute()))
    if as_json:
        print_json(made)
    else:
        say(f"{made['files']} files, {megabytes(made['size'])} in {made['path']}")
        note(f"Next, where it is needed: HEADWAY_DATA=NEW-FOLDER headway server restore {made['path']}")


@app.command()
def restore(folder: Annotated[Path, typer.Argument(help="A backup.")], as_json: Json = False) -> None:
    """Lay a backup out as this data directory, which must be new."""
    from headway.db.backup import restore as lay_out

    data = data_folder()
    if is_held(data):
        raise Conflict(f"a server runs on {data}", hint="headway server stop, or choose another HEADWAY_DATA")
    try:
        made = lay_out(folder.absolute(), data)
    except OSError as error:
        raise HeadwayError(f"the backup cannot be laid out in {data}", cause=error.strerror or str(error)) from None
    if as_json:
        print_json(made)
    else:
        say(f"{made.files} files, {megabytes(made.size)} in {made.path}")
        note("Next: headway server start")


@app.command()
def clean(
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Free what nothing refers to: environments, old attempts, build folders. No result is lost."""
    del yes  # nothing that is referred to is touched, so nothing has to be confirmed
    freed = connect().post("/clean")
    if as_json:
        print_json(freed)
    else:
        say("freed " + ", ".join(f"{name} {megabytes(size)}" for name, size in freed.items()))
