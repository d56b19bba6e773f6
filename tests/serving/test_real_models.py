"""Models as MLflow saves them, loaded by the flavour that their environment has, and by nobody else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headway.sandbox.isolation import probe_isolation
from headway.serving.front import Options
from headway.serving.local import LocalTarget
from headway.serving.model import Observed
from headway.serving.scorer_process import Launch
from serving.models import CLIENT, deployment, in_force, route, wait_for

NAME = "demo-production"

TRAIN = """
import sys, pickle, warnings
warnings.simplefilter("ignore")
import mlflow, numpy as np, pandas as pd
from mlflow.models import infer_signature
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
folder = sys.argv[1]
rng = np.random.default_rng(7)
rows = pd.DataFrame({"distance": rng.normal(size=300), "hour": rng.integers(0, 24, 300)})
rows["carrier"] = rng.choice(["AA", "UA", "DL"], 300)
late = ((rows.distance + (rows.carrier == "UA")) > 0.5).astype(int)
columns = make_column_transformer((OneHotEncoder(), ["carrier"]), remainder="passthrough")
model = make_pipeline(columns, LogisticRegression()).fit(rows, late)
signature = infer_signature(rows, model.predict(rows))
mlflow.sklearn.save_model(
    model, f"{folder}/sklearn", signature=signature, input_example=rows.head(3), pip_requirements=[],
)

class Doubling(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return pd.DataFrame({"twice": model_input["x"] * 2, "name": ["row"] * len(model_input)})

xs = pd.DataFrame({"x": [1.0, 2.0]})
mlflow.pyfunc.save_model(
    f"{folder}/pyfunc", python_model=Doubling(), signature=infer_signature(xs, Doubling().predict(None, xs)),
    pip_requirements=[],
)

matrix = rng.normal(size=(100, 4))
plain = LogisticRegression().fit(matrix, matrix[:, 0] > 0)
mlflow.sklearn.save_model(
    plain, f"{folder}/tensor", signature=infer_signature(matrix, plain.predict(matrix)), input_example=matrix[:2],
    pip_requirements=[], serialization_format="cloudpickle",
)

import os
os.makedirs(f"{folder}/evil")
class WhoAmI:
    def __reduce__(self):
        return (eval, (f"open({folder + '/evil-ran'!r}, 'w').write(str(__import__('os').getpid()))",))
with open(f"{folder}/evil/model.pkl", "wb") as stream:
    pickle.dump(WhoAmI(), stream)
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    subprocess.run([sys.executable, "-c", TRAIN, str(folder)], check=True, capture_output=True, timeout=240)
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Iterator[LocalTarget]:
    target = LocalTarget(tmp_path / "endpoints")
    yield target
    target.remove(NAME)


def serve(target: LocalTarget, source: Path) -> Observed:
    target.apply(deployment(route(1, 100, source)))
    return wait_for(target, NAME, in_force(1), seconds=120)


ROWS = [{"distance": 2.0, "hour": 9, "carrier": "UA"}, {"distance": -2.0, "hour": 23, "carrier": "AA"}]


def test_a_pipeline_with_text_and_numbers_in_every_form_of_request(target: LocalTarget, models: Path) -> None:
    url = serve(target, models / "sklearn").url
    split = {"columns": list(ROWS[0]), "data": [list(row.values()) for row in ROWS]}
    forms = [
        {"dataframe_records": ROWS},
        {"dataframe_split": split},
        {"instances": ROWS},
        {"inputs": {name: [row[name] for row in ROWS] for name in ROWS[0]}},
    ]
    for form in forms:
        answer = CLIENT.post(f"{url}/invocations", json=form)
        assert (answer.status_code, answer.json()) == (200, {"predictions": [1, 0]}), form
    text = "carrier,hour,distance\nUA,9,2.0\nAA,23,-2\n"
    answer = CLIENT.post(f"{url}/invocations", content=text, headers={"Content-Type": "text/csv"})
    assert answer.json() == {"predictions": [1, 0]}

    inputs = [
        {"name": "carrier", "datatype": "BYTES", "shape": [2], "data": ["UA", "AA"]},
        {"name": "hour", "datatype": "INT64", "shape": [2, 1], "data": [[9], [23]]},
        {"name": "distance", "datatype": "FP32", "shape": [2], "data": [2, -2]},
    ]
    answer = CLIENT.post(f"{url}/v2/models/adder/infer", json={"id": "7", "inputs": inputs})
    assert answer.json()["id"] == "7"
    assert answer.json()["outputs"] == [{"name": "predictions", "shape": [2], "datatype": "INT64", "data": [1, 0]}]

    sure = CLIENT.post(f"{url}/invocations", json=forms[0], headers={"X-Headway-Probabilities": "1"}).json()
    assert [row.index(max(row)) for row in sure["probabilities"]] == [1, 0]
    metadata = CLIENT.get(f"{url}/v2/models/adder").json()
    assert [one["name"] for one in metadata["inputs"]] == ["distance", "hour", "carrier"]
    assert metadata["outputs"] == [{"name": "predictions", "datatype": "INT64", "shape": [-1]}]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"dataframe_records": [{"distance": 1.0, "hour": 3}]}, 400, "column 'carrier' is missing"),
        ({"dataframe_records": [{**ROWS[0], "hour": 3.5}]}, 400, "column 'hour' takes long"),
        ({"dataframe_records": [{**ROWS[0], "hour": None}]}, 400, "column 'hour' takes long"),
        ({"dataframe_records": [{**ROWS[0], "distance": "canary-value"}]}, 400, "column 'distance' takes double"),
        ({"dataframe_records": [{**ROWS[0], "carrier": 7}]}, 400, "column 'carrier' takes string"),
        ({"dataframe_records": []}, 400, "empty"),
        ({"inputs": {"distance": [1.0], "hour": [1, 2], "carrier": ["UA"]}}, 400, "same length"),
        ({"instances": [[1, 2]], "inputs": [[1, 2]]}, 400, "exactly one of"),
        ({"instances": [[1.0, 2.0]]}, 400, "3 columns"),
        ([1], 400, "object"),
    ],
)
def test_bad_requests_are_told_what_the_model_wants(shared: str, body: object, status: int, message: str) -> None:
    answer = CLIENT.post(f"{shared}/invocations", json=body)
    assert answer.status_code == status
    assert message in answer.json()["message"]
    assert "canary-value" not in answer.text
    assert "Traceback" not in answer.text


@pytest.fixture(scope="module")
def shared(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    target = LocalTarget(tmp_path_factory.mktemp("shared"))
    yield serve(target, models / "sklearn").url
    target.remove(NAME)


def test_other_content_types_are_refused(shared: str) -> None:
    answer = CLIENT.post(f"{shared}/invocations", content=b"x", headers={"Content-Type": "application/x-pickle"})
    assert answer.status_code == 415
    assert set(answer.json()) >= {"error_code", "message"}


def test_health_metrics_and_the_first_kserve_protocol(shared: str) -> None:
    assert CLIENT.get(f"{shared}/ping").text == "\n"
    assert CLIENT.get(f"{shared}/health").status_code == 200
    assert CLIENT.get(f"{shared}/version").status_code == 200
    assert CLIENT.get(f"{shared}/v1/models").json() == {"models": ["adder"]}
    answer = CLIENT.post(f"{shared}/v1/models/adder:predict", json={"instances": ROWS})
    assert answer.json() == {"predictions": [1, 0]}
    metrics = CLIENT.get(f"{shared}/metrics").text
    assert 'headway_requests_total{deployment="demo-production",version="1"}' in metrics
    assert 'headway_latency_seconds_bucket{deployment="demo-production",version="1",le="+Inf"}' in metrics
    assert CLIENT.get(f"{shared}/nowhere").status_code == 404
    assert CLIENT.get(f"{shared}/v2/models/other").status_code == 404


def test_a_python_model_answers_a_table(target: LocalTarget, models: Path) -> None:
    url = serve(target, models / "pyfunc").url
    answer = CLIENT.post(f"{url}/invocations", json={"dataframe_records": [{"x": 1.5}, {"x": 2}]})
    assert answer.json() == {"predictions": [{"twice": 3.0, "name": "row"}, {"twice": 4.0, "name": "row"}]}


def test_a_pickled_model_of_a_matrix_in_the_sandbox(models: Path, tmp_path: Path) -> None:
    report = probe_isolation(tmp_path)
    if report.facts is None:
        pytest.skip(f"no sandbox here: {report.reasons}")
    data = tmp_path / "data"
    data.mkdir()
    (data / "headway.db").write_text("the server's own data")
    target = LocalTarget(data / "endpoints", Options(launch=Launch(sandbox=report.facts, private=(str(data),))))
    try:
        url = serve(target, models / "tensor").url
        answer = CLIENT.post(f"{url}/invocations", json={"inputs": [[1, 0, 0, 0], [-1.5, 0, 0, 0]]})
        assert answer.json() == {"predictions": [True, False]}
    finally:
        target.remove(NAME)


def test_the_sandbox_hides_the_servers_data(models: Path, tmp_path: Path) -> None:
    report = probe_isolation(tmp_path)
    if report.facts is None:
        pytest.skip(f"no sandbox here: {report.reasons}")
    data = tmp_path / "data"
    data.mkdir()
    (data / "headway.db").write_text("the server's own data")
    spy = tmp_path / "spy"
    spy.mkdir()
    (spy / "headway_model.py").write_text(
        "import os\n"
        f"def load(folder):\n    seen = os.path.exists({str(data / 'headway.db')!r})\n"
        "    pids = [p for p in os.listdir('/proc') if p.isdigit()]\n"
        "    return lambda rows: [[seen, len(pids)]] * len(rows)\n"
    )
    target = LocalTarget(data / "endpoints", Options(launch=Launch(sandbox=report.facts, private=(str(data),))))
    try:
        url = serve(target, spy).url
        seen, processes = CLIENT.post(f"{url}/invocations", json={"instances": [[1, 2]]}).json()["predictions"][0]
        assert not seen
        assert processes < 10
    finally:
        target.remove(NAME)


def test_a_malicious_pickle_runs_in_the_scorer_and_nowhere_else(target: LocalTarget, models: Path) -> None:
    ran = models / "evil-ran"
    ran.unlink(missing_ok=True)
    target.apply(deployment(route(1, 100, models / "evil")))
    seen = wait_for(target, NAME, lambda each: each.versions.get(1, "").startswith("failed"))
    assert "cannot be called" in seen.versions[1]
    front = int(seen.message.removeprefix("process "))
    pid = int(ran.read_text())
    assert pid not in (front, os.getpid())


def test_the_public_conformance_rules_hold(shared: str, tmp_path: Path) -> None:
    """The rules of the protocol that clients rely on most; the full check is run by hand (docs)."""
    inputs = [
        {"name": "carrier", "datatype": "BYTES", "shape": [1], "data": ["UA"]},
        {"name": "hour", "datatype": "INT64", "shape": [1], "data": [9]},
        {"name": "distance", "datatype": "FP64", "shape": [1], "data": [2.0]},
    ]
    good = {"id": "ü-✓", "inputs": inputs, "parameters": {"a": 1, "b": "x", "c": True}}
    url = f"{shared}/v2/models/adder/infer"
    assert CLIENT.post(url, json=good).json()["id"] == "ü-✓"
    broken = [
        {},
        {"inputs": {}},
        {"inputs": [{**inputs[0], "shape": [2]}, *inputs[1:]]},
        {"inputs": [{**inputs[0], "shape": [-1]}, *inputs[1:]]},
        {"inputs": [{**inputs[1], "datatype": "FP99"}]},
        {"inputs": [{**inputs[1], "data": ["text"]}, inputs[0], inputs[2]]},
        {**good, "outputs": [{"name": "no-such"}]},
    ]
    for body in broken:
        answer = CLIENT.post(url, json=body)
        assert answer.status_code == 400, body
        assert list(answer.json()) == ["error"]
    assert CLIENT.post(url, content=b'{"inputs": [').status_code == 400
    assert CLIENT.post(f"{shared}/v2/models/adder/versions/9/infer", json=good).status_code == 404
    numbers = json.dumps({"inputs": inputs[:1]}).encode()
    length = {"Inference-Header-Content-Length": str(len(numbers) + 50)}
    assert CLIENT.post(url, content=numbers, headers=length).status_code == 400
