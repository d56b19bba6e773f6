"""`headway endpoints`: what serves, and asking it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from headway.cli.client import connect
from headway.cli.options import Json, Yes
from headway.cli.output import clean_line, clean_text, note, print_json, say, table, when
from headway.cli.transport import FAILURES, Connection
from headway.errors import HeadwayError, NotFound, Unreachable, UsageError

app = typer.Typer(help="Deployments that answer.")

Name = Annotated[str, typer.Argument(help="Deployment: flights-production.")]


@app.command("list")
def list_endpoints(as_json: Json = False) -> None:
    """List the deployments."""
    found = connect().get("/deployments")
    if as_json:
        print_json(found)
        return
    rows = [
        [
            each["deployment"]["name"],
            ", ".join(f"v{route['version']} {route['weight']} %" for route in each["deployment"]["routes"]),
            "ready" if (each["observed"] or {}).get("ready") else "not ready",
            (each["observed"] or {}).get("url", ""),
        ]
        for each in found
    ]
    table(["name", "routes", "state", "address"], rows, empty="nothing is deployed: headway deploy")


@app.command()
def show(name: Name, as_json: Json = False) -> None:
    """Show one deployment with its counters and releases."""
    shown = connect().get(f"/deployments/{name}")
    if as_json:
        print_json(shown)
        return
    kept = shown["deployment"]
    observed = kept["observed"] or {}
    say(f"{name}  {observed.get('url') or 'no address yet'}  revision {kept['deployment']['revision']}\n")
    weights = {route["version"]: route["weight"] for route in kept["deployment"]["routes"]}
    rows = [
        [
            f"v{each['version']}",
            f"{weights.get(each['version'], 0)} %",
            each["requests"],
            each["errors"],
            each["missing"],
            each["latency_p95_ms"],
        ]
        for each in observed.get("counters", [])
    ]
    # Each revision counts anew.
    since = f"since revision {kept['deployment']['revision']}"
    table(
        ["version", "traffic", f"requests {since}", "errors", "missing", "p95 ms"], rows, empty=f"no requests {since}"
    )
    releases = [
        [when(each["created_at"]), f"v{each['version']}", each["state"].replace("_", " "), each["reason"]]
        for each in shown["releases"][:10]
    ]
    if releases:
        say("")
        table(["released (UTC)", "version", "state", "why"], releases, empty="")


@app.command()
def delete(name: Name, yes: Yes = False, as_json: Json = False) -> None:
    """Stop a deployment and forget it; its releases and what was predicted stay."""
    client = connect()
    kept = client.get(f"/deployments/{name}")["deployment"]
    if not yes:
        routes = ", ".join(f"{each['model']} v{each['version']}" for each in kept["deployment"]["routes"])
        raise UsageError(
            f"this stops {name}, which serves {routes or 'nothing'}", hint=f"headway endpoints delete {name} --yes"
        )
    gone = client.delete(f"/deployments/{name}")
    if as_json:
        print_json(gone)
    else:
        say(f"deleted {name}")


@app.command()
def logs(
    name: Name,
    tail: Annotated[int, typer.Option(help="How many lines.", min=1, max=1000)] = 100,
    as_json: Json = False,
) -> None:
    """Print the last lines of a deployment's log."""
    lines = connect().get(f"/deployments/{name}/logs", tail=tail)["lines"]
    if as_json:
        print_json({"lines": lines})
        return
    if not lines:
        note(f"{name} has said nothing yet")
    for line in lines:
        say(clean_line(line))


@app.command()
def invoke(
    name: Name,
    file: Annotated[Path | None, typer.Argument(help="JSON of the request; standard input when left out.")] = None,
    as_json: Json = False,
) -> None:
    """Send a request (MLflow's /invocations) and print the answer and its request id."""
    body = _body(name, file)
    client = connect()
    observed: dict[str, Any] = client.get(f"/deployments/{name}")["deployment"]["observed"] or {}
    if not observed.get("url"):
        raise Unreachable(f"{name} has no address yet", hint=f"headway endpoints show {name}")
    try:
        endpoint = Connection(observed["url"], is_local=client.is_local)
        answer = endpoint.send("POST", "/invocations", body=body)
    except FAILURES as error:
        raise Unreachable(
            f"{name} does not answer at {observed['url']}", cause=str(error), hint=f"headway endpoints logs {name}"
        ) from None
    request_id = answer.headers.get("x-request-id", "")
    version = answer.headers.get("x-model-version", "")
    text = answer.content.decode(errors="replace")
    if answer.status >= 400:
        raise _failure(name, answer.status, text)
    if as_json:
        print_json({"request_id": request_id, "version": version, "answer": json.loads(text)})
        return
    say(clean_text(text.rstrip("\n")))
    note(f"request {request_id} answered by v{version}\nNext: headway why {request_id}")


def _failure(name: str, status: int, text: str) -> HeadwayError:
    try:
        said = str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        said = text[:500]
    if status in (400, 413, 415, 422):
        hint = f"""echo '{{"inputs": [[1, 2]]}}' | headway endpoints invoke {name}"""
        return UsageError(f"{name} does not take this request ({status})", cause=clean_line(said), hint=hint)
    return HeadwayError(f"{name} answered {status}", cause=clean_line(said), hint=f"headway endpoints logs {name}")


def _body(name: str, file: Path | None) -> bytes:
    """Return the request; of a file for the release's own test ({request, expect}) its request."""
    if file is None:
        if sys.stdin.isatty():
            raise UsageError("there is no request", hint=f"headway endpoints invoke {name} request.json")
        return sys.stdin.buffer.read()
    try:
        body = file.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"there is no file {file}") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be read", cause=error.strerror or str(error)) from None
    try:
        read = json.loads(body)
    except ValueError as error:
        raise UsageError(f"{file} is no JSON", cause=str(error)) from None
    is_test = isinstance(read, dict) and isinstance(read.get("request"), dict)
    return json.dumps(read["request"]).encode() if is_test else body
