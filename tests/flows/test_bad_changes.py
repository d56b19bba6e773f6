"""Changes that grade themselves, rename or drop their project, come from a fork, or leak a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.conftest import Stage, git
from headway.auth.secrets import SecretStore
from headway.environments.model import Tier
from headway.errors import Refused
from headway.flow.projects import contexts_for
from headway.flow.results import JobResults
from headway.jobs.results import ResultStore

CONFIG = """\
name: tiny
run: python train.py
metrics:
  score: {goal: maximize}
"""

TRAIN = 'import json; json.dump({"score": 0.5}, open("metrics.json", "w"))\n'


def contexts(stage: Stage, number: int) -> tuple[str, ...]:
    return contexts_for(stage.app, stage.forge.get_change(stage.repo.id, number))


def merge(stage: Stage, number: int) -> None:
    required = contexts(stage, number)
    stage.forge.merge(stage.repo.id, number, actor=stage.user, method="merge", required=required)


def test_a_lock_file_that_cannot_be_solved_is_told_with_its_reason(scene: Stage) -> None:
    scene.write({"headway.yaml": CONFIG, "train.py": TRAIN}, message="the project")
    scene.write({"requirements.txt": "iniconfig==2.0.0\niniconfig==1.1.1\n"}, branch="lock")
    change = scene.open("lock")
    scene.comment(change, "/train")
    (job,) = scene.settled(1)
    scene.assert_ended(job)
    assert job.state == "failed"
    report = scene.report(change)
    assert "iniconfig==1.1.1" in report
    assert "iniconfig==2.0.0" in report
    scene.expect_status(change, "tiny", "error")


GRADED = """\
name: tiny
pipeline:
  steps:
    train: {run: python train.py, outputs: [predictions.csv]}
    grade: {run: python grade.py, from: base, code: [grade.py], inputs: [predictions.csv], needs: [train]}
metrics:
  score: {goal: maximize}
gates:
  rules:
    - {id: floor, metric: score, min: 0.5}
"""

GRADE = """\
import json
score = float(open("predictions.csv").read())
json.dump({"score": score}, open("metrics.json", "w"))
"""


def test_a_change_cannot_edit_its_own_evaluation(scene: Stage) -> None:
    scene.write(
        {"headway.yaml": GRADED, "train.py": 'open("predictions.csv", "w").write("0.6")\n', "grade.py": GRADE},
        message="the project",
    )
    cheat = GRADED.replace("from: base, ", "").replace("min: 0.5", "min: 0.0")
    scene.write(
        {
            "headway.yaml": cheat,
            "train.py": 'open("predictions.csv", "w").write("0.1")\n',
            "grade.py": 'import json; json.dump({"score": 0.99}, open("metrics.json", "w"))\n',
        },
        branch="cheat",
    )
    change = scene.open("cheat")
    scene.comment(change, "/train")
    (job,) = scene.settled(1)
    assert job.state == "succeeded", job.reason
    result = scene.result(job)
    assert result.metrics["score"] == 0.1
    assert result.verdict is not None
    assert not result.verdict.allows_merge
    scene.expect_status(change, "tiny", "failure")
    assert "gates" in " ".join(result.notes)  # the report says what the change tried
    with pytest.raises(Refused):
        merge(scene, change.number)


def test_a_renamed_project_keeps_the_rules_of_its_base(scene: Stage) -> None:
    gated = CONFIG + "gates:\n  rules:\n    - {id: floor, metric: score, min: 0.4}\n"
    scene.write({"headway.yaml": gated, "train.py": TRAIN}, message="the project")
    scene.write({"headway.yaml": gated.replace("tiny", "other"), "train.py": TRAIN.replace("0.5", "0.1")}, branch="new")
    change = scene.open("new")
    scene.comment(change, "/train")
    (job,) = scene.settled(1)
    verdict = scene.result(job).verdict
    assert verdict is not None
    assert not verdict.allows_merge
    with pytest.raises(Refused):
        merge(scene, change.number)


def test_a_change_that_deletes_its_project_cannot_be_merged(scene: Stage) -> None:
    scene.write({"headway.yaml": CONFIG, "train.py": TRAIN}, message="the project")
    git(scene.folder, "checkout", "-q", "-b", "gone")
    git(scene.folder, "rm", "-q", "headway.yaml")
    git(scene.folder, "commit", "-q", "-m", "no more headway")
    git(scene.folder, "checkout", "-q", "main")
    change = scene.open("gone")
    scene.comment(change, "/train")
    (answer,) = scene.tick_until(lambda: scene.answers(change), what="an answer")
    assert "headway.yaml" in answer
    assert contexts(scene, change.number) == ("headway/tiny",)
    with pytest.raises(Refused):
        merge(scene, change.number)


def test_an_override_counts_for_the_commit_that_was_judged_only(scene: Stage) -> None:
    gated = CONFIG + "gates:\n  rules:\n    - {id: floor, metric: score, min: 0.8}\n"
    scene.write({"headway.yaml": gated, "train.py": TRAIN}, message="the project")
    old = scene.write({"train.py": TRAIN + "# 1\n"}, branch="low")
    change = scene.open("low")
    scene.comment(change, "/train")
    scene.settled(1)
    scene.comment(change, "/override floor we know why")
    scene.tick_until(lambda: scene.status(change, "tiny") == "success", what="the override counts")
    new = scene.write({"train.py": TRAIN + "# 2\n"}, branch="low")
    scene.tick_until(lambda: scene.status(change, "tiny") == "pending", what="the push makes it stale")
    scene.comment(change, "/override floor again")
    scene.tick_until(lambda: "nothing has been judged at this commit" in scene.answers(change)[-1], what="refused")
    scene.comment(change, f"/train @{old}")
    scene.tick_until(lambda: f"/train @{new}" in scene.answers(change)[-1], what="the older commit is refused")
    assert len(scene.jobs()) == 1
    with pytest.raises(Refused):
        merge(scene, change.number)


NOSY = """\
import json, os, socket, urllib.request
found = {name: value for name, value in os.environ.items() if "SECRET" in name}
print("SECRETS", found)
for place in ("127.0.0.1", "1.1.1.1"):
    try:
        socket.create_connection((place, PORT), timeout=1)
        print("REACHED", place)
    except OSError as error:
        print("NO WAY", place, type(error).__name__)
url = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/log-metric"
headers = {"Content-Type": "application/json", "Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"]}
body = {"run_id": os.environ["MLFLOW_RUN_ID"], "key": "score", "value": 0.9, "timestamp": 1, "step": 0}
request = urllib.request.Request(url, json.dumps(body).encode(), headers)
print("DOOR", urllib.request.urlopen(request, timeout=60).status)
"""


def set_secret(stage: Stage, value: str) -> None:
    with stage.app.database.write() as tx:
        store = SecretStore(tx)
        store.set(stage.repo.id, "DATA_SECRET", value=value, by=stage.user, at=stage.app.clock.now())


def test_a_fork_runs_only_when_granted_and_gets_nothing(scene: Stage) -> None:
    """Rules 18, 19, 21 and 22: one commit's grant, no secret, no way out, and no result that others reuse."""
    set_secret(scene, "hunter2-hunter2")
    config = CONFIG + "env: {secrets: [DATA_SECRET]}\n"
    scene.write({"headway.yaml": config, "train.py": TRAIN}, message="the project")
    port = (scene.app.data / "server.json").read_text().split('"port":')[1].split(",")[0]
    first = scene.write({"train.py": NOSY.replace("PORT", port) + "# 1\n"}, branch="fork")
    change = scene.forge.open_change(scene.repo.id, "fork", author="stranger", from_fork=True)

    scene.comment(change, "/train")
    scene.tick_until(lambda: "must name its whole commit" in scene.answers(change)[-1], what="a whole commit is asked")
    scene.comment(change, f"/train @{first}")
    scene.tick_until(lambda: f"/approve @{first}" in scene.answers(change)[-1], what="a grant is asked for")
    scene.comment(change, f"/approve @{first}")
    scene.tick_until(lambda: "may run" in scene.answers(change)[-1], what="the grant")
    second = scene.write({"train.py": NOSY.replace("PORT", port) + "# 2\n"}, branch="fork")
    scene.comment(change, f"/train @{second}")
    scene.tick_until(lambda: f"/approve @{second}" in scene.answers(change)[-1], what="no grant for a later commit")
    assert scene.jobs() == []

    scene.comment(change, f"/approve @{second}")
    scene.comment(change, f"/train @{second}")
    (job,) = scene.settled(1)
    assert job.state == "succeeded", job.reason + scene.log(job)
    log = scene.log(job)
    assert "SECRETS {}" in log
    assert "REACHED" not in log
    assert "DOOR 200" in log
    assert scene.result(job).metrics["score"] == 0.9
    assert scene.attempts(job)[0].isolation == 2
    scene.report(change)

    merge(scene, change.number)
    scene.report(change)
    key = scene.tasks(job)["train"].exact_key
    with scene.app.database.read() as tx:
        assert key is not None
        assert ResultStore(tx).find(key, Tier.FORK) is not None
        assert ResultStore(tx).find(key, Tier.CHANGE) is None
        assert ResultStore(tx).find(key, Tier.MAIN) is None
        assert JobResults(tx).latest_baseline(scene.repo.id, "tiny") is None


def test_a_grant_is_for_the_commit_that_was_seen_even_when_a_push_is_faster(scene: Stage) -> None:
    scene.write({"headway.yaml": CONFIG, "train.py": TRAIN}, message="the project")
    seen = scene.write({"train.py": TRAIN + "# harmless\n"}, branch="fork")
    change = scene.forge.open_change(scene.repo.id, "fork", author="stranger", from_fork=True)
    scene.comment(change, f"/approve @{seen}")
    scene.write({"train.py": TRAIN + "# harmful\n"}, branch="fork")  # before anything has read the comment
    scene.tick_until(lambda: scene.answers(change), what="an answer")
    (answer,) = scene.answers(change)
    assert "has moved" in answer or "not the head" in answer


def test_a_secret_that_the_code_prints_is_blacked_out_everywhere(scene: Stage) -> None:
    """Rule 23: on every page, and in every file that the attempt leaves on the disk."""
    set_secret(scene, "correct-horse-battery")
    config = CONFIG + "env: {secrets: [DATA_SECRET]}\n"
    scene.write({"headway.yaml": config, "train.py": TRAIN}, message="the project")
    code = 'import os\nprint("using", os.environ["DATA_SECRET"])\nraise ValueError(os.environ["DATA_SECRET"])\n'
    scene.write({"train.py": code}, branch="leak")
    change = scene.open("leak")
    scene.comment(change, "/train")
    (job,) = scene.settled(1)
    assert job.state == "failed"
    assert "using" in scene.log(job)
    assert "correct-horse-battery" not in scene.log(job)
    report = scene.report(change)
    assert "ValueError" in report
    assert "correct-horse-battery" not in report
    assert "correct-horse-battery" not in repr(scene.result(job))  # what pages and the API read
    (attempt,) = scene.attempts(job)
    files = [path for path in Path(attempt.directory).rglob("*") if path.is_file()]
    assert "using ***" in (Path(attempt.directory) / "log").read_text()
    assert [path.name for path in files if b"correct-horse-battery" in path.read_bytes()] == []
