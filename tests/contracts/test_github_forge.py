"""GitHub as a forge, against the fake that GitHub's own description judges; once as an App, once by a token."""

from __future__ import annotations

import base64
import subprocess
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contracts.forge import ForgeContract
from fakes.databases import sqlite_copy
from fakes.github.server import PERSONAL_TOKEN, FakeGitHub, running
from fakes.github.world import APP_ID, APP_SLUG, NAME
from headway.clock import SystemClock
from headway.db.connection import open_database
from headway.errors import NotFound
from headway.forges.github.config import GitHubApp, GitHubConfig
from headway.forges.github.forge import GitHubForge
from headway.forges.model import (
    Change,
    Permission,
    PostedComment,
    StatusState,
    WantedDeployment,
    WantedStatus,
)
from headway.pipelines.source import write_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_STATES = {
    "success": StatusState.SUCCESS,
    "failure": StatusState.FAILURE,
    "cancelled": StatusState.CANCELLED,
    "error": StatusState.ERROR,
    "pending": StatusState.PENDING,
}


class GitHubForgeWorld:
    """The contract's verbs, done by people at the fake."""

    def __init__(self, fake: FakeGitHub, folder: Path, config: GitHubConfig) -> None:
        self.fake = fake
        database = open_database(sqlite_copy(folder))
        self.database = database
        self.forge = GitHubForge(database, SystemClock(), config=config, mirrors=folder / "mirrors")
        fake.world.commit("main", {"README.md": "read me\n"})
        self.repo_id = self.forge.register_repo(NAME, by="test").id

    def commit(self, branch: str, files: Mapping[str, str]) -> str:
        return self.fake.world.commit(branch, files)

    def open_change(self, branch: str) -> Change:
        number = self.fake.world.open_pull(branch).number
        return self.forge.get_change(self.repo_id, number)

    def comment(self, number: int, author: str, body: str) -> PostedComment:
        made = self.fake.world.comment(number, author, body)
        return PostedComment(
            id=str(made.id),
            repo_id=self.repo_id,
            number=number,
            author=author,
            body=body,
            is_ours=False,
            created_at=datetime.fromisoformat(made.created_at),
        )

    def merge(self, number: int) -> Change:
        self.fake.world.merge(number)
        return self.forge.get_change(self.repo_id, number)

    def grant(self, user: str, permission: Permission) -> None:
        self.fake.world.grant(user, permission.name.lower())

    def comments(self, number: int) -> Sequence[PostedComment]:
        return [
            PostedComment(
                id=str(each.id),
                repo_id=self.repo_id,
                number=number,
                author=each.author,
                body=each.body,
                is_ours=each.app == APP_ID or (each.body.startswith("<!-- headway:") and each.author == "octavia"),
                created_at=datetime.fromisoformat(each.created_at),
                edited_at=datetime.fromisoformat(each.updated_at) if each.updated_at != each.created_at else None,
            )
            for each in self.fake.world.comments.values()
            if each.number == number
        ]

    def status(self, sha: str, context: str) -> WantedStatus | None:
        found = [run for run in self.fake.world.checks.values() if run["head_sha"] == sha and run["name"] == context]
        assert len(found) <= 1
        state = found[0]["conclusion"] or "pending" if found else None
        for each in self.fake.world.statuses:
            if each["sha"] == sha and each["context"] == context:
                state = each["state"]
        if state is None:
            return None
        return WantedStatus(repo_id=self.repo_id, sha=sha, context=context, state=_STATES[state], title="")

    def reactions(self, number: int, comment_id: str) -> Sequence[str]:
        return [content for _, content in self.fake.world.comments[int(comment_id)].reactions]

    def deployments(self) -> Sequence[WantedDeployment]:
        world = self.fake.world
        return [
            WantedDeployment(
                repo_id=self.repo_id,
                sha=each["sha"],
                environment=each["environment"],
                state=world.deployment_statuses[number][-1]["state"],
                description=each["description"],
                # GitHub's number of the one before is the chain's link there, which no other forge has.
                payload={name: text for name, text in each["payload"].items() if name != "previous_deployment"},
            )
            for number, each in world.deployments.items()
        ]


@pytest.fixture(params=["app", "token"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GitHubForgeWorld]:
    with_app = request.param == "app"
    with running(tmp_path / "github.git", with_app=with_app) as fake:
        app = GitHubApp(id=APP_ID, slug=APP_SLUG, private_key=fake.private_key) if with_app else None
        config = GitHubConfig(api=fake.url, app=app, token="" if with_app else PERSONAL_TOKEN, webhook_secrets=("s",))
        yield GitHubForgeWorld(fake, tmp_path, config)
        assert fake.problems == []


class TestGitHubForge(ForgeContract):
    """The whole contract."""


def test_what_is_fetched_is_one_object_by_its_name_and_no_credential_stays(
    world: GitHubForgeWorld, tmp_path: Path
) -> None:
    """Rule 15: never a branch, wherever it has moved to; its tree as it is, without hooks, filters or submodules."""
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "4" * 64 + "\nsize 5\n"
    files = {
        "train.py": "one\n",
        ".gitattributes": "*.bin filter=lfs\n*.py filter=evil\n",
        ".gitmodules": '[submodule "x"]\n\tpath = x\n\turl = file:///etc\n',
        "big.bin": pointer,
    }
    sha = world.commit("feature", files)
    later = world.commit("feature", {"train.py": "steal()\n"})
    folder = Path(world.forge.fetch(world.repo_id, sha))

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", "--git-dir", str(folder), *words], capture_output=True, text=True, check=False)

    assert git("for-each-ref", "--format=%(refname)").stdout.split() == [f"refs/headway/{sha}"]
    assert git("cat-file", "-e", later).returncode != 0, "what was pushed afterwards is not even here"
    written = write_source(folder, sha, tmp_path / "source")
    assert written.tree.tree == git("rev-parse", f"{sha}^{{tree}}").stdout.strip()
    assert (tmp_path / "source" / "train.py").read_text() == "one\n"
    assert (tmp_path / "source" / "big.bin").read_text() == pointer
    assert not (tmp_path / "source" / "x").exists()
    tokens = [*world.fake.tokens, PERSONAL_TOKEN]
    words = {form for each in tokens for form in (each, base64.b64encode(f"x-access-token:{each}".encode()).decode())}
    kept = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert [word for word in words if word.encode() in kept] == []
    for name in ("feature", "HEAD", "refs/heads/feature", sha[:20]):
        with pytest.raises(NotFound, match="not the full name of a commit"):
            world.forge.fetch(world.repo_id, name)
