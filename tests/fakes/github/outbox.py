"""A Headway with a fake GitHub and a clock that is moved by hand: what is wanted, and what then stands there."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select

from fakes.databases import prepared
from fakes.github.server import PERSONAL_TOKEN, FakeGitHub, running
from fakes.github.world import APP_ID, APP_SLUG, NAME
from fakes.story import HandClock
from headway.app import App, open_app
from headway.db import schema
from headway.flow import sending
from headway.flow.background import Background
from headway.flow.outbox import want
from headway.forges.github.config import GitHubApp, GitHubConfig
from headway.forges.github.forge import GitHubForge
from headway.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headway.forges.model import Wanted


@dataclass
class Post:
    """One server's outbox before GitHub; `asked` says at which time of the hand clock each request came."""

    fake: FakeGitHub
    app: App
    clock: HandClock
    background: Background
    config: GitHubConfig
    repo_id: str = ""
    asked: list[tuple[datetime, str, str]] = field(default_factory=list)
    fault_at: int = 0  # the number of the request that goes wrong; 0 = none
    fault: dict[str, Any] = field(default_factory=dict)

    def restart(self) -> None:
        """A process that remembers no id and has an empty outbox; its tokens stay, and their budget of requests."""
        before = self.app.github
        forge = GitHubForge(
            self.app.database,
            self.clock,
            config=self.config,
            mirrors=self.app.data / "mirrors",
            api=None if before is None else before.api,
        )
        if before is not None:
            forge.tokens = before.tokens
            forge._checks._tokens = forge._comments._tokens = forge.tokens
        self.clock.forward(120)
        self.app = replace(self.app, github=forge, forges={"github": forge})
        with self.app.database.write() as tx:
            tx.execute(delete(schema.outbox))
        self.asked, self.fault_at, self.fake.faults = [], 0, []

    def before(self, method: str, path: str) -> None:
        self.asked.append((self.clock.now(), method, path))
        if len(self.asked) == self.fault_at:
            self.fake.fail(**self.fault)

    def want(self, *wishes: Wanted, is_live: bool = False) -> None:
        with self.app.database.write() as tx:
            for wanted in wishes:
                want(tx, wanted, self.clock.now(), is_live=is_live)

    def send(self) -> None:
        """One tick of the loop, until what it began beside itself is over."""
        sending.send_waiting(self.app, self.background, self.clock.now())
        ends = time.monotonic() + 60
        while self.background.is_busy:
            assert time.monotonic() < ends
            time.sleep(0.001)

    def waiting(self) -> list[Any]:
        table = schema.outbox.c
        with self.app.database.read() as tx:
            return list(tx.execute(select(schema.outbox).where(table.want_rev > table.sent_rev)))

    def converge(self, seconds: int) -> int:
        """Send until nothing waits; return how many seconds of the hand clock that took."""
        start = self.clock.now()
        while (gone := (self.clock.now() - start).total_seconds()) <= seconds:
            self.send()
            waiting = self.waiting()
            if not waiting:
                return int(gone)
            next_at = min(each.next_at for each in waiting)
            self.clock.forward(max(0.1, (next_at - self.clock.now()).total_seconds()))
        raise AssertionError(
            f"does not stand after {seconds} s: {[(w.coalesce_key, w.problem) for w in self.waiting()]}"
        )


@contextlib.contextmanager
def posting(folder: Path, *, with_app: bool = True) -> Iterator[Post]:
    """Open everything, with a repository that is known."""
    with running(folder / "github.git", with_app=with_app) as fake:
        app_facts = GitHubApp(id=APP_ID, slug=APP_SLUG, private_key=fake.private_key) if with_app else None
        token = "" if with_app else PERSONAL_TOKEN
        config = GitHubConfig(api=fake.url, app=app_facts, token=token, webhook_secrets=("s",))
        opened = open_app(Settings(data=prepared(folder / "data")))
        clock = HandClock(opened.clock.now())
        # Two clocks apart would end every token before its first use: each request would need a new one.
        fake.now = clock.now
        post = Post(
            fake=fake,
            app=replace(opened, clock=clock),
            clock=clock,
            background=Background(threads=2),
            config=config,
        )
        post.restart()
        fake.world.commit("main", {"README.md": "read me\n"})
        assert post.app.github is not None
        post.repo_id = post.app.github.register_repo(NAME, by="test").id
        fake.before = post.before
        try:
            yield post
        finally:
            post.background.close()
            opened.close()
        assert fake.problems == []
