"""From a comment to a merge: the whole flow on a small project without dependencies."""

from __future__ import annotations

import pytest

from flows.conftest import Stage
from headway.errors import Refused
from headway.flow.results import JobResults

CONFIG = """\
name: tiny
run: python train.py
params:
  lr: 0.1
metrics:
  score: {goal: maximize}
"""

TRAIN = """\
import json, os
lr = json.loads(os.environ["HEADWAY_PARAMS"])["lr"]
print("training with", lr, "links", os.environ.get("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"))
json.dump({"score": BASE + lr}, open("metrics.json", "w"))
"""


@pytest.fixture
def stage(scene: Stage) -> Stage:
    """One Headway for all stories: what each needs of its own is a repository."""
    return scene


def train_script(base: float) -> str:
    return TRAIN.replace("BASE", str(base))


def test_a_comment_becomes_a_report_a_status_and_a_baseline(stage: Stage) -> None:
    stage.write({"headway.yaml": CONFIG, "train.py": train_script(0.5)}, message="the project")
    stage.command("/train")
    (main,) = stage.settled(1)
    assert main.state == "succeeded", main.reason
    assert "training with 0.1 links true" in stage.log(main), "MLflow prints no links to a door that ends with the job"
    assert stage.result(main).metrics["score"] == pytest.approx(0.6)

    stage.write({"train.py": train_script(0.7)}, branch="better")
    change = stage.open("better")
    stage.tick_until(lambda: stage.status(change, "tiny") == "pending", what="the status asks for /train")
    with pytest.raises(Refused):
        stage.forge.merge(stage.repo.id, change.number, actor=stage.user, method="merge", required=["headway/tiny"])

    stage.comment(change, "looks good\n\n/train\n")
    job, *_ = stage.settled(1, change=change.number)
    assert job.state == "succeeded", job.reason
    report = stage.report(change)
    assert "0.8" in report and "score" in report
    stage.expect_status(change, "tiny", "success")

    stage.forge.merge(stage.repo.id, change.number, actor=stage.user, method="merge", required=["headway/tiny"])
    stage.tick_until(
        lambda: stage.app.database and _baseline(stage) == job.id, what="the change's result is the baseline"
    )


def _baseline(stage: Stage) -> str | None:
    with stage.app.database.read() as tx:
        found = JobResults(tx).latest_baseline(stage.repo.id, "tiny")
    return found.job_id if found else None


def test_a_worse_change_is_blocked_and_says_why(stage: Stage) -> None:
    stage.write({"headway.yaml": CONFIG, "train.py": train_script(0.5)}, message="the project")
    stage.command("/train")
    stage.settled(1)
    stage.write({"train.py": train_script(0.2)}, branch="worse")
    change = stage.open("worse")
    stage.comment(change, "/train")
    job, *_ = stage.settled(1, change=change.number)
    assert job.state == "succeeded"
    report = stage.report(change)
    assert report.splitlines()[1].startswith("### ❌"), report
    stage.expect_status(change, "tiny", "failure")


def test_the_same_inputs_are_already_trained(stage: Stage) -> None:
    stage.write({"headway.yaml": CONFIG, "train.py": train_script(0.5)}, message="the project")
    stage.command("/train")
    stage.settled(1)
    stage.write({"README.md": "# other words\n"}, branch="words")
    change = stage.open("words")
    stage.comment(change, "/train")
    job, *_ = stage.settled(1, change=change.number)
    result = stage.result(job)
    assert result.already_trained
    assert result.verdict is not None and result.verdict.allows_merge
    assert "lready trained" in stage.report(change)


def test_a_crash_is_told_with_its_last_lines(stage: Stage) -> None:
    stage.write({"headway.yaml": CONFIG, "train.py": "import no_such_module_here\n"}, message="the project")
    stage.write({"train.py": "import no_such_module_here  # again\n"}, branch="broken")
    change = stage.open("broken")
    stage.comment(change, "/train")
    job, *_ = stage.settled(1, change=change.number)
    assert job.state == "failed"
    report = stage.report(change)
    assert "no_such_module_here" in report and report.splitlines()[1].startswith("### 💥"), report
    stage.expect_status(change, "tiny", "error")


def test_a_push_ends_the_work_on_the_older_commit(stage: Stage) -> None:
    stage.write({"headway.yaml": CONFIG, "train.py": train_script(0.5)}, message="the project")
    stage.write({"train.py": "import time; time.sleep(600)\n"}, branch="slow")
    change = stage.open("slow")
    stage.comment(change, "/train")
    stage.tick_until(lambda: stage.jobs(state="running"), what="the job runs")
    head = stage.write({"train.py": train_script(0.6)}, branch="slow")
    job, *_ = stage.settled(1, change=change.number)
    assert job.state == "cancelled"
    assert job.superseded_by == head


def test_two_commands_at_once_are_one_after_the_other(stage: Stage) -> None:
    stage.write({"headway.yaml": CONFIG, "train.py": train_script(0.5)}, message="the project")
    stage.write({"train.py": train_script(0.51)}, branch="twice")
    change = stage.open("twice")
    stage.comment(change, "/train\n/train lr=0.2\n/train\n")
    jobs = stage.settled(2, change=change.number)
    assert len(jobs) == 2
    assert {stage.result(job).params["lr"] for job in jobs} == {0.1, 0.2}


def test_a_change_cannot_loosen_its_own_gate(stage: Stage) -> None:
    strict = CONFIG + "gates:\n  rules:\n    - {metric: score, min: 0.55}\n"
    stage.write({"headway.yaml": strict, "train.py": train_script(0.5)}, message="the project")
    stage.command("/train")
    stage.settled(1)
    loose = strict.replace("0.55", "0.0")
    stage.write({"headway.yaml": loose, "train.py": train_script(0.1)}, branch="loose")
    change = stage.open("loose")
    stage.comment(change, "/train")
    stage.settled(1, change=change.number)
    stage.expect_status(change, "tiny", "failure")


def test_a_broken_configuration_is_answered_with_its_place(stage: Stage) -> None:
    stage.write({"headway.yaml": CONFIG, "train.py": train_script(0.5)}, message="the project")
    stage.write({"headway.yaml": CONFIG.replace("metrics:", "metric:")}, branch="typo")
    change = stage.open("typo")
    stage.comment(change, "/train")
    stage.tick_until(lambda: stage.answers(change), what="an answer")
    (answer,) = stage.answers(change)
    assert "did you mean" in answer and "metrics" in answer


def test_an_override_is_honoured_and_shown(stage: Stage) -> None:
    stage.write({"headway.yaml": CONFIG, "train.py": train_script(0.5)}, message="the project")
    stage.command("/train")
    stage.settled(1)
    stage.write({"train.py": train_script(0.2)}, branch="worse")
    change = stage.open("worse")
    stage.comment(change, "/train")
    job, *_ = stage.settled(1, change=change.number)
    verdict = stage.result(job).verdict
    (failed,) = [check.id for check in verdict.checks if check.state == "failed"]
    stage.comment(change, f'/override "{failed}" the old data was wrong')
    stage.tick_until(lambda: stage.status(change, "tiny") == "success", what="the status turns green")
    assert "the old data was wrong" in stage.report(change)


def test_trying_a_good_job_again_shows_how_far_its_numbers_scatter(stage: Stage) -> None:
    noisy = "import json, os, time\njson.dump({'score': 0.5 + time.time() % 1 / 1000}, open('metrics.json', 'w'))\n"
    stage.write({"headway.yaml": CONFIG, "train.py": noisy}, message="the project")
    stage.write({"train.py": noisy + "# again\n"}, branch="again")
    change = stage.open("again")
    stage.comment(change, "/train")
    stage.settled(1, change=change.number)
    stage.comment(change, "/retry")
    job, *_ = stage.settled(2, change=change.number)
    result = stage.result(job)
    assert not result.already_trained
    assert 0 < result.noise["score"] < 0.001
