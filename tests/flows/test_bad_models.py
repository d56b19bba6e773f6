"""A model that does not load never reaches anybody; a rollback without a past says so."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from flows.conftest import House, Stage
from headway.serving.model import ReleaseState
from headway.serving.store import DeploymentStore, ReleaseStore

CONFIG = """\
name: adder
pipeline:
  steps:
    train: {run: python train.py, outputs: [model]}
metrics:
  score: {goal: maximize}
model: {name: adder, path: model}
deploy:
  environment: production
  staging: false
  approval: {required: 0}
  strategy: {canary: {steps: [{weight: 100}]}}
"""

TRAIN = """\
import json, os
os.makedirs("model", exist_ok=True)
open("model/headway_model.py", "w").write(MODEL)
json.dump({"score": 0.5}, open("metrics.json", "w"))
"""

MODEL = """\
class Model:
    def predict(self, data):
        return [float(data[at] + data[at + 1]) for at in range(0, len(data), 2)]  # flat, where NumPy is missing
def load(folder):
    LOAD
    return Model()
"""


def train_script(load: str) -> str:
    return f"MODEL = {MODEL.replace('LOAD', load)!r}\n{TRAIN}"


@pytest.fixture
def served(scene: Stage, house: House) -> Iterator[Stage]:
    """A repository whose first version answers in production."""
    scene.write({"headway.yaml": CONFIG, "train.py": train_script("pass")}, message="the project")
    scene.command("/train")
    (job,) = scene.settled(1)
    assert job.state == "succeeded", job.reason
    scene.command(f"/deploy {job.number}")
    wait_for(scene, ReleaseState.PROMOTED, count=1)
    yield scene
    house.app.target("local").remove("adder-production")


def wait_for(stage: Stage, state: ReleaseState, *, count: int) -> None:
    def done() -> bool:
        with stage.app.database.read() as tx:
            states = [release.state for release in ReleaseStore(tx).find()]
        return len(states) == count and state in states

    stage.tick_until(done, what=f"a release {state}")


def answer(stage: Stage) -> list[float]:
    with stage.app.database.read() as tx:
        kept = DeploymentStore(tx).get("adder-production")
    assert kept is not None
    assert kept.observed is not None
    asked = httpx.post(f"{kept.observed.url}/invocations", json={"instances": [[1, 2], [3, 4]]}, timeout=60)
    assert asked.status_code == 200, asked.text
    return list(asked.json()["predictions"])


def test_a_model_that_does_not_load_fails_its_release_and_the_old_one_answers(served: Stage) -> None:
    assert answer(served) == [3.0, 7.0]
    served.write({"train.py": train_script("raise ValueError('the weights are damaged')")}, branch="damaged")
    change = served.open("damaged")
    served.comment(change, "/train")
    served.settled(2)
    served.report(change)
    served.comment(change, "/deploy")
    wait_for(served, ReleaseState.FAILED, count=2)
    said = "\n".join(served.answers(change)) + served.report(change)
    assert "did not reach production" in said
    assert "the weights are damaged" in said
    assert answer(served) == [3.0, 7.0]
    with served.app.database.read() as tx:
        kept = DeploymentStore(tx).get("adder-production")
    assert kept is not None
    assert kept.serving is not None
    assert kept.serving.version == 1

    served.comment(change, "/rollback production")
    served.tick_until(lambda: "/rollback" in served.answers(change)[-1], what="an answer")
    assert "no such version has served everything there before" in served.answers(change)[-1]
    assert answer(served) == [3.0, 7.0]
