"""The team's own test is thrown at a version in staging."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headway.projects.model import ModelTest
from headway.serving.local import LocalTarget
from headway.serving.model_test import difference, run_model_test
from headway.serving.rollout import Tested as StagingTest  # pytest collects what starts with Test
from serving.models import deployment, in_force, route, wait_for, write_model

NAME = "demo-staging"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("staging")
    model = write_model(folder / "model")
    with (model / "headway_model.py").open("a") as stream:
        stream.write("Model.predict_proba = lambda self, data: np.array([[0.25, 0.75]] * len(data))\n")
    target = LocalTarget(folder / "endpoints")
    target.apply(deployment(route(1, 100, model), name=NAME))
    yield wait_for(target, NAME, in_force(1)).url
    target.remove(NAME)


def run(endpoint: str, checkout: Path, **test: str) -> StagingTest:
    return run_model_test(ModelTest(**test), endpoint=endpoint, checkout=checkout, env_path=sys.prefix, time_limit=60)


def write(checkout: Path, name: str, case: object) -> None:
    (checkout / "tests").mkdir(exist_ok=True)
    (checkout / "tests" / name).write_text(json.dumps(case))


def test_request_files_show_answers_confidence_and_time(endpoint: str, tmp_path: Path) -> None:
    write(tmp_path, "a.json", {"request": {"instances": [[1, 2]]}, "expect": [3]})
    write(tmp_path, "b.json", {"request": {"instances": [[1, 2]]}, "expect": {"predictions": [3.05]}, "tolerance": 0.1})
    tensor = {"name": "x", "datatype": "FP64", "shape": [1, 2], "data": [1, 2]}
    write(tmp_path, "c.json", [{"request": {"inputs": [tensor]}, "expect": [3]}, {"request": {"instances": [[1, 2]]}}])

    found = run(endpoint, tmp_path, requests="tests/*.json")

    assert found.passed, found
    lines = found.output.splitlines()
    assert lines[0].split() == ["request", "answer", "expected", "confidence", "time", "result"]
    assert lines[1].split()[:4] == ["tests/a.json", "[3]", "[3]", "75%"]
    assert [line.split()[0] for line in lines[2:]] == ["tests/b.json", "tests/c.json", "tests/c.json#2"]
    assert all(line.endswith("passed") and " ms " in line for line in lines[1:])


@pytest.mark.parametrize(
    ("case", "problem"),
    [
        ({"request": {"instances": [[1, 2]]}, "expect": [4]}, "3 instead of 4"),
        ({"request": {"instances": [[1, 2, 3]]}, "expect": [4]}, "HTTP 400: the model takes 2 columns"),
        ({"request": {"instances": [[1, 2]]}, "expect": [3, 3]}, "1 values instead of 2"),
        ({"request": {"instances": [[1, 2]]}, "expect": {"other": 1}}, "other is missing"),
        ({"expect": [4]}, "needs an object with `request`"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_wrong_answer_fails_and_says_how(endpoint: str, tmp_path: Path, case: object, problem: str) -> None:
    write(tmp_path, "good.json", {"request": {"instances": [[1, 2]]}, "expect": [3]})
    write(tmp_path, "bad.json", case)
    found = run(endpoint, tmp_path, requests="tests/*.json")
    assert not found.passed
    assert found.reason.startswith("1 of 2 requests, first tests/bad.json")
    assert problem in found.reason
    assert "failed" in found.output


def test_no_evidence_is_no_success(endpoint: str, tmp_path: Path) -> None:
    assert "no request file" in run(endpoint, tmp_path, requests="tests/*.json").reason
    assert not run(endpoint, tmp_path).passed
    (tmp_path / "broken.json").write_text("{")
    assert "not JSON" in run(endpoint, tmp_path, requests="*.json").reason
    write(tmp_path, "a.json", {"request": {"instances": [[1, 2]]}})
    assert "no answer" in run("http://127.0.0.1:9", tmp_path, requests="tests/a.json").reason


def test_files_outside_of_the_project_are_never_read(endpoint: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.json").write_text(json.dumps({"request": {"instances": [[1, 2]]}}))
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "link.json").symlink_to(outside / "secret.json")
    for pattern in ("../outside/*.json", str(outside / "*.json"), "*.json"):
        assert "no request file" in run(endpoint, checkout, requests=pattern).reason


def test_a_script_gets_the_endpoint_and_the_models_python(endpoint: str, tmp_path: Path) -> None:
    (tmp_path / "check.py").write_text(
        "import json, os, sys, urllib.request\n"
        "url = os.environ['HEADWAY_ENDPOINT'] + '/invocations'\n"
        "body = json.dumps({'instances': [[1, 2]]}).encode()\n"
        "asked = urllib.request.Request(url, body, {'Content-Type': 'application/json'})\n"
        "answer = json.load(urllib.request.urlopen(asked))\n"
        "print('answer', answer['predictions'], sys.prefix)\n"
        "sys.exit(answer['predictions'] != [int(sys.argv[1])])\n"
    )
    good = run(endpoint, tmp_path, run="python check.py 3")
    assert (good.passed, good.output) == (True, f"answer [3] {sys.prefix}")
    bad = run(endpoint, tmp_path, run="python check.py 4")
    assert (bad.passed, bad.reason) == (False, "python: exit status 1")


def test_a_script_that_hangs_is_ended(endpoint: str, tmp_path: Path) -> None:
    test = ModelTest(run="python -c 'import time; time.sleep(1000)'")
    found = run_model_test(test, endpoint=endpoint, checkout=tmp_path, env_path=sys.prefix, time_limit=1)
    assert (found.passed, found.reason) == (False, "python: ended after 1 s")


@pytest.mark.parametrize(
    ("expected", "got", "same"),
    [
        (1, 1.0000001, True),
        (1, 1.1, False),
        (1, True, False),
        (None, None, True),
        (None, 0, False),
        ([1, [2]], [1, [2]], True),
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ("x", "x", True),
        (1, None, False),
    ],
)
def test_comparing(expected: object, got: object, *, same: bool) -> None:
    assert (difference(expected, got, 1e-6) == "") is same
