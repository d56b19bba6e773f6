"""One story with a change and a judged job for all tests of the API, and a client that asks with a role's token."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from fakes.story import Story
from headway.api.v1 import absent_routes, api_routes
from headway.auth.model import Role


class Api:
    """The API of one story."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.routes = api_routes(story.app)
        app = Starlette(routes=[Mount("/api/v1", routes=[*self.routes, *absent_routes(story.app)])])
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:7474/api/v1")
        self._runner = asyncio.Runner()
        self._tokens = {role: story.token(role) for role in Role}
        self.change = story.change()
        self.job = story.ended(self.change)
        self.repo = f"/repos/{story.repo.id}"

    def ask(self, method: str, path: str, *, role: Role = Role.ADMIN, token: str = "", **given: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {token or self._tokens[role]}"}
        return self._runner.run(self._client.request(method, path, headers=headers, **given))

    def anonymous(self, method: str, path: str, **given: Any) -> httpx.Response:
        return self._runner.run(self._client.request(method, path, **given))

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()
        self.story.close()

    def get(self, path: str) -> Any:
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, place: str, **body: Any) -> Any:
        answer = self.ask("POST", place, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def filled(self, path: str) -> str:
        """A route's path with names in it that exist."""
        places = {"repo": self.story.repo.id, "number": self.change.number, "job": self.job.number}
        names = (
            "run",
            "model",
            "name",
            "release",
            "subject",
            "command",
            "user",
            "project",
            "token",
            "purge",
            "attempt",
            "pod",
            "digest",
        )
        return path.format(**places, **dict.fromkeys(names, "nothing"))


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    opened = Api(Story(tmp_path_factory.mktemp("api")))
    yield opened
    opened.close()
