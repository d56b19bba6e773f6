from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from headway.projects.read import read_project

FLIGHTS = Path(__file__).parents[3] / "examples" / "flights"
TRACKED_AT_START = ("features.py", "prepare.py", "holdout.py", "train.py", "headway.yaml", "requirements.txt")
CHANGES = {"better": (), "worse-slice": (), "broken-model": ("better",)}


def test_its_configuration_is_right_and_complete() -> None:
    project = read_project((FLIGHTS / "headway.yaml").read_bytes())
    steps = {step.name: step for step in project.steps}
    assert project.name == "flights"
    assert [name for name, step in steps.items() if step.base] == ["holdout"]
    assert all((FLIGHTS / path).is_file() for step in project.steps for path in step.code)
    assert project.env.lockfile is not None
    assert (FLIGHTS / project.env.lockfile).is_file()
    assert project.predictions is not None
    assert project.predictions.path in steps["train"].outputs
    assert project.predictions.holdout_path in steps["holdout"].outputs
    assert project.deploy is not None
    assert project.deploy.test is not None
    assert sorted(FLIGHTS.glob(project.deploy.test.requests or ""))


def test_nothing_that_is_known_only_after_departure_is_a_feature() -> None:
    texts = [(FLIGHTS / "features.py").read_text(), *(path.read_text() for path in FLIGHTS.glob("changes/*/*.patch"))]
    for text in texts:
        added = "\n".join(line for line in text.splitlines() if not line.startswith("-"))
        assert not re.search(r"dep_delay|dep_time(?<!sched_dep_time)|air_time|\barr_time", added)
        for names in re.findall(r"(?:CATEGORIES|NUMBERS|WEATHER) = \[(.*)\]", added):
            assert not {"arr_delay", "late", "flight_id"} & set(re.findall(r'"(\w+)"', names))


def test_training_never_reads_the_answers() -> None:
    text = (FLIGHTS / "train.py").read_text()
    assert "holdout" not in text
    assert '"late"' not in (FLIGHTS / "prepare.py").read_text().partition('"later.npz"')[2]


def test_its_lock_file_has_hashes_and_no_addresses_and_no_headway() -> None:
    lines = (FLIGHTS / "requirements.txt").read_text().splitlines()
    pinned = [line for line in lines if re.match(r"[a-z]", line)]
    assert len(pinned) > 10
    assert all(re.match(r"[a-z0-9._-]+==\S+ \\$", line) for line in pinned)
    assert sum("--hash=sha256:" in line for line in lines) >= len(pinned)
    assert not any("://" in line or line.startswith("headway") for line in lines)
    assert any(line.startswith("mlflow-skinny==3.17.2") for line in pinned)


@pytest.mark.parametrize("name", CHANGES)
def test_each_proposal_applies_and_touches_neither_answers_nor_rules(name: str, tmp_path: Path) -> None:
    for file in TRACKED_AT_START:
        shutil.copy(FLIGHTS / file, tmp_path / file)
    for each in (*CHANGES[name], name):
        patch = FLIGHTS / "changes" / each / "change.patch"
        subprocess.run(["git", "apply", str(patch)], cwd=tmp_path, check=True, capture_output=True)
    changed = {file for file in TRACKED_AT_START if (tmp_path / file).read_bytes() != (FLIGHTS / file).read_bytes()}
    assert changed
    assert changed <= {"features.py", "train.py"}
    for file in changed:
        compile((tmp_path / file).read_text(), file, "exec")
    title, blank, *body = (FLIGHTS / "changes" / name / "message.txt").read_text().splitlines()
    assert title
    assert not blank
    assert body


def test_requests_and_traffic_have_every_column_that_any_version_asks_for() -> None:
    columns = {"carrier", "origin", "dest", "month", "weekday", "departs", "distance"}
    patch = (FLIGHTS / "changes" / "better" / "change.patch").read_text()
    columns |= set(re.findall(r'"(\w+)"', re.findall(r"WEATHER = \[(.*)\]", patch)[0]))
    for path in sorted((FLIGHTS / "tests" / "requests").glob("*.json")):
        question = json.loads(path.read_text())
        (record,) = question["request"]["dataframe_records"]
        assert set(record) == columns
        ((no, yes),) = question["expect"]
        assert no + yes == pytest.approx(1)
        assert 0 < question["tolerance"] < 0.5
    lines = (FLIGHTS / "tests" / "traffic.jsonl").read_text().splitlines()
    records = [json.loads(line)["dataframe_records"][0] for line in lines]
    assert all(set(record) == columns for record in records)
    assert sum(record["carrier"] == "NK" for record in records) == len(records) // 5
