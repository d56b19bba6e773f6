"""`headway kubernetes`: what a cluster needs to run Headway, as plain documents for `kubectl apply -f -`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from headway.cli.output import say
from headway.errors import UsageError

app = typer.Typer(help="What a Kubernetes cluster needs to run Headway.")

PARTS = ("namespaces", "server", "rbac", "network", "network-open", "try", "quota", "cache")
USUAL = ("namespaces", "server", "rbac")
# What stands in the documents for what is yours.
NAMESPACE, IMAGE, PUBLIC_URL = "headway-jobs", "registry.example.com/headway:1", "https://headway.example.com"
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
_IMAGE = re.compile(r"[A-Za-z0-9][\w./:@-]{0,254}\Z")
_URL = re.compile(r"https?://[A-Za-z0-9.\[\]:/_-]{1,200}\Z")


@app.callback()
def kubernetes() -> None:
    """What a Kubernetes cluster needs to run Headway."""


@app.command()
def manifests(
    parts: Annotated[
        list[str] | None, typer.Argument(help=f"Some of: {', '.join(PARTS)}. The first three when absent.")
    ] = None,
    namespace: Annotated[str, typer.Option(help="Where trainings and endpoints run.")] = NAMESPACE,
    image: Annotated[str, typer.Option(help="Headway's image, made by deploy/make-image.")] = IMAGE,
    public_url: Annotated[str, typer.Option(help="The address at which people reach the server.")] = PUBLIC_URL,
) -> None:
    """Print the documents; `| kubectl apply -f -` makes them so."""
    chosen = tuple(parts or USUAL)
    for part in chosen:
        if part not in PARTS:
            raise UsageError(f"there is no part {part!r}", hint=f"there are: {', '.join(PARTS)}")
    for option, value, shape in (
        ("--namespace", namespace, _LABEL),
        ("--image", image, _IMAGE),
        ("--public-url", public_url, _URL),
    ):
        if not shape.match(value):
            raise UsageError(f"{option} {value!r} is nothing that a cluster takes")
    texts = [document(part, namespace=namespace, image=image, public_url=public_url) for part in chosen]
    say("---\n".join(texts).rstrip("\n"))


def document(part: str, *, namespace: str = NAMESPACE, image: str = IMAGE, public_url: str = PUBLIC_URL) -> str:
    """Return one part with what is yours in it."""
    text = (_folder() / f"{part}.yaml").read_text("utf-8")
    if part == "rbac":  # the file leaves the namespace to `kubectl apply -n`
        text = text.replace("  name: headway-server\nr", f"  name: headway-server\n  namespace: {NAMESPACE}\nr")
    return text.replace(NAMESPACE, namespace).replace(IMAGE, image).replace(PUBLIC_URL, public_url)


def _folder() -> Path:
    """Return the folder of the documents: in the package, or in the repository that it is run from."""
    packed = Path(__file__).parent / "manifests"
    return packed if packed.is_dir() else Path(__file__).parents[3] / "deploy" / "kubernetes"
