"""What begins by itself: labels, foreign events, times and newer versions, each once, and by whose word."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from fakes.story import CONFIG, Story
from headway.auth.model import NO_PROJECT
from headway.auth.projects import ProjectStore
from headway.commands.inbox import InboxStore
from headway.commands.model import Command, CommandState, Origin
from headway.commands.store import CommandStore
from headway.db import schema
from headway.flow import dispatch, intake
from headway.flow.schedule import Triggers
from headway.forges.model import ChangeLabelled, ChangeMoved, Dispatched, Event
from headway.forges.os_user import os_user
from headway.registry.store import RegistryStore

LISTENING = CONFIG + "params: {lr: 0.1}\ntriggers: {label: [train], dispatch: [data-landed]}\n"
NIGHTLY = CONFIG + 'triggers: {schedule: {cron: "0 3 * * *"}}\n'
DOWNSTREAM = CONFIG + "model: {name: own}\ntriggers: {version: [upstream]}\n"


def tell(story: Story, event: Event) -> None:
    with story.app.database.write() as tx:
        InboxStore(tx).add(event, forge="local", at=story.clock.now())
    intake.step(story.app, story.background)
    dispatch.step(story.app, story.background)


def commands(story: Story) -> list[Command]:
    with story.app.database.read() as tx:
        return list(CommandStore(tx).of_repo(story.repo.id))


@pytest.fixture
def listening(tmp_path: Path) -> Story:
    return Story(tmp_path, config=LISTENING)


def test_a_label_trains_the_commit_that_it_was_put_on(listening: Story) -> None:
    change = listening.change()
    label = ChangeLabelled(delivery="l1", change=change, label="train", actor=os_user())
    tell(listening, label)
    tell(listening, label)
    (command,) = commands(listening)
    assert (command.origin, command.state, command.head_sha) == (
        Origin.LABEL,
        CommandState.EXECUTED,
        change.head_sha,
    )
    assert command.cause == "label 'train' was put on change 1"
    listening.close()


def test_other_labels_and_other_people_s_labels_train_nothing(listening: Story) -> None:
    change = listening.change()
    tell(listening, ChangeLabelled(delivery="l1", change=change, label="bug", actor=os_user()))
    assert commands(listening) == []
    listening.repository.git("config", "headway.role.eve", "triage")
    tell(listening, ChangeLabelled(delivery="l2", change=change, label="train", actor="eve"))
    (command,) = commands(listening)
    assert (command.state, "may not /train" in command.answer) == (CommandState.REFUSED, True)
    listening.close()


def test_a_label_does_not_train_what_was_pushed_after_it(listening: Story) -> None:
    change = listening.change()
    listening.repository.commit("idea", {"train.py": "steal()\n"})
    tell(listening, ChangeLabelled(delivery="l1", change=change, label="train", actor=os_user()))
    (command,) = commands(listening)
    assert (command.state, "has moved" in command.answer) == (CommandState.REFUSED, True)
    listening.close()


def test_a_label_that_was_found_by_looking_trains_only_what_was_known_before_it(listening: Story) -> None:
    """Rule 12: nothing says at which commit it was put on; without doubt it trains, with doubt the commit is asked."""
    change = listening.change()
    moved = ChangeMoved(delivery="m1", action="opened", change=change, actor=os_user())
    tell(listening, moved)
    at = listening.clock.now()
    tell(listening, ChangeLabelled(delivery="l1", change=change, label="train", actor=os_user(), at=at))
    assert commands(listening) == []
    (said,) = answers(listening)
    assert "`HW-HEAD-UNSURE`" in said
    assert f"/train @{change.head_sha}" in said
    listening.clock.forward(10)
    at = listening.clock.now()
    tell(listening, ChangeLabelled(delivery="l2", change=change, label="bug", actor=os_user(), at=at))
    tell(listening, ChangeLabelled(delivery="l3", change=change, label="train", actor=os_user(), at=at))
    (command,) = commands(listening)
    assert (command.origin, command.head_sha, command.state) == (Origin.LABEL, change.head_sha, CommandState.EXECUTED)
    assert answers(listening) == [said]
    listening.close()


def answers(story: Story) -> list[str]:
    with story.app.database.read() as tx:
        bodies = tx.execute(select(schema.outbox.c.want_body).where(schema.outbox.c.kind == "comment")).scalars()
        return [body["body"] for body in bodies if "headway:answer label" in body["marker"]]


def test_a_label_of_the_change_s_own_file_means_nothing(story: Story) -> None:
    change = story.change("idea", **{"headway.yaml": LISTENING})
    tell(story, ChangeLabelled(delivery="l1", change=change, label="train", actor=os_user()))
    assert commands(story) == []


def test_a_fork_s_label_is_no_grant(listening: Story) -> None:
    change = listening.change("fork", from_fork=True)
    tell(listening, ChangeLabelled(delivery="l1", change=change, label="train", actor=os_user()))
    (command,) = commands(listening)
    assert "only after a maintainer has approved" in command.answer
    listening.close()


def test_another_system_s_event_trains_the_default_branch_with_the_params_that_it_has(listening: Story) -> None:
    payload = {"lr": "0.5", "secret": "no param of ours"}
    event = Dispatched(delivery="d1", repo_id=listening.repo.id, name="data-landed", payload=payload, actor=os_user())
    tell(listening, event)
    tell(listening, event)
    (command,) = commands(listening)
    assert (command.origin, command.state) == (Origin.DISPATCH, CommandState.EXECUTED), command.answer
    assert (command.params, command.head_sha, command.branch) == (
        {"lr": "0.5"},
        listening.repository.head(),
        "main",
    )
    tell(
        listening,
        Dispatched(delivery="d2", repo_id=listening.repo.id, name="other", payload={}, actor=os_user()),
    )
    assert len(commands(listening)) == 1
    listening.close()


def test_another_system_needs_standing_too(listening: Story) -> None:
    listening.repository.git("config", "headway.role.robot", "read")
    tell(
        listening,
        Dispatched(delivery="d1", repo_id=listening.repo.id, name="data-landed", payload={}, actor="robot"),
    )
    (command,) = commands(listening)
    assert command.state is CommandState.REFUSED
    listening.close()


def test_a_schedule_begins_with_the_next_time_and_makes_up_once_for_an_outage(tmp_path: Path) -> None:
    story = Story(tmp_path, config=NIGHTLY)
    story.clock._at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    triggers = Triggers()
    triggers.look(story.app)
    story.clock.forward(14 * 3600)
    triggers.look(story.app)
    assert commands(story) == [], "two o'clock is not three"
    story.clock.forward(2 * 3600)
    for _ in range(3):
        Triggers().look(story.app)
    (first,) = commands(story)
    assert (first.origin, first.actor, first.head_sha) == (Origin.SCHEDULE, "headway", story.repository.head())
    assert first.cause == "schedule '0 3 * * *' was due at 2026-03-02 03:00 UTC"
    story.clock.forward(10 * 86_400)
    for _ in range(3):
        Triggers().look(story.app)
    found = commands(story)
    assert [each.cause[-20:] for each in found] == ["2026-03-12 03:00 UTC", "2026-03-02 03:00 UTC"]
    dispatch.step(story.app, story.background)
    assert {each.state for each in commands(story)} == {CommandState.EXECUTED}
    story.close()


def test_a_new_time_makes_up_for_nothing(tmp_path: Path) -> None:
    story = Story(tmp_path, config=NIGHTLY)
    Triggers().look(story.app)
    story.repository.commit("main", {"headway.yaml": CONFIG})
    Triggers().look(story.app)
    with story.app.database.read() as tx:
        assert tx.execute(select(schema.trigger_mark)).all() == []
    story.clock.forward(3 * 86_400)
    story.repository.commit("main", {"headway.yaml": NIGHTLY})
    Triggers().look(story.app)
    assert commands(story) == []
    story.close()


def test_a_newer_version_trains_what_waits_for_it(tmp_path: Path) -> None:
    story = Story(tmp_path, config=DOWNSTREAM)
    _register(story, "upstream")
    triggers = Triggers()
    triggers.look(story.app)
    triggers.look(story.app)
    assert commands(story) == [], "what was there already is not news"
    _register(story, "upstream")
    _register(story, "upstream")
    triggers.look(story.app)
    triggers.look(story.app)
    (command,) = commands(story)
    assert (command.origin, command.actor, command.cause) == (
        Origin.VERSION,
        "maria",
        "version 3 of upstream was registered",
    )
    story.close()


def test_another_project_s_versions_are_none_to_wait_for(tmp_path: Path) -> None:
    """A file may name any model: whether and when one has a new version is for its own project's members."""
    story = Story(tmp_path, config=DOWNSTREAM)
    with story.app.database.write() as tx:
        ProjectStore(tx).add("secret", at=story.clock.now(), by="ada")
    _register(story, "upstream", project="secret")
    triggers = Triggers()
    triggers.look(story.app)
    _register(story, "upstream")
    triggers.look(story.app)
    assert commands(story) == []
    story.close()


def _register(story: Story, model: str, *, project: str = NO_PROJECT) -> None:
    with story.app.database.write() as tx:
        store = RegistryStore(tx, story.clock)
        known = tx.execute(select(schema.registered_model.c.name)).scalars().all()
        if model not in known:
            store.create_model(model, actor="maria", project=project)
        store.create_version(model, source="elsewhere/model", created_by="maria")
