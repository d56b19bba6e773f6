from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contracts.forge import ForgeContract
from fakes.forge import FakeForge
from headway.errors import Unreachable
from headway.forges.model import Change, Permission, PostedComment, StatusState, WantedDeployment, WantedStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class FakeWorld:
    def __init__(self, folder: Path) -> None:
        self.forge = FakeForge(folder)
        self.repo_id = self.forge.repo.id
        self.forge.commit("main", {"README.md": "read me\n"})

    def commit(self, branch: str, files: Mapping[str, str]) -> str:
        return self.forge.commit(branch, files)

    def open_change(self, branch: str) -> Change:
        return self.forge.open_change(branch)

    def comment(self, number: int, author: str, body: str) -> PostedComment:
        return self.forge.add_comment(number, author=author, body=body)

    def merge(self, number: int) -> Change:
        return self.forge.merge(number)

    def grant(self, user: str, permission: Permission) -> None:
        self.forge.grant(user, permission)

    def comments(self, number: int) -> Sequence[PostedComment]:
        return self.forge.comments(number)

    def status(self, sha: str, context: str) -> WantedStatus | None:
        return self.forge.statuses.get((sha, context))

    def reactions(self, number: int, comment_id: str) -> Sequence[str]:
        return self.forge.reactions[comment_id]

    def deployments(self) -> Sequence[WantedDeployment]:
        return list(self.forge.deployments.values())


@pytest.fixture
def world(tmp_path: Path) -> FakeWorld:
    return FakeWorld(tmp_path / "fake.git")


class TestFakeForge(ForgeContract):
    pass


def test_a_head_moves_right_after_it_was_read(world: FakeWorld) -> None:
    head = world.commit("feature", {"train.py": "two\n"})
    number = world.open_change("feature").number
    world.forge.move_on_read(number, {"train.py": "hostile\n"})
    assert world.forge.get_change(world.repo_id, number).head_sha == head
    assert world.forge.get_change(world.repo_id, number).head_sha != head


def test_faults_come_before_or_after_the_deed_and_pass(world: FakeWorld) -> None:
    sha = world.commit("main", {"train.py": "two\n"})
    wanted = WantedStatus(repo_id=world.repo_id, sha=sha, context="headway/x", state=StatusState.SUCCESS, title="t")
    world.forge.fail("deliver", Unreachable("the forge is away"))
    with pytest.raises(Unreachable):
        world.forge.deliver(wanted)
    assert world.status(sha, "headway/x") is None
    world.forge.fail("deliver", Unreachable("no answer came"), after=True)
    with pytest.raises(Unreachable):
        world.forge.deliver(wanted)
    assert world.status(sha, "headway/x") == wanted
    world.forge.deliver(wanted)
