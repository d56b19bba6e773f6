"""A run with other values than the commit's headway.yaml answers whoever asked, and decides nothing about the merge."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flows.conftest import Stage
from headway.commands.model import Command, Origin, Verb
from headway.db import schema
from headway.errors import Refused
from headway.flow import release_commands, train, why
from headway.forges.model import Change
from headway.gates.model import Outcome
from headway.ids import new_id
from headway.jobs.model import Job
from headway.jobs.store import JobStore

CONFIG = """\
name: tiny
run: python train.py
params: {max_iter: 100}
metrics: {score: {goal: maximize}}
gates:
  rules: [{id: no-worse, metric: score, max_regression: 0.01}]
"""
TRAIN = """\
import json, os
json.dump({"score": json.loads(os.environ["HEADWAY_PARAMS"])["max_iter"] / 1000}, open("metrics.json", "w"))
"""
REQUIRED = ["headway/tiny"]


@pytest.fixture
def stage(scene: Stage) -> Stage:
    scene.write({"headway.yaml": CONFIG, "train.py": TRAIN}, message="the project")
    scene.command("/train")
    scene.settled(1)
    return scene


def proposed(stage: Stage, max_iter: int, *comments: str) -> Change:
    stage.write({"headway.yaml": CONFIG.replace("100", str(max_iter))}, branch="other")
    change = stage.open("other")
    for each in comments:
        said(stage, change, each)
    return change


def said(stage: Stage, change: Change, comment: str) -> Job:
    before = len(stage.jobs(change=change.number))
    stage.comment(change, comment)
    return stage.settled(before + 1, change=change.number)[0]


def merge(stage: Stage, change: Change) -> None:
    stage.forge.merge(stage.repo.id, change.number, actor=stage.user, method="merge", required=REQUIRED)


def title(stage: Stage, change: Change) -> str:
    return next(each.title for each in stage.forge.statuses(stage.repo.id, change.head_sha))


def test_a_good_value_in_a_comment_does_not_let_a_worse_file_in(stage: Stage) -> None:
    change = proposed(stage, 2)
    job = said(stage, change, "/train max_iter=200")
    why_not = "trained with max_iter=200; headway.yaml of this commit says 2"
    verdict = stage.result(job).verdict
    assert verdict is not None
    assert (verdict.outcome, verdict.withheld, verdict.allows_merge) == (Outcome.CANNOT_TELL, why_not, False)
    assert [each.state for each in verdict.checks] == ["passed"], "the numbers themselves are told"
    stage.expect_status(change, "tiny", "failure")
    assert f"cannot tell, {why_not}" in title(stage, change)
    report = stage.report(change).replace("\\", "")
    assert why_not in report.splitlines()[1] and "commit them" in report and "/override" not in report
    with pytest.raises(Refused):
        merge(stage, change)

    said(stage, change, "/train")
    said(stage, change, "/train max_iter=300")
    stage.expect_status(change, "tiny", "failure")
    for _ in range(5):
        stage.worker.tick()
    assert "no-worse" in title(stage, change) or "score" in title(stage, change)
    assert "cannot tell" not in title(stage, change), "the plain run's word stands, before and after the other's"
    with pytest.raises(Refused):
        merge(stage, change)


def test_a_bad_value_in_a_comment_takes_nothing_away(stage: Stage) -> None:
    change = proposed(stage, 110, "/train")
    stage.expect_status(change, "tiny", "success")
    worse = said(stage, change, "/train max_iter=2")
    report = stage.report(change).replace("\\", "")
    assert "not ready" in report.splitlines()[1], report
    assert "Trained with max_iter=2; headway.yaml of this commit says 110." in report
    assert "The required status stays that of job #" in report and ", pass." in report
    assert stage.status(change, "tiny") == "success" and "0.11" in title(stage, change)

    again = said(stage, change, "/retry")
    assert stage.result(again).params == stage.result(worse).params == {"max_iter": 2}
    third = said(stage, change, "/retry")
    assert stage.result(third).params == {"max_iter": 2}, "a repetition of a repetition is of the same values"
    assert stage.status(change, "tiny") == "success"
    merge(stage, change)
    with stage.app.database.read() as tx:
        made = JobStore(tx).find(schema.job.c.repo_id == stage.repo.id, schema.job.c.change == change.number)
    first = made[-1]
    stage.tick_until(lambda: _is_baseline(stage, first), what="the plain run is the baseline")


def _is_baseline(stage: Stage, job: Job) -> bool:
    with stage.app.database.read() as tx:
        query = schema.result.select().where(schema.result.c.job_id == job.id, schema.result.c.is_baseline)
        return tx.execute(query).first() is not None


def test_the_value_that_the_file_has_is_no_other_value(stage: Stage) -> None:
    change = proposed(stage, 105, "/train max_iter=105")
    stage.expect_status(change, "tiny", "success")


def test_other_values_on_main_are_no_baseline_and_no_release(stage: Stage) -> None:
    command = stage.command("/train max_iter=900")
    (job, *_) = stage.settled(2)
    assert not _is_baseline(stage, job)
    deploy = Command(
        id=new_id(),
        verb=Verb.DEPLOY,
        origin=Origin.CLI,
        repo_id=stage.repo.id,
        actor=stage.user,
        at=stage.app.clock.now(),
        head_sha=command.head_sha,
        branch="main",
        arguments=(str(job.number),),
    )
    with pytest.raises(Refused) as refused:
        release_commands.deploy(stage.app, deploy)
    assert refused.value.cause == "trained with max_iter=900; headway.yaml of this commit says 100"


def test_why_tells_the_values_and_those_of_the_file(stage: Stage) -> None:
    change = proposed(stage, 2)
    said(stage, change, "/train max_iter=200")
    asked = Command(
        id=new_id(),
        verb=Verb.WHY,
        origin=Origin.CLI,
        repo_id=stage.repo.id,
        actor=stage.user,
        at=stage.app.clock.now(),
        change=change.number,
        head_sha=change.head_sha,
    )
    assert "- **param**: `max_iter=200` headway.yaml of this commit says 2" in why.answer(stage.app, asked)


def test_a_plan_with_other_values_is_another_plan(stage: Stage) -> None:
    """What a dispatch gives under the branch's own triggers is main's; the same by a command is not."""
    command = stage.command("/plan max_iter=7")
    (ours,) = train.plans_for(stage.app, command)
    given = replace(command, origin=Origin.DISPATCH)
    (theirs,) = train.plans_for(stage.app, given)
    assert (ours.plan.replaced, theirs.plan.replaced) == ({"max_iter": 100}, {})
    assert ours.plan.params == theirs.plan.params and ours.plan.id != theirs.plan.id
