"""Plain programs of real clients against a live server with token login; what they logged is asked for afterwards."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clients import environments
from fakes.headway_server import HeadwayServer, told

PROGRAMS = Path(__file__).parent / "programs"
WANTED = bool(os.environ.get("HEADWAY_TEST_CLIENTS"))

pytestmark = [
    pytest.mark.mlflow,
    pytest.mark.slow,
    pytest.mark.skipif(not WANTED, reason="make test-clients installs these clients and runs them"),
]


@pytest.fixture(scope="module", params=environments.names())
def client(request: pytest.FixtureRequest) -> str:
    environments.make(request.param)
    return str(request.param)


@pytest.fixture(scope="module")
def server(client: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HeadwayServer]:
    """One for each client: what another one logged is not in its way."""
    server = HeadwayServer(tmp_path_factory.mktemp(client))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def needs(client: str, request: pytest.FixtureRequest) -> None:
    """A program runs in the environments that have what it needs."""
    package = request.param
    found = next(iter((environments.KEPT / client / "lib").glob(f"python*/site-packages/{package}")), None)
    if found is None:
        pytest.skip(f"{client} has no {package}")


def run(client: str, server: HeadwayServer, program: str, folder: Path, **more: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HEADWAY_", "MLFLOW_", "PYTEST"))}
    environment = {
        **kept,
        "HOME": str(folder),
        "MLFLOW_TRACKING_URI": server.url,
        **(more or {"MLFLOW_TRACKING_TOKEN": server.token}),
    }
    argv = [str(environments.python_of(client)), str(PROGRAMS / program)]
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-6000:]}"


def values(pairs: list[dict[str, Any]] | None) -> dict[str, Any]:
    return told(pairs)


@pytest.mark.parametrize("login", ["token", "basic"])
def test_basics(client: str, server: HeadwayServer, tmp_path: Path, login: str) -> None:
    if login == "basic" and server.runs("basics"):
        for each in server.runs("basics"):
            server.ask("POST", "runs/delete", {"run_id": each["info"]["run_id"]})
    (tmp_path / "folder" / "sub").mkdir(parents=True)
    (tmp_path / "folder" / "one.txt").write_text("one")
    (tmp_path / "folder" / "sub" / "two.txt").write_text("two")
    basic = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": server.token}
    run(client, server, "basics.py", tmp_path, **(basic if login == "basic" else {}))
    runs = {each["info"]["run_name"]: each for each in server.runs("basics")}
    assert sorted(runs) == ["child 0", "child 1", "child 2", "parent", "threads"]
    assert {each["info"]["status"] for each in runs.values()} == {"FINISHED"}
    parent = runs["parent"]
    run_id = parent["info"]["run_id"]
    assert values(parent["data"]["params"]) == {"depth": "3", "kind": "gbm"}
    assert server.history(run_id, "loss") == [*((step, 1 / (step + 1)) for step in range(20)), (20, 0.01)]
    assert server.history(run_id, "auc") == [(3, 0.75)]
    assert values(parent["data"]["tags"]).items() >= {"team": "nyc", "a": "1", "b": "two words"}.items()
    assert server.files(run_id) == {
        "config/config.json": len(server.content(run_id, "config/config.json")),
        "data/one.txt": 3,
        "data/sub/two.txt": 3,
        "notes/readme.txt": 5,
        "notes/ä b+c.txt": 3,
        "plain.bin": 256_000,
    }
    assert server.content(run_id, "plain.bin") == bytes(range(256)) * 1000
    for number in range(3):
        child = runs[f"child {number}"]
        assert values(child["data"]["tags"])["mlflow.parentRunId"] == run_id
        assert server.history(child["info"]["run_id"], "score") == [(0, number)]
    for number in range(4):
        history = server.history(runs["threads"]["info"]["run_id"], f"thread{number}")
        assert history == [(step, step) for step in range(50)]


def test_three_processes_log_into_one_run(client: str, server: HeadwayServer, tmp_path: Path) -> None:
    run(client, server, "one_run.py", tmp_path)
    (shared,) = server.runs("one run")
    for rank in range(3):
        assert server.history(shared["info"]["run_id"], f"rank{rank}") == [(step, step) for step in range(40)]


@pytest.mark.usefixtures("needs")
@pytest.mark.parametrize("needs", ["mlflow/system_metrics"], indirect=True)
def test_asynchronous_logging_and_system_metrics(client: str, server: HeadwayServer, tmp_path: Path) -> None:
    if client == "mlflow29":
        pytest.skip("2.9 logs asynchronously by another name")
    run(client, server, "asynchronous.py", tmp_path)
    (found,) = server.runs("asynchronous")
    assert server.history(found["info"]["run_id"], "loss") == [(step, step) for step in range(500)]
    assert values(found["data"]["params"]) == {f"p{n}": str(n) for n in range(100)}
    sampled = server.history(found["info"]["run_id"], "system/cpu_utilization_percentage")
    assert len(sampled) >= 2
    assert [step for step, _ in sampled] == list(range(len(sampled)))


@pytest.mark.usefixtures("needs")
@pytest.mark.parametrize("needs", ["sklearn"], indirect=True)
def test_a_grid_search_and_a_registered_model(client: str, server: HeadwayServer, tmp_path: Path) -> None:
    run(client, server, "sklearn_autolog.py", tmp_path)
    runs = server.runs("sklearn")
    by_name = {each["info"]["run_name"]: each for each in runs}
    assert len(runs) == 5  # the search, three of its candidates, the registered one
    grid = by_name["grid"]
    children = [
        each for each in runs if values(each["data"]["tags"]).get("mlflow.parentRunId") == grid["info"]["run_id"]
    ]
    assert sorted(values(each["data"]["params"])["C"] for each in children) == ["0.1", "1.0", "10.0"]
    assert {"best_C", "cv"} <= set(values(grid["data"]["params"]))
    assert "best_cv_score" in values(grid["data"]["metrics"])
    assert {"cv_results.csv", "estimator.html"} <= set(server.files(grid["info"]["run_id"]))
    (version,) = server.ask("GET", "model-versions/search", None, filter="name = 'iris'")["model_versions"]
    assert version["run_id"] == by_name["registered"]["info"]["run_id"]
    assert version["status"] == "READY"
    assert values(version["tags"]) == {"checked": "yes"}
    named = server.ask("GET", "registered-models/alias", None, name="iris", alias="champion")["model_version"]
    assert named["version"] == version["version"] == "1"


@pytest.mark.usefixtures("needs")
@pytest.mark.parametrize("needs", ["lightning"], indirect=True)
def test_lightnings_logger(client: str, server: HeadwayServer, tmp_path: Path) -> None:
    run(client, server, "lightning_logger.py", tmp_path)
    (found,) = server.runs("lightning")
    run_id = found["info"]["run_id"]
    assert (found["info"]["run_name"], found["info"]["status"]) == ("line", "FINISHED")
    assert values(found["data"]["params"]) == {"lr": "0.1"}
    assert [step for step, _ in server.history(run_id, "train_loss")] == list(range(12))
    assert any(path.endswith("last.ckpt") for path in server.files(run_id)), server.files(run_id)


@pytest.mark.usefixtures("needs")
@pytest.mark.parametrize("needs", ["optuna"], indirect=True)
def test_optunas_callback(client: str, server: HeadwayServer, tmp_path: Path) -> None:
    run(client, server, "optuna_callback.py", tmp_path)
    runs = server.runs("optuna")
    (study,) = [each for each in runs if each["info"]["run_name"] == "study"]
    trials = [each for each in runs if each is not study]
    assert [each["info"]["run_name"] for each in trials] == ["0", "1", "2", "3", "4"]
    for trial in trials:
        assert values(trial["data"]["tags"])["mlflow.parentRunId"] == study["info"]["run_id"]
        x = float(values(trial["data"]["params"])["x"])
        assert abs(values(trial["data"]["metrics"])["loss"] - x**2) < 1e-12
