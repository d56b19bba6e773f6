"""GitHub's side of the webhook: what the fake's world tells, signed and posted; lost, doubled or late on demand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx

from fakes.github.oracle import webhook_problems
from headway.forges.github.webhook import sign

if TYPE_CHECKING:
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

    def lose_new(self) -> list[Delivered]:
        """Find nobody there: GitHub lists what has happened since as failed, and does not send it again."""
        lost = [replace(each, status=502) for each in self.world.deliveries[self.sent :]]
        self.world.deliveries[self.sent :] = lost
        self.sent = len(self.world.deliveries)
        return lost

    def close(self) -> None:
        self.http.close()
