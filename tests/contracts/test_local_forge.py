from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from contracts.forge import ForgeContract
from fakes.databases import DATABASES, clean_database
from fakes.repository import Repository
from headway.clock import FixedClock
from headway.forges.git_merge import MergeMethod
from headway.forges.local import LocalForge, os_user
from headway.forges.model import Change, Permission, PostedComment, StatusState, WantedDeployment, WantedStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from headway.db.connection import Database


class LocalWorld:
    def __init__(self, folder: Path, database: Database) -> None:
        self.repository = Repository(folder)
        self.forge = LocalForge(database, FixedClock(datetime(2026, 11, 20, 9, 0, tzinfo=UTC)))
        self.repo_id = self.forge.register_repo(folder).id

    def commit(self, branch: str, files: Mapping[str, str]) -> str:
        return self.repository.commit(branch, files)

    def open_change(self, branch: str) -> Change:
        return self.forge.open_change(self.repo_id, branch)

    def comment(self, number: int, author: str, body: str) -> PostedComment:
        return self.forge.add_comment(self.repo_id, number, author=author, body=body)

    def merge(self, number: int) -> Change:
        head = self.forge.get_change(self.repo_id, number).head_sha
        self.forge.deliver(
            WantedStatus(repo_id=self.repo_id, sha=head, context="headway/x", state=StatusState.SUCCESS, title="t")
        )
        return self.forge.merge(self.repo_id, number, actor=os_user(), method=MergeMethod.MERGE).change

    def grant(self, user: str, permission: Permission) -> None:
        self.repository.git("config", f"headway.role.{user}", permission.name.lower())

    def comments(self, number: int) -> Sequence[PostedComment]:
        return self.forge.show(self.repo_id, number).comments

    def status(self, sha: str, context: str) -> WantedStatus | None:
        return next((each for each in self.forge.statuses(self.repo_id, sha) if each.context == context), None)

    def reactions(self, number: int, comment_id: str) -> Sequence[str]:
        return self.forge.show(self.repo_id, number).reactions[comment_id]

    def deployments(self) -> Sequence[WantedDeployment]:
        return self.forge.deployments(self.repo_id)


@pytest.fixture(params=DATABASES)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalWorld]:
    with clean_database(request.param, tmp_path) as database:
        yield LocalWorld(tmp_path / "repository", database)


class TestLocalForge(ForgeContract):
    pass
