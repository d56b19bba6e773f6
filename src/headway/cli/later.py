"""Verbs whose machinery comes later: they say what is missing, and what does it meanwhile."""

from __future__ import annotations

from typing import Annotated

import typer

from headway.cli.import_mlflow import import_mlflow
from headway.cli.options import Json
from headway.errors import NotThereYet

data = typer.Typer(help="Versions of data sets (comes later).")
monitor = typer.Typer(help="Drift and performance of what serves (comes later).")
imports = typer.Typer(help="Take over from another tracker.")


@data.callback()
def _data() -> None:
    """Versions of data sets (comes later)."""


@monitor.callback()
def _monitor() -> None:
    """Drift and performance of what serves (comes later)."""


@data.command("list")
def list_data(as_json: Json = False) -> None:
    """List data set versions."""
    del as_json
    raise NotThereYet(
        "versions of data sets are not there yet",
        cause="the data of a project is pinned by digest in every plan and run instead",
        hint="headway plan --json shows the digests; headway diff shows what changed",
    )


@monitor.command()
def status(as_json: Json = False) -> None:
    """Show drift and performance of what serves."""
    del as_json
    raise NotThereYet(
        "monitoring is not there yet",
        cause="predictions are logged with request ids already; windows and drift come later",
        hint="headway endpoints show NAME has errors, latency and missing answers",
    )


Source = Annotated[str, typer.Argument(help="Where it lies.")]


imports.command("mlflow")(import_mlflow)


@imports.command("wandb")
def import_wandb(source: Source = "", as_json: Json = False) -> None:
    """Take over runs of Weights & Biases."""
    del source, as_json
    raise NotThereYet("importing from Weights & Biases is not there yet", hint="headway import --help")


@imports.command("tensorboard")
def import_tensorboard(source: Source = "", as_json: Json = False) -> None:
    """Take over event files of TensorBoard."""
    del source, as_json
    raise NotThereYet(
        "importing event files is not there yet",
        cause="what a training writes to metrics.json, or logs with mlflow, is taken",
        hint="mlflow.tensorflow.autolog() logs the same numbers",
    )
