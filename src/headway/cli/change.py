"""`headway change`: pull requests of a plain git repository."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from headway.cli.client import connect
from headway.cli.here import here
from headway.cli.options import Json
from headway.cli.output import clean_line, in_terminal, note, print_json, say, short, table, when
from headway.errors import UsageError

app = typer.Typer(help="Changes of the local forge: proposed, discussed, merged.")

Number = Annotated[int, typer.Argument(help="Number of the change.", min=1)]

_MARKER = re.compile(r"<!--.*?-->\n?", re.DOTALL)
_WITHOUT_SLASH = re.compile(r"(?:train|plan|deploy|approve|rollback|stop|retry|override|help)(?: [^\n]{0,60})?$")
_COMMAND = re.compile(r"^ {0,3}/[a-z]", re.MULTILINE)


@app.command("open")
def open_change(
    branch: Annotated[str | None, typer.Argument(help="Branch to propose; this one when left out.")] = None,
    base: Annotated[str, typer.Option(help="Branch to propose it to.")] = "",
    title: Annotated[str, typer.Option(help="Title; the branch's name when left out.")] = "",
    as_json: Json = False,
) -> None:
    """Propose a branch."""
    client = connect()
    at = here(client)
    head = branch or at.branch
    if not head:
        raise UsageError("no branch is checked out", cause="HEAD is detached", hint="headway change open BRANCH")
    if head == (base or at.default_branch):
        raise UsageError(
            f"{head} cannot be proposed to itself",
            hint=f"git checkout -b my-change, commit, then: headway change open --base {head}",
        )
    made = client.post(f"/repos/{at.repo}/changes", head=head, base=base, title=title)
    if as_json:
        print_json(made)
        return
    say(clean_line(f"change {made['number']}: {made['title']}  ({made['head_ref']} to {made['base_ref']})"))
    if at.is_dirty and head == at.branch:
        note("note: uncommitted edits are not part of it")
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
        [f"#{each['number']}", each["state"], each["title"], each["head_ref"], short(each["head_sha"]), each["author"]]
        for each in found
    ]
    columns = ["change", "state", "title", "branch", "head", "author"]
    empty = "no open changes: headway change open BRANCH" if state == "open" else "no changes"
    table(columns, rows, empty=empty)


@app.command()
def show(number: Number, as_json: Json = False) -> None:
    """Show a change with its statuses and comments."""
    client = connect()
    shown = client.get(f"/repos/{here(client).repo}/changes/{number}")
    if as_json:
        print_json(shown)
        return
    one = shown["change"]
    title = f"change {one['number']} ({one['state']}): {one['title']}  {one['head_ref']} at {short(one['head_sha'])}"
    say(clean_line(title))
    for status in shown["statuses"]:
        say(clean_line(f"  {status['context']}: {status['state']}  {in_terminal(status['title'])}"))
    for comment in shown["comments"]:
        _say_comment(comment, shown["reactions"].get(comment["id"], ()))


def _say_comment(comment: dict[str, Any], reactions: Any) -> None:
    signs = "".join(f"  {sign}" for sign in reactions)
    say("\n" + clean_line(f"@{comment['author']}  {when(comment['created_at'])} UTC{signs}"))
    body = _MARKER.sub("", comment["body"]).replace("&#8203;", "")
    say("\n".join(f"  {clean_line(line)}".rstrip() for line in body.strip().splitlines()))


@app.command()
def comment(
    number: Number,
    words: Annotated[list[str], typer.Argument(help="The comment: /train lr=0.1")],
    as_json: Json = False,
) -> None:
    """Write a comment; a line that starts with a command starts work."""
    body = " ".join(words)
    if not body.strip():
        raise UsageError("an empty comment says nothing", hint=f"headway change comment {number} /train")
    client = connect()
    made = client.post(f"/repos/{here(client).repo}/changes/{number}/comments", body=body)
    if as_json:
        print_json(made)
        return
    say(f"commented on change {number}")
    if _COMMAND.search(body):
        note(f"Next: headway report --change {number}, or headway change show {number} for the answer")
    elif _WITHOUT_SLASH.match(body):
        note(f"note: no command in it, for none of its lines begins with /: headway change comment {number} /{body}")


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
    say(f"merged change {number} as {short(done.get('sha'))}")
    for name, value in done.items():
        if value and name not in ("change", "sha"):
            note(f"  {name}: {', '.join(map(str, value)) if isinstance(value, list) else value}")


@app.command()
def close(number: Number, as_json: Json = False) -> None:
    """Close a change without merging it."""
    client = connect()
    done = client.post(f"/repos/{here(client).repo}/changes/{number}/close")
    if as_json:
        print_json(done)
    else:
        say(f"closed change {number}")
