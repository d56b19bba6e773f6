from __future__ import annotations

import shlex

import pytest

from headway.projects.model import Goal
from headway.projects.read import read_project
from headway.projects.write import smallest


def test_four_lines_say_it_all() -> None:
    assert smallest(name="churn", script="train.py", metric="val_auc") == (
        "name: churn\nrun: python train.py\nmetrics:\n  val_auc: {goal: maximize}\n"
    )


@pytest.mark.parametrize(
    ("name", "script", "metric"),
    [
        ("churn", "src/train.py", "val/auc"),
        ("7", "my script.py", "1e3"),
        ("true", "a'b.py", "no"),
        ("3.10", 'a"b\\.py', "null"),
        ("churn", "tr: #a.py", None),
    ],
)
def test_it_reads_back_as_it_was_meant(name: str, script: str, metric: str | None) -> None:
    text = smallest(name=name, script=script, metric=metric, goal=Goal.MINIMIZE)
    spec = read_project(text.encode())
    assert spec.name == name
    assert [(each.name, each.goal) for each in spec.metrics] == ([(metric, Goal.MINIMIZE)] if metric else [])
    assert shlex.split(spec.steps[0].run) == ["python", script]
