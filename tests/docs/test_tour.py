"""The tour is run, so that it stays true."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOUR = Path(__file__).resolve().parents[2] / "docs" / "tour" / "mini.py"


@pytest.fixture(scope="module")
def mini() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mini", TOUR)
    module = importlib.util.module_from_spec(spec)
    sys.modules["mini"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_worse_change_stays_out_and_the_better_one_becomes_the_baseline(mini: ModuleType) -> None:
    headway = mini.story()
    worse, better = headway.forge.changes[1], headway.forge.changes[2]
    assert not worse.is_merged
    assert better.is_merged
    assert headway.forge.main == better.head
    assert headway.baseline.change == 2
    assert headway.baseline.metrics == {"val_auc": pytest.approx(0.90)}


def test_equal_inputs_are_not_trained_again(mini: ModuleType) -> None:
    headway = mini.story()
    assert len(headway.jobs) == 4
    assert headway.engine.started == ["train"] * 3  # main, the worse one, the better one


def test_one_living_report_says_the_verdict_first(mini: ModuleType) -> None:
    headway = mini.story()
    reports = [each for each in headway.forge.changes[2].comments if each.startswith("<!-- headway:report")]
    assert len(reports) == 1
    assert reports[0].splitlines()[1].startswith("### ✅ churn: ready to merge, already trained")


def test_a_change_that_was_never_run_is_not_merged(mini: ModuleType) -> None:
    headway = mini.story()
    fresh = headway.forge.open(headway.forge.commit({"headway.yaml": mini.HEADWAY_YAML, "train.py": "0.9 + 0.1 * lr"}))
    assert not headway.merge(fresh.number)


def test_a_change_cannot_lower_its_own_bar(mini: ModuleType) -> None:
    headway = mini.story()
    easy = mini.HEADWAY_YAML.replace("min: 0.80", "min: 0.10").replace("max_regression: 0.01", "max_regression: 1")
    cheat = headway.forge.open(headway.forge.commit({"headway.yaml": easy, "train.py": "0.10 + 0.5 * lr"}))
    headway.comment(cheat.number, "/train")
    assert cheat.statuses[cheat.head] == "failure"


def test_the_tour_stays_readable_in_one_sitting() -> None:
    assert len(TOUR.read_text(encoding="utf-8").splitlines()) <= 320
