"""Requests that have arrived together share a call of the model, where that changes no answer."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headway.serving.local import LocalTarget
from serving.models import ask, deployment, in_force, route, wait_for

NAME = "demo-production"
MODEL = """
import time
import numpy as np
class Model:
    n_features_in_ = 2
    def predict(self, data):
        with open(FOLDER + "/calls", "a") as stream:
            stream.write(".")
        time.sleep(0.005)
        rows = np.asarray(data)
        if (rows < 0).any():
            raise ValueError("negative")
        {answer}
def load(folder):
    global FOLDER
    FOLDER = folder
    return Model()
"""
ANSWERS = {
    "sums": "return rows.sum(axis=1)",
    "dependent": "return rows.sum(axis=1) - rows.mean()",
    "rows_lost": "return rows.sum(axis=1)[:1]",
}


@pytest.fixture
def target(tmp_path: Path) -> Iterator[LocalTarget]:
    target = LocalTarget(tmp_path / "endpoints")
    yield target
    target.remove(NAME)


def serve(target: LocalTarget, folder: Path, answer: str) -> str:
    folder.mkdir()
    (folder / "headway_model.py").write_text(MODEL.replace("{answer}", ANSWERS[answer]))
    target.apply(deployment(route(1, 100, folder)))
    return wait_for(target, NAME, in_force(1)).url


def crowd(url: str, rows: list[list[float]]) -> list[tuple[int, object]]:
    with ThreadPoolExecutor(16) as pool:
        return [(one.status_code, one.json().get("predictions")) for one in pool.map(lambda row: ask(url, row), rows)]


def test_every_caller_gets_its_own_answer_and_a_bad_request_spoils_no_other(
    target: LocalTarget, tmp_path: Path
) -> None:
    url = serve(target, tmp_path / "1", "sums")
    for _ in range(4):  # the first crowds prove that batches change nothing
        rows = [[float(number), -1.0 if number % 10 == 3 else 1.0] for number in range(48)]
        answers = crowd(url, rows)
        for (number, one), (status, answer) in zip(rows, answers, strict=True):
            assert (status, answer) == ((500, None) if one < 0 else (200, [number + 1])), number


@pytest.mark.parametrize("answer", ["dependent", "rows_lost"])
def test_a_model_whose_answers_depend_on_their_neighbours_is_never_batched(
    target: LocalTarget, tmp_path: Path, answer: str
) -> None:
    url = serve(target, tmp_path / "1", answer)
    for _ in range(4):
        for number, (status, found) in enumerate(crowd(url, [[float(each), 1.0] for each in range(32)])):
            alone = (number + 1) - (number + 1) / 2 if answer == "dependent" else number + 1
            assert (status, found) == (200, [alone])


def test_batches_are_made_once_they_are_proven(target: LocalTarget, tmp_path: Path) -> None:
    folder = tmp_path / "1"
    url = serve(target, folder, "sums")
    calls = folder / "calls"

    def calls_for(requests: int) -> int:
        before = len(calls.read_text()) if calls.exists() else 0
        crowd(url, [[1.0, 1.0]] * requests)
        return len(calls.read_text()) - before

    assert calls_for(1) == 1
    for _ in range(20):
        if calls_for(32) < 32:
            return
    raise AssertionError("32 requests at once always took at least 32 calls")
