"""A whole Headway with its worker beside a fake GitHub, with a webhook door or without one; the test ticks."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select

from fakes.databases import prepared
from fakes.github.sender import SECRET, Sender
from fakes.github.server import PERSONAL_TOKEN, running
from fakes.github.world import APP_ID, APP_SLUG, NAME
from flows.conftest import serving
from flows.test_github_story import GitHubStage
from flows.test_story import CONFIG, train_script
from headway.app import open_app
from headway.clock import SystemClock
from headway.db import schema
from headway.forges.github.config import GitHubApp, GitHubConfig, save_config
from headway.server import read_announcement
from headway.settings import Settings
from headway.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import Any


class NoDoor(Sender):
    """GitHub where no webhook is set up: nothing is ever sent."""

    def send_new(self) -> list[dict[str, Any]]:
        return []


class ShiftedClock(SystemClock):
    """The machine's clock, and what a test lets pass besides: everything that waits for an hour need not."""

    def __init__(self) -> None:
        self.shift = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.shift


FILES = {"headway.yaml": CONFIG, "train.py": train_script(0.5)}


@contextlib.contextmanager
def open_stage(
    folder: Path,
    *,
    with_app: bool = True,
    has_door: bool = True,
    files: Mapping[str, str] = FILES,
    clock: SystemClock | None = None,
    catch_up: int = 1,
) -> Iterator[GitHubStage]:
    """Open everything until the block ends; GitHub's description must have had nothing against a single request."""
    with running(folder / "github.git", with_app=with_app) as fake:
        data = prepared(folder / "data")
        app_facts = GitHubApp(id=APP_ID, slug=APP_SLUG, private_key=fake.private_key) if with_app else None
        secrets = (SECRET,) if has_door else ()
        token = "" if with_app else PERSONAL_TOKEN
        save_config(data / "github", GitHubConfig(api=fake.url, app=app_facts, token=token, webhook_secrets=secrets))
        fake.world.commit("main", files)
        fake.world.grant("ada", "write")
        settings = Settings(data=data, port=0, catch_up_seconds=catch_up, poll_seconds=1)
        app = open_app(settings, runs_attempts=True)
        if clock is not None:
            app = replace(app, clock=clock)
        assert app.github is not None
        repo = app.github.register_repo(NAME, by="test")
        worker = Worker(app)
        with serving(app, settings):
            kind = Sender if has_door else NoDoor
            sender = kind(fake.world, str((read_announcement(settings.data) or {})["url"]))
            sender.sent = len(fake.world.deliveries)
            yield GitHubStage(fake=fake, app=app, worker=worker, repo=repo, sender=sender)
            sender.close()
        worker.close()
        app.close()
        assert fake.problems == []


def kept(stage: GitHubStage) -> list[tuple[str, str]]:
    """Return what is in the inbox, by kind and what tells one happening from another."""
    with stage.app.database.read() as tx:
        rows = tx.execute(select(schema.inbox.c.event, schema.inbox.c.body).order_by(schema.inbox.c.id)).all()
    return [(row.event, _mark(row.event, row.body)) for row in rows]


def _mark(event: str, body: dict[str, Any]) -> str:
    if event == "comment_created":
        return str(body["comment"]["body"])
    return str(body.get("label") or body.get("action") or body.get("name") or body.get("sha") or body.get("after_sha"))
