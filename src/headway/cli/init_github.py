"""`headway init --github`: make this server known at GitHub, as an App or by a token, and let it begin to listen."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from headway.cli.client import server_url
from headway.cli.find_server import data_folder, make_usable, running_server
from headway.cli.output import note, print_json, say
from headway.cli.server import start_again
from headway.clock import SystemClock
from headway.errors import Conflict, HeadwayError, Refused, UsageError
from headway.forges.github.api import GitHubApi
from headway.forges.github.budget import Budget
from headway.forges.github.config import PUBLIC_API, GitHubConfig, read_config, save_config
from headway.forges.github.manifest import check_api
from headway.forges.github.tokens import Access, web_base
from headway.logs import configure, hide


def set_up_github(
    *, api: str, by_token: bool, organisation: str, name: str, port: int, force: bool, as_json: bool
) -> None:
    """Make the App, or keep a token; then let a running server take it up."""
    configure(process="terminal")
    if server_url():
        raise UsageError(
            "keys are set up on the machine of the server, and HEADWAY_URL names another one",
            cause="they must never travel",
            hint="unset HEADWAY_URL, on the server's own machine",
        )
    data = data_folder()
    make_usable(data)
    folder = data / "github"
    base = check_api(api or os.environ.get("HEADWAY_GITHUB_API", "") or PUBLIC_API)
    _check_free(folder, force=force)
    if by_token:
        config, who = _by_token(base, folder)
        said = {"api": config.api, "user": who}
    else:
        said = _by_app(base, folder, organisation=organisation, name=name, port=port)
    is_running = running_server(data) is not None
    if is_running:
        start_again(data)
    if as_json:
        print_json({**said, "server": "started again" if is_running else "none runs"})
        return
    say(f"Keys are kept in {folder / 'app.json'}, for this user's eyes only.")
    note(
        "The server was started again and has them now."
        if is_running
        else "The next verb starts a server that has them."
    )
    if said.get("install"):
        note(f"Next: choose the repositories at {said['install']}")
    note("Then: headway repo add OWNER/REPO && headway doctor")


def _check_free(folder: Path, *, force: bool) -> None:
    known = read_config(folder, {})
    if known.is_set_up and not force:
        who = f"App {known.app.slug}" if known.app else "a token"
        raise Conflict(
            f"GitHub is set up here already: {who} at {known.api}",
            cause=f"{folder / 'app.json'} holds its keys, and they cannot be had again",
            hint="headway doctor tells whether it works; headway init --github --force replaces it",
        )


def _by_token(base: str, folder: Path) -> tuple[GitHubConfig, str]:
    """Keep a person's token, read from standard input, once GitHub has said whose it is."""
    if sys.stdin.isatty():
        import getpass

        token = getpass.getpass(f"token for {web_base(base)}: ").strip()
    else:
        token = sys.stdin.readline().strip()
    if not token:
        raise UsageError("no token came in", hint="printf %s TOKEN | headway init --github --token")
    hide(token)
    clock = SystemClock()
    api = GitHubApi(base, clock)
    try:
        who = str(api.get("/user", Access("person", Budget(clock), token)).data["login"])
    except Refused as error:
        raise Refused("GitHub does not take this token", cause=error.cause, hint="make a new one") from None
    finally:
        api.close()
    config = GitHubConfig(api=base, token=token, webhook_secrets=())
    save_config(folder, config)
    return config, who


def _by_app(base: str, folder: Path, *, organisation: str, name: str, port: int) -> dict[str, str]:
    from headway.cli.setup_door import SetupDoor

    public = os.environ.get("HEADWAY_PUBLIC_URL", "").strip()
    wanted = name or f"headway-{os.uname().nodename}"[:34]
    try:
        door = SetupDoor(
            api=base,
            name=wanted,
            public_url=public,
            organisation=organisation,
            folder=folder,
            clock=SystemClock(),
            port=port,
        )
    except OSError as error:
        raise HeadwayError(f"port {port} of loopback cannot be used", cause=error.strerror or str(error)) from None
    try:
        note(f"Open this on this machine, once and within ten minutes:\n\n    {door.url}\n")
        note(f"From another machine, first: ssh -L {door.port}:127.0.0.1:{door.port} {os.uname().nodename}")
        if not public:
            note("HEADWAY_PUBLIC_URL is not set: the App gets no webhook, and repositories are looked at every 15 s.")
        made = door.wait()
    finally:
        door.close()
    app = made.config.app
    return {"api": base, "app": app.slug if app else "", "install": made.install}
