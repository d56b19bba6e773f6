"""Experiments by hand: made, renamed, deleted and taken back; a run says where it belongs and when it was."""

from __future__ import annotations

import csv
from datetime import datetime


def test_an_experiment_from_its_making_to_the_trash_and_back(headway) -> None:
    made = headway("experiments", "create", "by hand").out
    number = made.split()[2]
    assert "by hand" in headway("experiments").out
    assert headway("experiments", "show", "by hand", "--json").json["experiment_id"] == number
    assert headway("experiments", "rename", number, "by foot").out == f"experiment {number} is called by foot\n"
    assert f"experiment {number}  by foot  active" in headway("experiments", "show", number).out
    assert "there is no experiment by hand" in headway("experiments", "show", "by hand", code=5).err
    assert f"headway experiments delete {number} --yes" in headway("experiments", "delete", "by foot", code=2).err
    assert headway("experiments", "delete", "by foot", "--yes").out.startswith(f"deleted experiment {number}")
    assert "by foot" not in headway("experiments", "list").out
    assert "by foot" in headway("trash", "restore", number).out
    assert "stays" in headway("experiments", "delete", "0", "--yes", code=None).err


def test_a_run_says_its_experiment_and_when_it_was(headway, tmp_path) -> None:
    run = str(headway("jobs", "show", "1", "--json").json["tasks"][0]["run_id"])
    headway("runs", "export", str(tmp_path / "runs.csv"))
    row = next(each for each in csv.DictReader((tmp_path / "runs.csv").open()) if each["run_id"] == run)
    assert datetime.fromisoformat(row["start"]) <= datetime.fromisoformat(row["end"])
    said = headway("runs", "show", run).out.splitlines()[1]
    assert said.startswith(f"experiment {row['experiment']}, from {row['start'][:10]} ")
    assert row["user"] in said
