"""`headway ci`: one command in any CI system, as plain lines and an exit code."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from headway.cli.ci_deploy import deploy
from headway.cli.ci_report import report
from headway.cli.ci_take import take
from headway.cli.ci_train import train
from headway.cli.client import connect
from headway.cli.follow import follow, give
from headway.cli.here import here, resolve
from headway.cli.options import Detach, Json, OfChange
from headway.cli.replay import replay
from headway.errors import UsageError

app = typer.Typer(help="One command in any CI system.", invoke_without_command=True)

# What the common systems say of the commit and branch that they build.
_SHA = ("GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT", "BUILDKITE_COMMIT", "CIRCLE_SHA1")
_BRANCH = (
    "GITHUB_HEAD_REF",
    "GITHUB_REF_NAME",
    "CI_COMMIT_REF_NAME",
    "GIT_BRANCH",
    "BUILDKITE_BRANCH",
    "CIRCLE_BRANCH",
)


@app.callback()
def ci(
    context: typer.Context,
    comment: Annotated[str, typer.Option("--comment", help="The command, as in a comment.")] = "/train",
    change: OfChange = None,
    sha: Annotated[str | None, typer.Option("--sha", help="Commit; the one that CI builds when left out.")] = None,
    branch: Annotated[str | None, typer.Option("--branch", help="Branch of that commit.")] = None,
    detach: Detach = False,
    as_json: Json = False,
) -> None:
    """Carry out one command for a commit or a change, and leave with the verdict's exit code."""
    if context.invoked_subcommand is not None:
        return
    if not comment.lstrip().startswith("/"):
        raise UsageError(f"{comment!r} is no command", hint="headway ci --comment '/train lr=0.1'")
    client = connect()
    at = here(client)
    where: dict[str, Any]
    if change is not None:
        where = {"change": change}
    else:
        named = sha or _first(_SHA) or "HEAD"
        found = resolve(named)
        if found is None:
            raise UsageError(f"{named!r} names no commit here", hint="fetch the whole history: git fetch --unshallow")
        where = {"sha": found, "branch": branch or _first(_BRANCH) or at.branch or "detached"}
    follow(client, give(client, at.repo, comment.strip(), **where), as_json=as_json, detach=detach)


def _first(names: tuple[str, ...]) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


app.command("take")(take)
app.command("train")(train)
app.command("report")(report)
app.command("deploy")(deploy)


app.command("replay")(replay)
