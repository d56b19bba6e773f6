"""GitHub's side of the webhook: what the fake's world tells, signed and posted; lost, doubled or late on demand."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import httpx

from fakes.github.oracle import webhook_problems
from headway.forges.github.webhook import sign

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fakes.github.world import Delivered, GitHubWorld

SECRET = "It's a Secret to Everybody"


class Sender:
    """Posts deliveries to a server's door; `sent` counts how far the world's list has been told."""

    def __init__(self, world: GitHubWorld, url: str, *, secret: str = SECRET) -> None:
        self.world = world
        self.url = f"{url}/webhooks/github"
        self.secret = secret
        self.sent = 0
        self.http = httpx.Client(timeout=30)

    def send(self, delivered: Delivered, **headers: str) -> httpx.Response:
        """Post one delivery, as GitHub does."""
        assert webhook_problems(delivered.event, delivered.payload) == [], delivered.event
        given = {
            "content-type": "application/json",
            "user-agent": "GitHub-Hookshot/044aadd",
            "x-github-event": delivered.event,
            "x-github-delivery": delivered.guid,
            "x-hub-signature-256": sign(delivered.body, self.secret),
        }
        return self.http.post(self.url, content=delivered.body, headers=given | headers)

    def send_new(self) -> list[dict[str, Any]]:
        """Post everything that has happened since, and return the answers."""
        waiting, self.sent = self.world.deliveries[self.sent :], len(self.world.deliveries)
        answers = [self.send(each) for each in waiting]
        assert [each.status_code for each in answers if each.status_code != 202] == []
        return [json.loads(each.content) for each in answers]

    @contextlib.contextmanager
    def nobody_there(self) -> Iterator[list[Delivered]]:
        """List what happens in the block as failed from the first moment on, and do not send it again; yield it."""
        self.send_new()
        lost: list[Delivered] = []
        began, self.world.door_answers = len(self.world.deliveries), 502
        try:
            yield lost
        finally:
            self.world.door_answers = 200
            lost += self.world.deliveries[began:]
            self.sent = len(self.world.deliveries)

    def close(self) -> None:
        self.http.close()
