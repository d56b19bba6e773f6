"""`headway change`: pull requests of a plain git repository."""

from __future__ import annotations

from typing import Annotated

import typer

from headway.cli.client import connect
from headway.cli.here import here
from headway.cli.output import note, print_json, say, short, table
from headway.cli.work import Json
from headway.errors import UsageError

app = typer.Typer(help="Changes of the local forge: proposed, discussed, merged.", no_args_is_help=True)

Number = Annotated[int, typer.Argument(help="Number of the change.")]


@app.command("open")
def open_change(
    branch: Annotated[str | None, typer.Argument(help="Branch to propose; this one when left out.")] = None,
    base: Annotated[str, typer.Option(help="Branch to propose it to.")] = "",
    title: Annotated[str, typer.Option(help="Title; the last commit's subject when left out.")] = "",
    as_json: Json = False,
) -> None:
    """Propose a branch."""
    client = connect()
    at = here(client)
    head = branch or at.branch
    if not head:
        raise UsageError("no branch is checked out", hint="headway change open BRANCH")
    made = client.post(f"/repos/{at.repo}/changes", head=head, base=base, title=title)
    if as_json:
        print_json(made)
        return
    say(f"change {made['number']}: {made['title']}  ({made['head_ref']} to {made['base_ref']})")
    note(f"Next: headway change comment {made['number']} /train")


@app.command("list")
def list_changes(
    state: Annotated[str, typer.Option(help="open, merged, closed or all.")] = "open", as_json: Json = False
) -> None:
    """List changes, newest first."""
    client = connect()
    found = client.get(f"/repos/{here(client).repo}/changes", state=state)
    if as_json:
        print_json(found)
        return
    rows = [
        [each["number"], each["state"], each["title"], each["head_ref"], short(each["head_sha"]), each["author"]]
        for each in found
    ]
    columns = ["number", "state", "title", "branch", "head", "author"]
    table(columns, rows, empty="no changes: headway change open BRANCH")


@app.command()
def show(number: Number, as_json: Json = False) -> None:
    """Show a change with its statuses and comments."""
    client = connect()
    shown = client.get(f"/repos/{here(client).repo}/changes/{number}")
    if as_json:
        print_json(shown)
        return
    one = shown["change"]
    say(f"change {one['number']} ({one['state']}): {one['title']}  {one['head_ref']} at {short(one['head_sha'])}")
    for status in shown["statuses"]:
        say(f"  {status['context']}: {status['state']}  {status['title']}")
    for comment in shown["comments"]:
        signs = " ".join(shown["reactions"].get(comment["id"], ()))
        say(f"\n@{comment['author']} {comment['created_at'][:19]} {signs}")
        say("\n".join(f"  {line}" for line in comment["body"].splitlines()))


@app.command()
def comment(
    number: Number,
    words: Annotated[list[str], typer.Argument(help="The comment: /train lr=0.1")],
    as_json: Json = False,
) -> None:
    """Write a comment; a line that starts with a command starts work."""
    client = connect()
    made = client.post(f"/repos/{here(client).repo}/changes/{number}/comments", body=" ".join(words))
    if as_json:
        print_json(made)
    else:
        say(f"commented on change {number}")
        note(f"Next: headway report --change {number}")


@app.command()
def merge(
    number: Number,
    method: Annotated[str, typer.Option(help="merge, squash or rebase.")] = "merge",
    as_json: Json = False,
) -> None:
    """Merge a change whose required statuses are green at its head."""
    client = connect()
    done = client.post(f"/repos/{here(client).repo}/changes/{number}/merge", method=method)
    if as_json:
        print_json(done)
        return
    say(f"merged change {number}")
    for name, value in done.items():
        if value and name != "change":
            note(f"  {name}: {value}")


@app.command()
def close(number: Number, as_json: Json = False) -> None:
    """Close a change without merging it."""
    client = connect()
    done = client.post(f"/repos/{here(client).repo}/changes/{number}/close")
    if as_json:
        print_json(done)
    else:
        say(f"closed change {number}")
