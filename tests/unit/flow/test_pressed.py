"""A press under a check is a command for that check's commit, by whoever pressed, once a delivery."""

from __future__ import annotations

import pytest

from fakes.story import Story
from headway.commands.inbox import InboxStore
from headway.commands.model import Command, CommandState, Origin, Verb
from headway.commands.store import CommandStore
from headway.db import schema
from headway.flow import dispatch, intake
from headway.forges.model import Change, CheckPressed
from headway.forges.os_user import os_user
from headway.jobs.model import Job
from headway.jobs.store import JobStore


def press(story: Story, action: str, sha: str, *, job: Job | None = None, project: str = "", **given: str) -> None:
    external = job.id if job else f"project:{project}" if project else ""
    event = CheckPressed(
        delivery=given.get("delivery", f"p-{action}"),
        repo_id=story.repo.id,
        sha=sha,
        action=action,
        external_id=external,
        actor=given.get("actor", os_user()),
    )
    with story.app.database.write() as tx:
        InboxStore(tx).add(event, forge="local", at=story.clock.now())
    intake.step(story.app, story.background)
    dispatch.step(story.app, story.background)


def pressed(story: Story) -> list[Command]:
    with story.app.database.read() as tx:
        return [each for each in CommandStore(tx).of_repo(story.repo.id) if each.origin is Origin.BUTTON]


def jobs(story: Story) -> list[Job]:
    with story.app.database.read() as tx:
        return JobStore(tx).find(schema.job.c.repo_id == story.repo.id)


def opened(story: Story, name: str = "idea", **given: bool) -> Change:
    change = story.change(name, **given)  # type: ignore[arg-type]  # only from_fork
    intake.step(story.app, story.background)
    return change


def test_run_again_tries_the_check_s_own_job_again_and_once(story: Story) -> None:
    change = opened(story)
    job = story.ended(change, is_good=False)
    for _ in range(2):
        press(story, "rerun", change.head_sha, job=job)
    (command,) = pressed(story)
    assert (command.verb, command.arguments, command.state) == (Verb.RETRY, (str(job.number),), CommandState.EXECUTED)
    assert command.cause == f"run again was pressed under the check of commit {change.head_sha[:12]}"
    assert [each.commit for each in jobs(story)] == [change.head_sha] * 2


def test_run_again_under_a_check_without_a_job_trains(story: Story) -> None:
    change = opened(story)
    press(story, "rerun", change.head_sha, project="flights")
    assert [each.verb for each in pressed(story)] == [Verb.TRAIN]
    assert [job.commit for job in jobs(story)] == [change.head_sha]


def test_a_whole_suite_is_run_again(story: Story) -> None:
    change = opened(story)
    press(story, "rerun", change.head_sha)
    assert [(each.verb, each.project) for each in pressed(story)] == [(Verb.TRAIN, "flights")]


@pytest.mark.parametrize("action", ["rerun", "deploy", "approve"])
def test_a_press_on_an_older_commit_s_check_is_refused(story: Story, action: str) -> None:
    change = opened(story)
    job = story.ended(change)
    story.repository.commit("idea", {"train.py": "steal()\n"})
    press(story, action, change.head_sha, job=job)
    (command,) = pressed(story)
    assert (command.state, "a button is for the commit" in command.answer) == (CommandState.REFUSED, True)
    assert len(jobs(story)) == 1


@pytest.mark.parametrize(("action", "role"), [("rerun", "triage"), ("deploy", "write"), ("approve", "write")])
def test_a_press_needs_the_standing_of_its_command(story: Story, action: str, role: str) -> None:
    change = opened(story)
    job = story.ended(change)
    story.repository.git("config", "headway.role.eve", role)
    press(story, action, change.head_sha, job=job, actor="eve")
    (command,) = pressed(story)
    assert (command.state, "may not" in command.answer) == (CommandState.REFUSED, True)


def test_a_fork_s_run_again_waits_for_a_grant_and_its_approve_is_one(story: Story) -> None:
    change = opened(story, "fork", from_fork=True)
    press(story, "rerun", change.head_sha, project="flights")
    assert "only after a maintainer has approved" in pressed(story)[0].answer
    press(story, "approve", change.head_sha, project="flights")
    press(story, "rerun", change.head_sha, project="flights", delivery="again")
    assert [job.commit for job in jobs(story)] == [change.head_sha]
    story.repository.commit("fork", {"train.py": "steal()\n"})
    press(story, "approve", change.head_sha, project="flights", delivery="late")
    assert "a button is for the commit" in pressed(story)[0].answer


def test_a_check_of_another_commit_or_nobody_s_means_nothing(story: Story) -> None:
    change = opened(story)
    job = story.ended(change)
    press(story, "rerun", "a" * 40, job=job)
    press(story, "rerun", "b" * 40, delivery="none")
    press(story, "deploy", opened(story, "other").head_sha, project="flights")
    assert pressed(story) == []
