"""`headway`: the verbs of a comment, in the terminal; one line a verb, the rest lives beside it."""

from __future__ import annotations

import sys

import click
import typer

from headway.cli import (
    change,
    config,
    data,
    endpoints,
    judge,
    models,
    runs,
    secrets,
    server,
    ship,
    start,
    work,
)
from headway.cli.output import print_error
from headway.errors import HeadwayError

app = typer.Typer(
    name="headway",
    help="From a pull-request comment to a served model, and back.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for panel, verbs in (
    ("Start", (start.init, start.doctor, start.login, start.version)),
    ("Work", (work.run, work.plan, work.train, work.tune, work.stop, work.retry, work.logs, runs.diff)),
    ("Judge", (judge.gate, judge.report, judge.override)),
    ("Ship", (ship.deploy, ship.approve, ship.rollback, ship.why)),
):
    for verb in verbs:
        app.command(rich_help_panel=panel)(verb)

for name, panel, group in (
    ("server", "Start", server.app),
    ("config", "Start", config.app),
    ("secrets", "Start", secrets.app),
    ("change", "Work", change.app),
    ("jobs", "Work", work.jobs),
    ("runs", "Work", runs.app),
    ("models", "Ship", models.app),
    ("endpoints", "Ship", endpoints.app),
    ("monitor", "Watch", data.monitor),
    ("data", "Data", data.app),
):
    app.add_typer(group, name=name, rich_help_panel=panel)


def run() -> None:
    """Run one command line and leave with its exit code."""
    try:
        app(standalone_mode=False)
    except HeadwayError as error:
        print_error(error, as_json="--json" in sys.argv)
        sys.exit(error.exit_code)
    except click.exceptions.Exit as leaving:
        sys.exit(leaving.exit_code)
    except (click.exceptions.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


if __name__ == "__main__":
    run()
