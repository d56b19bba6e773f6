"""A Headway with its webhook door open, and no worker: what comes in stays in the inbox, to be looked at."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from sqlalchemy import select

from fakes.databases import prepared
from fakes.github.sender import SECRET, Sender
from fakes.github.world import APP_ID, APP_SLUG, INSTALLATION, NAME, GitHubWorld
from headway.api.mlflow.app import MlflowWire
from headway.app import App, open_app
from headway.db import schema
from headway.forges.github.config import GitHubApp, GitHubConfig, save_config
from headway.forges.github.payloads import repo_id
from headway.forges.github.webhook import sign
from headway.forges.model import Repo
from headway.forges.repo_store import RepoStore
from headway.server import Front, Site, _listen, _uvicorn_config
from headway.settings import Settings
from headway.tracking.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PUBLIC = "https://headway.example"


@dataclass
class Door:
    """A door on a real socket, and the GitHub behind it; nothing in it can reach a GitHub."""

    app: App
    world: GitHubWorld
    sender: Sender
    port: int

    def rows(self) -> list[dict[str, Any]]:
        with self.app.database.read() as tx:
            return [dict(row._mapping) for row in tx.execute(select(schema.inbox).order_by(schema.inbox.c.id))]

    def commands(self) -> list[str]:
        """The comments that are kept, by what they say."""
        return [row["body"]["comment"]["body"] for row in self.rows() if row["event"] == "comment_created"]

    def post(self, event: str, payload: Mapping[str, Any], guid: str, **headers: str) -> tuple[int, dict[str, Any]]:
        """Post a payload of one's own, signed."""
        body = json.dumps(payload).encode()
        given = {
            "content-type": "application/json",
            "x-github-event": event,
            "x-github-delivery": guid,
            "x-hub-signature-256": sign(body, SECRET),
        }
        answer = self.sender.http.post(self.sender.url, content=body, headers=given | headers)
        return answer.status_code, answer.json()

    def say(self, lines: list[str], body: bytes = b"", *, path: str = "/webhooks/github") -> tuple[int, bytes]:
        """Send header lines as they are, and a body that may be none: what HTTP clients would not do."""
        head = [f"POST {path} HTTP/1.1", *lines, "Connection: close", "", ""]
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as sock:
            sock.sendall("\r\n".join(head).encode("latin-1") + body)
            answer = b""
            while part := sock.recv(65536):
                answer += part
        return int(answer.split(b" ", 2)[1]), answer.partition(b"\r\n\r\n")[2]


@contextlib.contextmanager
def open_door(
    folder: Path, *, with_app: bool = True, secrets: tuple[str, ...] = ("an older secret of this webhook", SECRET)
) -> Iterator[Door]:
    """Open a door until the block ends."""
    data = prepared(folder / "data")
    app_facts = GitHubApp(id=APP_ID, slug=APP_SLUG, private_key="no request is made with it") if with_app else None
    config = GitHubConfig(
        api="http://127.0.0.1:1", app=app_facts, token="" if with_app else "t", webhook_secrets=secrets
    )
    save_config(data / "github", config)
    settings = Settings(data=data, port=0, public_url=PUBLIC)
    app = open_app(settings)
    world = GitHubWorld(folder / "github.git", with_app=with_app)
    know(app, world)
    listening = _listen(settings)
    writer = Writer(app.database)
    writer.start()
    port = int(listening.getsockname()[1])
    wire = MlflowWire(app.database, writer, app.artifacts, app.authenticator)
    front = Front(settings, wire, Site(lambda: app, writer, at_once=True), port)
    server = uvicorn.Server(_uvicorn_config(front))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    sender = Sender(world, f"http://127.0.0.1:{port}")
    try:
        yield Door(app=app, world=world, sender=sender, port=port)
    finally:
        sender.close()
        server.should_exit = True
        thread.join(timeout=15)
        writer.stop()
        listening.close()
        app.close()


def know(app: App, world: GitHubWorld) -> None:
    """Make the world's repository known, as `headway repo add` leaves it, and no request is made for it."""
    number = repo_id(world.repo_number)
    repo = Repo(forge="github", id=number, name=NAME, location=f"{world.base}/{NAME}.git", default_branch="main")
    with app.database.write() as tx:
        RepoStore(tx).add(repo, cursor="", at=app.clock.now(), by="test")
        RepoStore(tx).set_installation(number, INSTALLATION if world.with_app else None)
