"""Whoever merges, and however: a change's good results become the baseline, and nothing is trained for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.story import CONFIG, Story
from headway.commands.model import Origin
from headway.commands.store import CommandStore
from headway.db import schema
from headway.flow import dispatch, intake
from headway.flow.model import JobResult
from headway.flow.results import JobResults
from headway.forges.git_merge import MergeMethod
from headway.forges.model import StatusState, WantedStatus
from headway.jobs.store import JobStore

BY_HAND = {
    "merge": (("merge", "-q", "--no-ff", "-m", "by hand", "idea"),),
    "fast-forward": (("merge", "-q", "--ff-only", "idea"),),
    "squash": (("merge", "-q", "--squash", "idea"), ("commit", "-q", "-m", "squashed by hand")),
    "rebase": (("cherry-pick", "idea"),),
}


def _baseline(story: Story) -> JobResult | None:
    intake.step(story.app, story.background)
    intake.step(story.app, story.background)
    with story.app.database.read() as tx:
        return JobResults(tx).latest_baseline(story.repo.id, "flights")


@pytest.mark.parametrize("is_behind", [False, True])
@pytest.mark.parametrize("how", BY_HAND)
def test_a_merge_by_hand_is_recognised(story: Story, how: str, *, is_behind: bool) -> None:
    change = story.change()
    job = story.ended(change)
    if is_behind and how != "fast-forward":
        story.repository.commit("main", {"other.txt": "moved on\n"})
        assert _baseline(story) is None
    for arguments in BY_HAND[how]:
        story.repository.git(*arguments)
    found = _baseline(story)
    # Where the base had moved on, what is there now is more than what was judged: a matter of another test.
    if not is_behind:
        assert found is not None
        assert (found.job_id, found.branch) == (job.id, "main")
    assert story.forge.get_change(story.repo.id, change.number).state == "merged"
    with story.app.database.read() as tx:
        assert len(JobStore(tx).find()) == 1, "nothing is trained for it"


def test_another_commit_on_the_base_merges_nothing(story: Story) -> None:
    change = story.change()
    story.ended(change)
    story.repository.commit("main", {"train.py": "something else\n"})
    story.repository.commit("main", {"README.md": "idea\n"})
    assert _baseline(story) is None
    assert story.forge.get_change(story.repo.id, change.number).state == "open"


@pytest.mark.parametrize("method", list(MergeMethod))
def test_a_merge_of_ours_promotes_too(story: Story, method: MergeMethod) -> None:
    change = story.change()
    job = story.ended(change)
    green = WantedStatus(
        repo_id=story.repo.id,
        sha=change.head_sha,
        context="headway/flights",
        state=StatusState.SUCCESS,
        title="good",
    )
    story.forge.deliver(green)
    story.forge.merge(story.repo.id, change.number, actor="root", method=method, required=("headway/flights",))
    found = _baseline(story)
    assert found is not None
    assert found.job_id == job.id


def test_what_did_not_pass_is_no_baseline(story: Story) -> None:
    story.ended(story.change(), is_good=False)
    story.repository.git("merge", "-q", "idea")
    assert _baseline(story) is None


def test_a_change_to_another_branch_makes_no_baseline(story: Story) -> None:
    story.repository.git("branch", "release")
    story.repository.commit("idea", {"train.py": "2\n"})
    change = story.forge.open_change(story.repo.id, "idea", base_ref="release")
    story.ended(change)
    story.repository.git("push", "-q", ".", "idea:release")
    assert _baseline(story) is None


@pytest.mark.parametrize(("cancels", "left"), [("true", 1), ("false", 2)])
def test_a_push_supersedes_where_the_project_says_so(tmp_path: Path, cancels: str, left: int) -> None:
    config = CONFIG + f"engine: {{concurrency: {{cancel_in_progress: {cancels}}}}}\n"
    story = Story(tmp_path, config=config)
    change = story.change()
    story.queued(change)
    story.repository.commit("idea", {"train.py": "newer\n"})
    intake.step(story.app, story.background)
    story.queued(story.forge.get_change(story.repo.id, change.number))
    with story.app.database.read() as tx:
        assert len(JobStore(tx).find(schema.job.c.desired == "run")) == left
    story.close()


def test_a_push_to_the_default_branch_trains_once_where_the_file_says_so(tmp_path: Path) -> None:
    story = Story(tmp_path, config=CONFIG + "triggers: {push: {branches: [main]}}\n")
    intake.step(story.app, story.background)
    head = story.repository.commit("main", {"train.py": "2\n"})
    story.repository.commit("side", {"train.py": "3\n"})
    for _ in range(3):
        intake.step(story.app, story.background)
        dispatch.step(story.app, story.background)
    with story.app.database.read() as tx:
        commands = CommandStore(tx).of_repo(story.repo.id)
        (job,) = JobStore(tx).find()
    assert [(each.origin, each.head_sha) for each in commands] == [(Origin.PUSH, head)]
    assert (job.commit, job.branch) == (head, "main")
    story.close()
