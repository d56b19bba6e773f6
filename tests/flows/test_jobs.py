"""What happens to jobs between the comment and the report: retries, queues, stops, reuse, triggers, noise."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from flows.conftest import Stage, git
from headway.environments.model import Tier
from headway.flow.results import JobResults
from headway.forges.git_merge import MergeMethod
from headway.jobs.results import ResultStore
from headway.tracking.store import RunStore

if TYPE_CHECKING:
    from headway.forges.model import Change

CONFIG = """\
name: tiny
run: python train.py
params: {n: 1}
metrics:
  score: {goal: maximize}
"""


def train_script(score: float) -> str:
    return f'import json; json.dump({{"score": {score}}}, open("metrics.json", "w"))\n'


def begin(stage: Stage, config: str = CONFIG, *, score: float = 0.5, **files: str) -> None:
    more = {name.replace("_", "."): text for name, text in files.items()}
    stage.write({"headway.yaml": config, "train.py": train_script(score), **more}, message="the project")


def propose(stage: Stage, branch: str, files: dict[str, str], *comments: str) -> Change:
    stage.write(files, branch=branch)
    change = stage.open(branch)
    for each in comments:
        stage.comment(change, each)
    return change


FLAKY = """\
import json, sys
with open(sys.argv[1]) as flag:
    if flag.read() != "mended":
        sys.exit("the bucket does not answer")
json.dump({"score": 0.5}, open("metrics.json", "w"))
"""


def test_a_failed_attempt_is_tried_again_after_a_pause(scene: Stage, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    flag.write_text("broken")
    config = (
        "name: tiny\n"
        f"data: {{flag: {flag}}}\n"
        "pipeline:\n  steps:\n    train: {run: 'python train.py ${data.flag}', retries: 2}\n"
        "metrics: {score: maximize}\n"
    )
    scene.write({"headway.yaml": config, "train.py": FLAKY}, message="the project")
    scene.command("/train")
    (task,) = scene.tick_until(
        lambda: [each for job in scene.jobs() for each in scene.tasks(job).values() if each.next_at], what="a pause"
    )
    assert "attempt 1 exit code 1; trying again" in task.reason
    assert task.next_at > scene.app.clock.now() or task.attempts == 1
    flag.write_text("mended")
    (job,) = scene.settled(1)
    scene.assert_ended(job)
    assert job.state == "succeeded", job.reason
    first, second = scene.attempts(job)
    assert (first.state, second.state) == ("failed", "succeeded")
    assert first.finished_at is not None
    assert second.started_at is not None
    assert (second.started_at - first.finished_at).total_seconds() > 1.9
    with scene.app.database.read() as tx:
        run_id = scene.tasks(job)["train"].run_id
        assert run_id is not None
        experiment = RunStore(tx).get(run_id).info.experiment_id
        states = {
            str(RunStore(tx).info(each).status)
            for each in RunStore(tx).tagged(experiment, "headway.job", str(job.number))
        }
    assert states == {"FAILED", "FINISHED"}  # each attempt has a run of its own


def test_a_step_that_can_never_start_ends_with_the_reason(scene: Stage, tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("1,2\n")
    config = (
        "name: tiny\n"
        f"data: {{table: {data}}}\n"
        "pipeline:\n"
        "  steps:\n"
        "    first: {run: python first.py, outputs: [a.txt]}\n"
        "    second: {run: 'python train.py ${data.table}', inputs: [a.txt], needs: [first]}\n"
        "metrics: {score: maximize}\n"
    )
    begin(scene, config, first_py='import time; time.sleep(1); open("a.txt", "w").write("a")\n')
    scene.command("/train")
    scene.tick_until(lambda: [job for job in scene.jobs() if scene.tasks(job)["first"].state == "running"])
    data.unlink()
    (job,) = scene.settled(1)
    scene.assert_ended(job)
    assert job.state == "failed"
    assert f"{data} does not exist" in job.reason


MEET = """\
import json, os, time, urllib.request
url = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/search"
headers = {"Content-Type": "application/json", "Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"]}
body = json.dumps({"experiment_ids": [os.environ["MLFLOW_EXPERIMENT_ID"]]}).encode()
ends = time.monotonic() + 60
while time.monotonic() < ends:
    answer = json.load(urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60))
    if len(answer.get("runs", [])) == 2:  # the other one's run was made: it runs beside us
        break
    time.sleep(0.1)
else:
    raise SystemExit("the other step never came")
"""


def test_steps_that_do_not_need_each_other_run_at_the_same_time(scene: Stage) -> None:
    config = (
        "name: pair\n"
        "pipeline:\n  steps:\n    left: {run: python meet.py}\n    right: {run: python meet.py}\n"
        "metrics: {score: maximize}\n"
    )
    scene.write({"headway.yaml": config, "meet.py": MEET}, message="the project")
    scene.command("/train")
    (job,) = scene.settled(1)
    assert job.state == "succeeded", job.reason


SLOW = """\
import subprocess, time
subprocess.Popen(["sleep", "301.25"], start_new_session=True)
subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 302.25"])
print("at work", flush=True)
time.sleep(300)
"""


def test_a_queue_shows_the_position_and_stop_ends_the_whole_tree(scene: Stage) -> None:
    begin(scene)
    change = propose(scene, "slow", {"train.py": SLOW}, "/train", "/train n=2", "/train n=3")
    scene.tick_until(lambda: len(scene.jobs()) == 3 and scene.jobs(state="running"), what="one runs, two wait")
    scene.tick_until(lambda: "at work" in scene.log(scene.jobs(state="running")[0]), what="children are there")
    assert "number 2 in the queue" in scene.tick_until(
        lambda: (report := scene.report(change)) and "in the queue" in report and report, what="the position"
    )
    assert len(scene.jobs(state="queued")) == 2
    assert _sleepers("301.25") == 1
    scene.comment(change, "/stop")
    jobs = scene.settled(3)
    assert {job.state for job in jobs} == {"cancelled"}
    assert all(f"stopped by {scene.user}" in job.reason for job in jobs)
    for job in jobs:
        scene.assert_ended(job)
    assert _sleepers("301.25") == _sleepers("302.25") == 0
    scene.expect_status(change, "tiny", "cancelled")


def _sleepers(seconds: str) -> int:
    found = 0
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += cmdline.read_bytes() == b"sleep\0" + seconds.encode() + b"\0"
    return found


def test_a_plan_says_what_is_reused_and_why_something_runs(scene: Stage) -> None:
    begin(scene)
    scene.command("/train")
    (main,) = scene.settled(1)
    words = propose(scene, "words", {"README.md": "# other\n"}, "/plan")
    code = propose(scene, "code", {"train.py": train_script(0.6)}, "/plan", "/train --dry-run")
    (said,) = scene.tick_until(lambda: scene.answers(words), what="the plan")
    assert "already trained" in said
    assert "trained before in job" in said
    assert f"{main.number} on branch main" in said
    answers = scene.tick_until(lambda: len(found := scene.answers(code)) == 2 and found, what="both plans")
    assert all("▶ run" in each and "train.py" in each and "since job" in each for each in answers)
    assert len(scene.jobs()) == 1


def test_results_are_reused_across_branches_but_never_upwards(scene: Stage) -> None:
    begin(scene)
    better = {"train.py": train_script(0.6)}
    first = propose(scene, "one", better, "/train")
    (trained,) = scene.settled(1)
    propose(scene, "two", {**better, "README.md": "# two\n"}, "/train")
    job, _ = scene.settled(2)
    assert scene.result(job).already_trained
    assert scene.result(job).runs == scene.result(trained).runs
    (task,) = scene.tasks(trained).values()
    with scene.app.database.read() as tx:
        assert ResultStore(tx).find(task.exact_key, Tier.CHANGE) is not None
        assert ResultStore(tx).find(task.exact_key, Tier.MAIN) is None  # not main's before it is merged
    assert first.number == 1


def test_a_push_trains_main_by_itself_and_a_merge_does_not_train_again(scene: Stage) -> None:
    begin(scene, CONFIG + "triggers: {push: {branches: [main]}}\n")
    (main,) = scene.settled(1)
    assert main.branch == "main"
    change = propose(scene, "better", {"train.py": train_script(0.6)}, "/train")
    trained, _ = scene.settled(2)
    scene.report(change)
    scene.forge.merge(scene.repo.id, change.number, actor=scene.user, method="squash", required=["headway/tiny"])
    after, *_ = scene.settled(3)  # the push of the merge asks by itself, and is answered from what is there
    assert after.branch == "main"
    assert scene.result(after).already_trained
    assert scene.attempts(after) == []
    with scene.app.database.read() as tx:
        baseline = JobResults(tx).latest_baseline(scene.repo.id, "tiny")
        key = scene.tasks(trained)["train"].exact_key
        assert key is not None
        assert ResultStore(tx).find(key, Tier.MAIN) is not None
    assert baseline is not None
    assert baseline.metrics["score"] == 0.6


def test_a_squash_merge_keeps_the_baseline_of_the_change(scene: Stage) -> None:
    begin(scene)
    change = propose(scene, "better", {"train.py": train_script(0.7)}, "/train")
    (job,) = scene.settled(1)
    scene.report(change)
    scene.forge.merge(scene.repo.id, change.number, actor=scene.user, method="squash", required=["headway/tiny"])
    scene.report(change)
    git(scene.folder, "reset", "-q", "--hard", "main")
    worse = propose(scene, "worse", {"train.py": train_script(0.6)}, "/train")
    later, *_ = scene.settled(2)
    assert scene.result(later).baseline_job == job.id
    scene.expect_status(worse, "tiny", "failure")


def test_two_projects_in_one_repository_are_judged_apart(scene: Stage) -> None:
    files = {
        f"{name}/{file}": text.replace("tiny", name)
        for name in ("cats", "dogs")
        for file, text in (("headway.yaml", CONFIG), ("train.py", train_script(0.5)))
    }
    scene.write(files, message="two projects")
    change = propose(scene, "dogs-only", {"dogs/train.py": train_script(0.6)}, "/train")
    scene.settled(1)
    scene.report(change)
    assert [job.project for job in scene.jobs()] == ["dogs"]
    scene.expect_status(change, "dogs", "success")
    assert scene.status(change, "cats") == "absent"
    both = propose(scene, "both", {f"{name}/train.py": train_script(0.7) for name in ("cats", "dogs")}, "/train")
    scene.settled(3)
    reports = [each.body for each in scene.forge.show(scene.repo.id, both.number).comments if each.is_ours]
    scene.tick_until(
        lambda: len([each for each in scene.forge.show(scene.repo.id, both.number).comments if each.is_ours]) == 2,
        what=f"one report each: {reports}",
    )


NOISY = """\
import json, os, time
print("seed", os.environ["HEADWAY_SEED"])
json.dump({"score": 0.5 + (time.time_ns() // 1000 % 9973) / 1e6}, open("metrics.json", "w"))
"""


def test_seeds_are_recorded_and_a_rerun_shows_its_noise(scene: Stage) -> None:
    begin(scene, CONFIG + "seed: 7\n")
    change = propose(scene, "noisy", {"train.py": NOISY}, "/train")
    (first,) = scene.settled(1)
    assert "seed 7" in scene.log(first)
    with scene.app.database.read() as tx:
        run = RunStore(tx).get(scene.result(first).runs["train"])
    assert run.tags["headway.seed"] == "7"
    scene.report(change)
    scene.comment(change, "/retry")
    again, _ = scene.settled(2)
    result = scene.result(again)
    assert not result.already_trained
    spread = abs(result.metrics["score"] - scene.result(first).metrics["score"])
    assert spread > 0
    assert 0 < result.noise["score"] <= spread * 1.01
    assert "noise" in scene.report(change)
    assert "seed 7" in scene.report(change)


def test_a_merge_after_another_one_is_answered_for_what_is_there_now(scene: Stage) -> None:
    begin(scene)
    scene.command("/train")
    scene.settled(1)
    first = propose(scene, "first", {"train.py": train_script(0.9)}, "/train")
    second = propose(scene, "words-only", {"README.md": "# words\n"}, "/train")
    scene.settled(3)
    for change in (first, second):
        scene.expect_status(change, "tiny", "success")
        scene.forge.merge(
            scene.repo.id, change.number, actor=scene.user, method=MergeMethod.MERGE, required=["headway/tiny"]
        )
        scene.tick_until(lambda: not scene.jobs(state="queued"), what="what the merge asks for")
    scene.settled(4)  # the second one was judged before the first was merged

    def baseline() -> float:
        with scene.app.database.read() as tx:
            found = JobResults(tx).latest_baseline(scene.repo.id, "tiny")
        return found.metrics["score"] if found else 0.0

    scene.tick_until(lambda: baseline() == 0.9, what="main stands for what it holds")
    assert scene.result(scene.jobs()[0]).already_trained  # nothing had to run for it
