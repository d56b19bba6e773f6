"""Commits fetched from GitHub: each once, and what came before is not sent again."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fakes.databases import sqlite_copy
from fakes.github.server import PERSONAL_TOKEN, FakeGitHub, running
from fakes.github.world import NAME
from headway.clock import SystemClock
from headway.db.connection import open_database
from headway.forges.git import Git
from headway.forges.github.config import GitHubConfig
from headway.forges.github.forge import GitHubForge

_HISTORY = 2_000_000  # bytes that do not pack


class Fetching:
    def __init__(self, fake: FakeGitHub, folder: Path) -> None:
        self.fake = fake
        self.database = open_database(sqlite_copy(folder))
        config = GitHubConfig(api=fake.url, token=PERSONAL_TOKEN)
        self.forge = GitHubForge(self.database, SystemClock(), config=config, mirrors=folder / "mirrors")
        self.large = random.Random(7).randbytes(_HISTORY // 2).hex()
        self.first = fake.world.commit("main", {"README.md": "read me\n", "table.csv": self.large})
        self.repo_id = self.forge.register_repo(NAME, by="test").id
        self.sent = 0

    def count(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answer = self.fake.git

        def counted(request: Any, body: bytes) -> Any:
            found = answer(request, body)
            self.sent += len(found.body)
            return found

        monkeypatch.setattr(self.fake, "git", counted)


@pytest.fixture
def fetching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fetching]:
    with running(tmp_path / "github.git", with_app=False) as fake:
        made = Fetching(fake, tmp_path)
        made.count(monkeypatch)
        yield made
        made.database.close()


def test_a_new_commit_brings_only_what_is_new(fetching: Fetching) -> None:
    """A mirror that knows no names has nothing to tell GitHub that it has: every push would be a whole clone."""
    fetching.forge.fetch(fetching.repo_id, fetching.first)
    assert fetching.sent > _HISTORY // 3
    fetching.sent = 0
    for number in range(3):
        sha = fetching.fake.world.commit(f"idea-{number}", {"train.py": f"print({number})\n"})
        assert Git(Path(fetching.forge.fetch(fetching.repo_id, sha))).read_file(sha, "train.py") is not None
    assert fetching.sent < 100_000
    fetching.sent = 0
    fetching.forge.fetch(fetching.repo_id, sha)
    assert fetching.sent == 0


def test_many_at_once_for_one_commit_all_have_it(fetching: Fetching) -> None:
    sha = fetching.fake.world.commit("main", {"train.py": os.urandom(8).hex()})
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: fetching.forge.fetch(fetching.repo_id, sha), range(6)))
    assert {Git(Path(each)).check_commit(sha) for each in found} == {sha}
