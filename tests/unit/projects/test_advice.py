from __future__ import annotations

import pytest

from headway.projects.advice import advice
from headway.projects.read import read_project

PREDICTIONS = "predictions: {path: p.csv, id: id, score: s, holdout: h/h.csv, slices: [a]}\n"
STEPS = "pipeline:\n  steps:\n    hold: {run: b, outputs: [h]ORIGIN}\n    train: {run: a, outputs: [p.csv]}\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("run: a\n", "no `metrics:` are declared"),
        ("run: a\nmetrics: {m: maximize}\ngates: []\n", "`gates:` has no rules"),
        ("run: a\nmetrics: {m: maximize}\ngates: [{metric: m, slices: [a], min: 1}]\n", "no rows to slice"),
        ("metrics: {m: maximize}\n" + STEPS.replace("ORIGIN", "") + PREDICTIONS, "add `from: base` to it"),
    ],
)
def test_what_weakens_the_gates_is_said(text: str, says: str) -> None:
    (found,) = advice(read_project(b"name: x\n" + text.encode()))
    assert says in found


@pytest.mark.parametrize(
    "text",
    [
        "run: a\nmetrics: {m: maximize}\n",
        "run: a\nmetrics: {m: maximize}\n" + PREDICTIONS,  # the hold-out is a file of the base commit
        "metrics: {m: maximize}\n" + STEPS.replace("ORIGIN", ", from: base") + PREDICTIONS,
    ],
)
def test_a_sound_file_gets_no_advice(text: str) -> None:
    assert advice(read_project(b"name: x\n" + text.encode())) == ()
