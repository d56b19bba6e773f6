"""A forge that is away, and deliveries that come late, twice or in another order than what happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from fakes.story import Story
from headway.commands.inbox import InboxState, InboxStore
from headway.commands.model import CommandState, ParsedCommand, Verb
from headway.db import schema
from headway.errors import Unreachable
from headway.flow import dispatch, intake
from headway.flow.background import Background
from headway.flow.standing import doubtful_head, unnamed_production
from headway.forges.head_store import HeadStore
from headway.forges.local import LocalForge
from headway.forges.model import Change, ChangeMoved, ChangeState, Permission
from headway.jobs.store import JobStore


class AwayForge(LocalForge):
    """A forge that does not answer for as long as it is told so."""

    is_away = False

    def get_permission(self, repo_id: str, user: str) -> Permission:
        if self.is_away:
            raise Unreachable("the forge does not answer", cause="connection refused")
        return super().get_permission(repo_id, user)

    def get_change(self, repo_id: str, number: int) -> Change:
        if self.is_away:
            raise Unreachable("the forge does not answer", cause="connection refused")
        return super().get_change(repo_id, number)


class Impatient(Background):
    """Pauses are noted and not waited for."""

    def __init__(self) -> None:
        super().__init__(threads=1)
        self.paused: list[float] = []

    def pause(self, name: str, seconds: float) -> None:
        self.paused.append(seconds)

    def run(self, name: str, work: Callable[[], None]) -> bool:
        work()
        return True


@pytest.fixture
def away(story: Story) -> AwayForge:
    forge = AwayForge(story.app.database, story.clock)
    story.app = replace(story.app, forges={"local": forge})
    story.forge = forge
    return forge


def test_a_command_waits_for_its_forge_and_is_carried_out(story: Story, away: AwayForge) -> None:
    change, background = story.change(), Impatient()
    away.is_away = True
    command = story.command(Verb.TRAIN, change)
    other = story.command(Verb.HELP)
    for _ in range(3):
        dispatch.step(story.app, background)
        story.clock.forward(60)
    assert story.answer(command).state is CommandState.ACCEPTED
    assert story.answer(other).state is CommandState.ACCEPTED, "in their order"
    away.is_away = False
    dispatch.step(story.app, background)
    assert story.answer(command).state is CommandState.EXECUTED
    assert story.answer(other).state is CommandState.EXECUTED
    assert background.paused == [10.0, 10.0, 10.0]


def test_after_five_minutes_a_command_is_refused_with_the_cause(story: Story, away: AwayForge) -> None:
    command, background = story.command(Verb.TRAIN, story.change()), Impatient()
    away.is_away = True
    dispatch.step(story.app, background)
    story.clock.forward(295)
    dispatch.step(story.app, background)
    assert story.answer(command).state is CommandState.ACCEPTED
    assert background.paused[-1] == pytest.approx(6.0), "not longer than it may wait"
    story.clock.forward(6)
    dispatch.step(story.app, background)
    ended = story.answer(command)
    assert ended.state is CommandState.REFUSED
    assert "connection refused" in ended.answer
    assert "tried for 5 minutes" in ended.answer


def test_a_paused_repository_holds_nobody_up(story: Story) -> None:
    background = Background(threads=1)
    background.pause(f"commands:{story.repo.id}", 3600)
    command = story.command(Verb.HELP)
    assert dispatch.step(story.app, background) is False
    assert story.answer(command).state is CommandState.ACCEPTED
    background.close()


def _tell(story: Story, *events: ChangeMoved) -> None:
    with story.app.database.write() as tx:
        for event in events:
            InboxStore(tx).add(event, forge="local", at=story.clock.now())
    intake.step(story.app, story.background)


def _moved(change: Change, delivery: str) -> ChangeMoved:
    return ChangeMoved(delivery=delivery, action="pushed", change=change, actor="ada")


def test_an_old_push_that_is_told_late_cancels_nothing_newer(story: Story) -> None:
    older = story.change()
    story.repository.commit("idea", {"train.py": "newer\n"})
    newer = story.forge.get_change(story.repo.id, older.number)
    intake.step(story.app, story.background)
    job = story.queued(newer)
    _tell(story, _moved(older, "late"), _moved(older, "late"), _moved(older, "twice"))
    with story.app.database.read() as tx:
        assert JobStore(tx).get(job.id).desired == "run"
        assert [each["sha"] for each in story.outbox("status")] == [newer.head_sha]
        assert not HeadStore(tx).is_newest(story.repo.id, older.number, older.head_sha)


def test_pushes_in_another_order_end_the_work_of_every_older_head(story: Story) -> None:
    first = story.change()
    intake.step(story.app, story.background)
    job = story.queued(first)
    heads = [first]
    for text in ("2\n", "3\n"):
        story.repository.commit("idea", {"train.py": text})
        heads.append(story.forge.get_change(story.repo.id, first.number))
    _tell(story, _moved(heads[2], "c"), _moved(heads[1], "b"), _moved(heads[0], "a"))
    with story.app.database.read() as tx:
        assert JobStore(tx).get(job.id).superseded_by == heads[2].head_sha


def test_a_push_of_a_merged_change_is_old_news(story: Story) -> None:
    change = story.change()
    intake.step(story.app, story.background)
    story.repository.git("merge", "-q", "--ff-only", "idea")
    intake.step(story.app, story.background)
    before = story.outbox("status")
    _tell(story, _moved(change, "late"))
    assert story.outbox("status") == before
    with story.app.database.read() as tx:
        states = tx.execute(schema.inbox.select().where(schema.inbox.c.delivery_id == "late")).all()
    assert [row.state for row in states] == [InboxState.IGNORED]


def test_a_head_that_came_back_is_doubted(story: Story) -> None:
    """Rule 12: A shown long ago, B shown to the reviewer, A pushed back under the comment."""
    change = story.change()
    parsed = ParsedCommand(verb=Verb.TRAIN)
    with story.app.database.write() as tx:
        HeadStore(tx).note(story.repo.id, change.number, change.head_sha, story.clock.now())
    story.clock.forward(60)
    assert doubtful_head(story.app, change, parsed, story.clock.now()) == ""
    with story.app.database.write() as tx:
        HeadStore(tx).note(story.repo.id, change.number, "b" * 40, story.clock.now())
    story.clock.forward(60)
    assert "stood elsewhere since" in doubtful_head(story.app, change, parsed, story.clock.now())


def test_what_is_not_merged_is_released_by_name(story: Story) -> None:
    """Rule 13: a production release of open work names its commit, or its run."""
    change = story.change()
    deploy = ParsedCommand(verb=Verb.DEPLOY)
    assert f"/deploy @{change.head_sha}" in unnamed_production(change, deploy)
    assert unnamed_production(change, replace(deploy, sha=change.head_sha[:16]))
    for named in (
        replace(deploy, sha=change.head_sha),
        replace(deploy, arguments=("12",)),
        replace(deploy, environment="staging"),
        replace(deploy, dry_run=True),
        ParsedCommand(verb=Verb.TRAIN),
    ):
        assert unnamed_production(change, named) == ""
    assert unnamed_production(replace(change, state=ChangeState.MERGED), deploy) == ""
