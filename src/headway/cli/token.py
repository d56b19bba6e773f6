"""`headway token`: what lets a program or a browser in; shown once, kept as a hash."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from headway.cli.client import connect
from headway.cli.options import Json
from headway.cli.output import note, print_json, say, table, when
from headway.errors import UsageError

app = typer.Typer(help="Tokens: MLFLOW_TRACKING_TOKEN, HEADWAY_TOKEN, or the password of basic auth.")

_SPAN = re.compile(r"([0-9]{1,5})([hdw])")
_SECONDS = {"h": 3600, "d": 86_400, "w": 604_800}


@app.command()
def create(
    user: Annotated[str | None, typer.Option(help="For somebody else; administrators only.")] = None,
    project: Annotated[str | None, typer.Option(help="For one project: it sees nothing else.")] = None,
    role: Annotated[str | None, typer.Option(help="At most this role, whatever the user may do.")] = None,
    expires: Annotated[str, typer.Option(help="After 12h, 30d or 8w; or never.")] = "90d",
    label: Annotated[str, typer.Option(help="What it is for, to know it again in the list.")] = "",
    as_json: Json = False,
) -> None:
    """Make a token and print it: the only time that it can be seen."""
    made = connect().post("/tokens", user=user, project=project, role=role, expires_in=_span(expires), label=label)
    if as_json:
        print_json(made)
        return
    say(made["token"])
    where = f" in {made['project']}" if made["project"] else ""
    end = f"until {when(made['expires_at'])} UTC" if made["expires_at"] else "without end"
    note(f"{made['user']}, {made['role']}{where}, {end}. It is not shown again.")
    note("Next: export MLFLOW_TRACKING_TOKEN=... (or, for basic auth, MLFLOW_TRACKING_PASSWORD and any user name)")


def _span(text: str) -> int | None:
    if text == "never":
        return None
    found = _SPAN.fullmatch(text)
    if found is None or int(found[1]) == 0:
        raise UsageError(f"--expires {text!r} is not a time", hint="--expires 12h, 30d or 8w; or --expires never")
    return int(found[1]) * _SECONDS[found[2]]


@app.command("list")
def list_tokens(as_json: Json = False) -> None:
    """List your tokens, as an administrator everybody's: what each may do, when it ends, when it was last used."""
    tokens = connect().get("/tokens")
    if as_json:
        print_json(tokens)
        return
    rows = [
        (
            token["id"] + (" (this one)" if token["is_this"] else ""),
            token["user"],
            token["role"],
            token["project"] or "all",
            ("expired " if token["expired"] else "") + (when(token["expires_at"]) or "never"),
            when(token["last_used_at"]) or "never",
            token["label"],
        )
        for token in tokens
    ]
    columns = ("token", "user", "at most", "project", "expires", "last used", "label")
    table(columns, rows, empty="no tokens: headway token create")


@app.command()
def revoke(
    token: Annotated[str, typer.Argument(help="The token's id, as the list shows it.")], as_json: Json = False
) -> None:
    """End a token at once, with the browsers that logged in by it."""
    # Somebody may paste the whole token: its id is the middle of it, and the secret must not travel on.
    token_id = token.split("_")[1] if token.startswith("hw_") and token.count("_") > 1 else token
    ended = connect().delete(f"/tokens/{token_id}")
    if as_json:
        print_json(ended)
    else:
        say(f"revoked {ended['id']}")
