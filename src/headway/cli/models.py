"""`headway models`: registered models and versions."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import typer

from headway.cli.client import Client, connect
from headway.cli.options import Json, Yes
from headway.cli.output import count, megabytes, note, print_json, say, short, table, when
from headway.errors import Conflict, HeadwayError, NotFound, UsageError

app = typer.Typer(help="Registered models.")

Model = Annotated[str, typer.Argument(help="Name of the model.")]

_VERSION = re.compile(r"(?P<model>.+?)@(?P<which>.+)")


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List the models."""
    found = connect().get("/models")
    if as_json:
        print_json(found)
        return
    rows = [
        [each["name"], each["versions"], f"v{newest['number']} ({newest['state']})", when(newest["created_at"])]
        if (newest := each["latest"])
        else [each["name"], each["versions"], None, None]
        for each in found
    ]
    empty = "no models yet: training code that calls mlflow's log_model makes one, headway deploy registers it"
    table(["model", "versions", "newest", "made (UTC)"], rows, empty=empty)


@app.command()
def show(model: Model, as_json: Json = False) -> None:
    """Show a model's versions with where each came from."""
    shown = _model(connect(), model)
    if as_json:
        print_json(shown)
        return
    rows = [
        [
            f"v{each['number']}",
            each["state"],
            ", ".join(each["aliases"]),
            short(each["lineage"]["commit"]),
            each["lineage"]["change"],
            each["run_id"][:8],
            when(each["created_at"]),
        ]
        for each in shown["versions"]
    ]
    table(["version", "state", "aliases", "commit", "change", "run", "made (UTC)"], rows, empty="no versions")


def _model(client: Client, model: str) -> dict[str, Any]:
    try:
        return dict(client.get(f"/models/{model}"))
    except NotFound:
        raise NotFound(f"there is no model {model}", hint="headway models list") from None


@app.command()
def alias(
    model: Model,
    name: Annotated[str, typer.Argument(help="Alias: champion.")],
    version: Annotated[int, typer.Argument(help="Version.", min=1)],
    as_json: Json = False,
) -> None:
    """Move an alias to a version."""
    made = connect().post(f"/models/{model}/aliases", alias=name, version=version)
    if as_json:
        print_json(made)
    else:
        say(f"{model}@{name} is v{version}")


@app.command()
def delete(
    version: Annotated[str, typer.Argument(help="One version: flights@3.", metavar="MODEL@VERSION")],
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete a version for good; one that is released stays, and the run that made it does in any case."""
    if "@" not in version:
        raise UsageError(f"{version} names no version", hint=f"headway models delete {version}@3")
    client = connect()
    found = _version(client, version)
    title = f"{found['model']} v{found['number']}"
    if not yes:
        named = f", which has the alias {', '.join(found['aliases'])}" if found["aliases"] else ""
        raise UsageError(f"this deletes {title}{named}", hint=f"headway models delete {version} --yes")
    client.wire("DELETE", "mlflow/model-versions/delete", name=found["model"], version=str(found["number"]))
    if as_json:
        print_json({"model": found["model"], "number": found["number"], "deleted": True})
    else:
        say(f"deleted {title}")


@app.command()
def download(
    version: Annotated[str, typer.Argument(help="flights@3, flights@champion; flights = the newest.")],
    into: Annotated[Path | None, typer.Argument(help="A new folder; MODEL-vN when left out.")] = None,
    as_json: Json = False,
) -> None:
    """Copy a version's files (MLmodel, weights, requirements) into a folder; nothing is loaded."""
    client = connect()
    found = _version(client, version)
    folder = into or Path(f"{found['model']}-v{found['number']}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(f"{folder} is not empty", hint=f"headway models download {version} OTHER-FOLDER")
    source = found["source"]
    if not source:
        raise NotFound(f"{found['model']} v{found['number']} has no files here", cause=found["source_uri"])
    files = _below(client, source)
    size = 0
    for name in files:
        target = folder.joinpath(*PurePosixPath(name).parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as written:
            size += client.download(f"{source}/{name}", written)
    if as_json:
        print_json({"path": str(folder), "files": len(files), "size": size, "digest": found["digest"]})
    else:
        say(f"{count(len(files), 'file')}, {megabytes(size)} in {folder}")
        note("loading it runs code: only do that with models that you trust")


def _version(client: Client, text: str) -> dict[str, Any]:
    parsed = _VERSION.fullmatch(text)
    model, which = (parsed["model"], parsed["which"]) if parsed else (text, "")
    versions: list[dict[str, Any]] = _model(client, model)["versions"]
    if not versions:
        raise NotFound(f"{model} has no version yet", hint="headway deploy")
    for each in versions:
        if not which or which.lstrip("v") == str(each["number"]) or which in each["aliases"]:
            return each
    raise NotFound(f"{model} has no version or alias {which}", hint=f"headway models show {model}")


def _below(client: Client, source: str) -> list[str]:
    """Return the files below a folder of the artifact store, as paths relative to it."""
    found: list[str] = []
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        path = f"{source}/{folder}" if folder else source
        for each in client.wire("GET", "mlflow-artifacts/artifacts", path=path).get("files", []):
            name = f"{folder}/{each['path']}" if folder else str(each["path"])
            # A name from a store must not lead out of the folder that was asked for.
            if ".." in PurePosixPath(name).parts or name.startswith("/"):
                raise HeadwayError(f"the model has a file that would lie elsewhere: {name}")
            (waiting if each["is_dir"] else found).append(name)
    if not found:
        raise NotFound("the version has no files", cause=f"nothing lies below {source}")
    return sorted(found)
