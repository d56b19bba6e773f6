"""What a check says of a job: pending until judged, success only with a verdict, buttons after the end."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest
from sqlalchemy import select, update

from fakes.story import CONFIG, EVIL, Story
from headway.db import schema
from headway.flow import intake
from headway.flow.merging import context
from headway.flow.present import view_job
from headway.flow.statuses import status_of
from headway.forges.github.checks import LONGEST_TEXT, check_body
from headway.forges.model import StatusState, WantedStatus
from headway.jobs.model import Job, JobState
from headway.jobs.store import JobStore
from headway.projects.model import DeploySpec
from headway.reports.model import ReportState
from headway.reports.render import render
from headway.serving.model import Release, ReleaseState

if TYPE_CHECKING:
    from pathlib import Path

    from headway.reports.model import ReportView


def _view(story: Story, job: Job) -> ReportView:
    with story.app.database.read() as tx:
        return view_job(story.app, tx, job)


def _status(story: Story, job: Job, view: ReportView | None = None, *, deploys: bool = False) -> WantedStatus:
    seen = view or _view(story, job)
    with story.app.database.read() as tx:
        project = JobStore(tx).plan(job.plan_id).project
    return status_of(job, seen, render(seen), replace(project, deploy=DeploySpec()) if deploys else project)


def _release(state: ReleaseState, story: Story) -> Release:
    return Release(
        id="r",
        project="flights",
        repo_id=story.repo.id,
        environment="production",
        model="flights",
        version=1,
        previous=None,
        command_id="c",
        change=1,
        commit="a" * 40,
        requested_by="ada",
        approved_by=(),
        state=state,
        reason="",
        step=0,
        stages=(),
        test_output="",
        version_no=1,
        created_at=story.clock.now(),
    )


def test_queued_then_at_work_then_over(story: Story) -> None:
    change = story.change()
    job = story.queued(change)
    waiting = _status(story, job)
    assert (waiting.state, waiting.is_started, waiting.buttons) == (StatusState.PENDING, False, ())
    assert (waiting.sha, waiting.context, waiting.external_id) == (change.head_sha, context("flights"), job.id)
    started = story.clock.now()
    with story.app.database.write() as tx:
        tx.execute(update(schema.job).where(schema.job.c.id == job.id).values(state="running", started_at=started))
        running = JobStore(tx).get(job.id)
    view = replace(_view(story, running), seconds_left=125.0)
    at_work = _status(story, running, view)
    assert (at_work.state, at_work.is_started, at_work.started_at) == (StatusState.PENDING, True, started)
    assert at_work.title.startswith("⏳ flights: running")
    assert at_work.title.endswith(" left")
    assert check_body(at_work)["status"] == "in_progress"
    assert check_body(waiting)["status"] == "queued"


def test_a_pass_can_be_run_again_and_deployed_where_that_is_configured(story: Story) -> None:
    job = story.ended(story.change())
    assert [each.action for each in _status(story, job).buttons] == ["rerun"]
    passed = _status(story, job, deploys=True)
    assert passed.state is StatusState.SUCCESS
    assert [each.action for each in passed.buttons] == ["rerun", "deploy"]
    assert passed.finished_at == job.finished_at
    assert "1 gate of 1 allow the merge" in passed.summary
    assert "<!-- headway" not in passed.text
    body = check_body(passed)
    assert all(len(each["label"]) <= 20 and len(each["description"]) <= 40 for each in body["actions"])
    assert all(len(each["identifier"]) <= 20 for each in body["actions"])


def test_a_failure_names_the_gates_and_offers_no_release(story: Story) -> None:
    job = story.ended(story.change(), is_good=False)
    failed = _status(story, job, deploys=True)
    assert failed.state is StatusState.FAILURE
    assert "`auc`" in failed.summary
    assert [each.action for each in failed.buttons] == ["rerun"]


def test_a_release_that_waits_can_be_approved_from_the_check(story: Story) -> None:
    job = story.ended(story.change())
    view = replace(_view(story, job), state=ReportState.DEPLOYED, release=_release(ReleaseState.WAITING, story))
    waiting = _status(story, job, view, deploys=True)
    assert waiting.state is StatusState.SUCCESS
    assert [each.action for each in waiting.buttons] == ["rerun", "approve"]


def test_missing_evidence_is_never_success(story: Story) -> None:
    """Rule 27, over every state of a report and of a job: without a verdict nothing is green or neutral."""
    queued = story.queued(story.change())
    seen = replace(_view(story, queued), verdict=None, release=_release(ReleaseState.PROMOTED, story))
    for state in ReportState:
        for job_state in JobState:
            said = _status(story, replace(queued, state=job_state), replace(seen, state=state))
            assert said.state is not StatusState.SUCCESS
            assert not said.is_neutral
            assert check_body(said).get("conclusion") not in ("success", "neutral", "skipped")


def test_only_a_policy_makes_a_success_neutral_and_a_failure_never_is(story: Story) -> None:
    job = story.ended(story.change(), is_good=False)
    assert check_body(replace(_status(story, job), is_neutral=True))["conclusion"] == "failure"


def test_hostile_words_stay_words_and_the_limits_hold(story: Story) -> None:
    job = story.ended(story.change())
    view = replace(_view(story, job), reason=EVIL, actor=EVIL, command=EVIL, verdict=None)
    said = _status(story, job, view)
    outside_code = re.sub(r"(`+).*?\1(?!`)", "", said.summary)
    assert "<img" not in outside_code
    assert "@everyone" not in outside_code
    body = check_body(replace(said, summary="x" * 200_000, text="y" * 200_000, title="z" * 500))
    assert len(body["output"]["summary"]) <= LONGEST_TEXT
    assert len(body["output"]["text"]) <= LONGEST_TEXT


@pytest.mark.parametrize("has_policy", [True, False])
def test_nothing_to_judge_is_neutral_only_where_the_base_says_so(tmp_path: Path, *, has_policy: bool) -> None:
    """Rule 27: GitHub lets neutral pass, so a change that touches nothing passes by the base's `paths` alone."""
    paths = "triggers: {pull_request: {paths: ['*.py']}}\n" if has_policy else ""
    story = Story(tmp_path, config=f"{CONFIG}{paths}")
    try:
        story.repository.commit("docs", {"other/README.md": "words\n"})
        change = story.forge.open_change(story.repo.id, "docs")
        intake.step(story.app, story.background)
        table = schema.outbox.c
        with story.app.database.read() as tx:
            found = tx.execute(select(schema.outbox).where(table.kind == "status")).all()
        wanted = [msgspec.convert(row.want_body, WantedStatus) for row in found]
    finally:
        story.close()
    assert [each.sha for each in wanted] == [change.head_sha]
    conclusions = [check_body(each).get("conclusion", check_body(each)["status"]) for each in wanted]
    assert conclusions == (["neutral"] if has_policy else ["queued"])
