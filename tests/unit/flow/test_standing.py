"""Who may give which command: what the forge says, what the base branch asks, and for which commit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fakes.story import CONFIG, Story
from headway.commands.model import CommandState, ParsedCommand, Verb
from headway.db import schema
from headway.flow import dispatch, intake, settle
from headway.flow.standing import needed_for, wrong_commit
from headway.forges.model import Permission
from headway.jobs.store import JobStore

TRAINERS = CONFIG + "triggers: {pull_request: {comment: /full-test, roles: [maintain, admin]}}\n"


def _role(story: Story, user: str, role: str) -> None:
    story.repository.git("config", f"headway.role.{user}", role)


@pytest.mark.parametrize(
    ("role", "verb", "may"),
    [
        ("none", Verb.WHY, False),
        ("read", Verb.WHY, True),
        ("read", Verb.TRAIN, False),
        ("triage", Verb.TRAIN, False),
        ("write", Verb.TRAIN, True),
        ("write", Verb.STOP, True),
        ("write", Verb.APPROVE, False),
        ("write", Verb.OVERRIDE, False),
        ("write", Verb.DEPLOY, False),
        ("write", Verb.ROLLBACK, False),
        ("maintain", Verb.APPROVE, True),
        ("nonsense", Verb.WHY, False),
    ],
)
def test_the_forge_s_word_counts(story: Story, role: str, verb: Verb, *, may: bool) -> None:
    _role(story, "eve", role)
    command = story.command(verb, story.change(), actor="eve", arguments=("auc",), reason="because")
    dispatch.step(story.app, story.background)
    answer = story.answer(command)
    assert ("may not" not in answer.answer) == may, answer.answer
    if not may:
        assert answer.state is CommandState.REFUSED


def test_the_base_branch_says_who_trains_a_change(tmp_path: Path) -> None:
    story = Story(tmp_path, config=TRAINERS)
    # The change gives itself away to everybody; nobody asks it.
    change = story.change("idea", **{"headway.yaml": CONFIG + "triggers: {pull_request: {roles: [read]}}\n"})
    command = story.command(Verb.TRAIN, change, actor="eve")
    assert needed_for(story.app, command) is Permission.MAINTAIN
    assert needed_for(story.app, replace(command, verb=Verb.STOP)) is Permission.WRITE
    _role(story, "eve", "write")
    dispatch.step(story.app, story.background)
    assert "needs maintain" in story.answer(command).answer
    _role(story, "eve", "maintain")
    again = story.command(Verb.TRAIN, change, actor="eve")
    dispatch.step(story.app, story.background)
    assert story.answer(again).state is CommandState.EXECUTED
    story.close()


def test_a_change_is_asked_for_the_command_that_the_project_names(tmp_path: Path) -> None:
    story = Story(tmp_path, config=TRAINERS)
    story.change()
    intake.step(story.app, story.background)
    assert [status["title"] for status in story.outbox("status")] == ["not run at this commit: comment /full-test"]
    story.close()


def test_a_fork_s_command_names_the_whole_commit(story: Story) -> None:
    fork = story.change("fork", from_fork=True)
    for verb in (Verb.PLAN, Verb.TRAIN, Verb.RETRY, Verb.APPROVE, Verb.DEPLOY):
        assert "whole commit" in wrong_commit(fork, ParsedCommand(verb=verb))
        assert "whole commit" in wrong_commit(fork, ParsedCommand(verb=verb, sha=fork.head_sha[:20]))
        assert wrong_commit(fork, ParsedCommand(verb=verb, sha=fork.head_sha)) == ""
    assert wrong_commit(fork, ParsedCommand(verb=Verb.STOP)) == ""


def test_a_fork_s_approval_is_for_the_commit_that_was_seen(story: Story) -> None:
    fork = story.change("fork", from_fork=True)
    approval = story.command(Verb.APPROVE, fork)
    story.repository.commit("fork", {"train.py": "steal()\n"})
    dispatch.step(story.app, story.background)
    assert "has moved" in story.answer(approval).answer
    fork = story.forge.get_change(story.repo.id, fork.number)
    training = story.command(Verb.TRAIN, fork)
    dispatch.step(story.app, story.background)
    assert "only after a maintainer has approved" in story.answer(training).answer


def test_two_wrong_lines_of_a_comment_are_two_answers(story: Story) -> None:
    change = story.change()
    intake.step(story.app, story.background)
    story.forge.add_comment(story.repo.id, change.number, author="eve", body=f"/trian\n/train @{'a' * 40}\n")
    intake.step(story.app, story.background)
    said = [comment["body"] for comment in story.outbox("comment")]
    assert len(said) == 2
    assert any("is not the head" in body for body in said)


def test_an_override_ends_with_the_base_that_it_was_given_on(story: Story) -> None:
    """Rule 31: a maintainer's word is for one head on one base; what the base is judged by has changed since."""
    change = story.change()
    job = story.ended(change, is_good=False)
    word = story.command(Verb.OVERRIDE, change, arguments=("auc",), reason="known to be late")
    dispatch.step(story.app, story.background)
    assert "on this base and no other" in story.answer(word).answer
    with story.app.database.read() as tx:
        (kept,) = tx.execute(schema.override.select()).mappings().all()
        plan = JobStore(tx).plan(job.plan_id)
        assert (kept["head_sha"], kept["base_sha"]) == (job.commit, plan.base_commit)
        assert [each.check for each in settle._overrides(tx, job, plan)] == ["auc"]
        moved = replace(plan, base_commit="b" * 40)
        assert settle._overrides(tx, job, moved) == []


def test_an_override_without_a_reason_is_answered_with_the_form(story: Story) -> None:
    """Rule 31: the reason is mandatory."""
    change = story.change()
    intake.step(story.app, story.background)
    story.forge.add_comment(story.repo.id, change.number, author="eve", body="/override auc\n")
    intake.step(story.app, story.background)
    dispatch.step(story.app, story.background)
    with story.app.database.read() as tx:
        assert tx.execute(schema.override.select()).all() == []
