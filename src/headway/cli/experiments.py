"""`headway experiments`: what runs are kept in, through the MLflow wire."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from headway.cli.client import Client, connect
from headway.cli.options import Json, Limit, Yes
from headway.cli.output import note, print_json, say, table
from headway.cli.runs import time_text
from headway.errors import NotFound, UsageError

app = typer.Typer(help="What runs are kept in.")

Which = Annotated[str, typer.Argument(help="Name or id of the experiment.", metavar="EXPERIMENT")]

_DEFAULT = "0"  # MLflow's own first experiment


@app.command("list")
def list_experiments(limit: Limit = 50, as_json: Json = False) -> None:
    """List the experiments, the one changed last first."""
    found = _search(connect(), max_results=limit, order_by=["last_update_time DESC"])
    if as_json:
        print_json(found)
        return
    rows = [
        [each["experiment_id"], each["name"], _time(each, "creation_time"), _time(each, "last_update_time")]
        for each in found
    ]
    table(["id", "name", "made (UTC)", "changed (UTC)"], rows, empty="no experiments yet: headway train")
    if len(rows) == limit:
        note(f"note: {limit} shown; --limit shows up to 1000")


@app.command()
def show(experiment: Which, as_json: Json = False) -> None:
    """Show one experiment with its tags."""
    found = _experiment(connect(), experiment)
    if as_json:
        print_json(found)
        return
    say(f"experiment {found['experiment_id']}  {found['name']}  {found['lifecycle_stage']}")
    say(f"made {_time(found, 'creation_time')} UTC, files in {found['artifact_location']}\n")
    tags = sorted((each["key"], each.get("value", "")) for each in found.get("tags", []))
    table(["tag", "value"], tags, empty="no tags")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="A name that no other experiment has.")], as_json: Json = False
) -> None:
    """Make an experiment; code that names one with MLflow makes it by itself."""
    made = connect().wire("POST", "mlflow/experiments/create", name=name)
    if as_json:
        print_json(made)
    else:
        say(f"made experiment {made['experiment_id']} ({name})")


@app.command()
def rename(
    experiment: Which, name: Annotated[str, typer.Argument(help="Its new name.")], as_json: Json = False
) -> None:
    """Give an experiment another name; its id stays."""
    client = connect()
    found = _experiment(client, experiment)
    client.wire("POST", "mlflow/experiments/update", experiment_id=found["experiment_id"], new_name=name)
    if as_json:
        print_json({"experiment_id": found["experiment_id"], "name": name})
    else:
        say(f"experiment {found['experiment_id']} is called {name}")


@app.command()
def delete(experiment: Which, yes: Yes = False, as_json: Json = False) -> None:
    """Put an experiment with its runs into the trash; `headway trash restore` takes it out again."""
    client = connect()
    found = _experiment(client, experiment)
    number = found["experiment_id"]
    if number == _DEFAULT:
        raise UsageError("MLflow's first experiment stays", cause="runs that name no other go there")
    if not yes:
        raise UsageError(
            f"this deletes experiment {number} ({found['name']}) with its runs",
            hint=f"headway experiments delete {number} --yes",
        )
    client.wire("POST", "mlflow/experiments/delete", experiment_id=number)
    if as_json:
        print_json({"experiment_id": number, "deleted": True})
    else:
        say(f"deleted experiment {number} ({found['name']})")
        note(f"Next: headway trash restore {number} takes it back")


def _search(client: Client, **said: Any) -> list[dict[str, Any]]:
    return list(client.wire("POST", "mlflow/experiments/search", **said).get("experiments", []))


def _experiment(client: Client, which: str) -> dict[str, Any]:
    """Return an experiment by its name or, where none is called so, by its id."""
    try:
        return dict(client.wire("GET", "mlflow/experiments/get-by-name", experiment_name=which)["experiment"])
    except NotFound:
        if not which.isdigit():
            raise NotFound(f"there is no experiment {which}", hint="headway experiments list") from None
    try:
        return dict(client.wire("GET", "mlflow/experiments/get", experiment_id=which)["experiment"])
    except NotFound:
        raise NotFound(f"there is no experiment {which}", hint="headway experiments list") from None


def _time(experiment: dict[str, Any], name: str) -> str:
    return time_text(int(experiment.get(name) or 0))
