"""Verbs whose machinery comes later: they say what is missing."""

from __future__ import annotations

import typer

from headway.errors import NotThereYet

app = typer.Typer(help="Data set versions (their machinery comes later).", no_args_is_help=True)
monitor = typer.Typer(help="Drift and performance of what serves (their machinery comes later).", no_args_is_help=True)


@app.command("list")
def list_data() -> None:
    """List data set versions."""
    raise NotThereYet(
        "data set versions of their own are not there yet",
        cause="data sets are pinned by digest in every plan and run",
        hint="headway plan --json shows the digests; headway diff shows what changed",
    )


@monitor.command()
def status() -> None:
    """Show drift and performance of what serves."""
    raise NotThereYet(
        "monitoring is not there yet",
        cause="predictions are logged with request ids already; windows and drift come later",
        hint="headway endpoints show NAME has errors, latency and missing answers",
    )
