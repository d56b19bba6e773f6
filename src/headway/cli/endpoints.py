"""`headway endpoints`: what serves, and asking it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from headway.cli.client import connect
from headway.cli.output import note, print_json, say, table
from headway.cli.work import Json
from headway.errors import HeadwayError, Unreachable

app = typer.Typer(help="Deployments that answer.", no_args_is_help=True)

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
    say(f"{name}  {observed.get('url', 'no address yet')}  revision {kept['deployment']['revision']}")
    rows = [
        [f"v{each['version']}", each["requests"], each["errors"], each["missing"], each["latency_p95_ms"]]
        for each in observed.get("counters", [])
    ]
    table(["version", "requests", "errors", "missing", "p95 ms"], rows, empty="no requests yet")
    for each in shown["releases"][:10]:
        say(f"  {each['created_at'][:19]}  v{each['version']}  {each['state']}  {each['reason']}".rstrip())


@app.command()
def logs(name: Name, tail: Annotated[int, typer.Option(help="How many lines.")] = 100, as_json: Json = False) -> None:
    """Print the last lines of a deployment's log."""
    lines = connect().get(f"/deployments/{name}/logs", tail=tail)["lines"]
    if as_json:
        print_json({"lines": lines})
    else:
        say("\n".join(lines))


@app.command()
def invoke(
    name: Name,
    file: Annotated[Path | None, typer.Argument(help="JSON of the request; standard input when left out.")] = None,
    as_json: Json = False,
) -> None:
    """Send a request (MLflow's /invocations) and print the answer and its request id."""
    import httpx

    observed: dict[str, Any] = connect().get(f"/deployments/{name}")["deployment"]["observed"] or {}
    if not observed.get("url"):
        raise Unreachable(f"{name} has no address yet", hint=f"headway endpoints show {name}")
    body = file.read_bytes() if file else sys.stdin.buffer.read()
    headers = {"content-type": "application/json"}
    answer = httpx.post(f"{observed['url']}/invocations", content=body, headers=headers, timeout=60)
    request_id = answer.headers.get("x-request-id", "")
    if answer.status_code >= 400:
        raise HeadwayError(f"{name} answered {answer.status_code}", cause=answer.text[:500])
    if as_json:
        print_json({"request_id": request_id, "answer": answer.json()})
        return
    say(answer.text)
    note(f"request {request_id}  version {answer.headers.get('x-model-version', '')}; headway why {request_id}")
