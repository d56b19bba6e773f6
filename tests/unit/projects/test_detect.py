from __future__ import annotations

import pytest

from headway.projects.detect import Detected, Seen, detect, project_name
from headway.projects.model import Goal

TRAIN = b"""\
import argparse

import mlflow
from mlflow import log_metric as log
from mlflow.sklearn import log_model

def main():
    mlflow.autolog()
    with mlflow.start_run():
        mlflow.log_param("lr", 0.1)
        mlflow.log_metric("train_loss", 0.3, step=1)
        log("val_logloss", 0.2)
        mlflow.log_metrics({"val_auc": 0.9, "epochs": 3, name: 1})
        logger.log_metric("nothing", 1)
        log_model(model, name="model")

if __name__ == "__main__":
    main()
"""


def test_a_training_script_is_read_with_its_lines() -> None:
    found = detect({"train.py": TRAIN, "uv.lock": b"", ".python-version": b"3.12.4\n", "util.py": b"x = 1"})
    assert found == Detected(
        script="train.py",
        lockfile="uv.lock",
        python="3.12",
        mlflow=Seen(name="mlflow", file="train.py", line=3),
        autolog=Seen(name="mlflow.autolog", file="train.py", line=8),
        metrics=(
            Seen(name="train_loss", file="train.py", line=11),
            Seen(name="val_logloss", file="train.py", line=12),
            Seen(name="val_auc", file="train.py", line=13),
            Seen(name="epochs", file="train.py", line=13),
        ),
        model=Seen(name="mlflow.sklearn.log_model", file="train.py", line=15),
        primary=Seen(name="val_auc", file="train.py", line=13),
        goal=Goal.MAXIMIZE,
    )
    assert found.primary is not None
    assert found.primary.place == "train.py:13"


@pytest.mark.parametrize(
    ("files", "script"),
    [
        ({"main.py": b"", "util.py": b""}, "main.py"),
        ({"a.py": b"", "b.py": b"import mlflow\nmlflow.log_metric('x', 1)"}, "b.py"),
        ({"src/train.py": b"", "main.py": b""}, "src/train.py"),
        ({"tests/train.py": b"", "only.py": b""}, "only.py"),
        ({"setup.py": b""}, None),
        ({"a.py": b"", "b.py": b""}, None),
        ({"a.py": b"if __name__ == '__main__':\n    pass", "b.py": b""}, "a.py"),
        ({}, None),
    ],
)
def test_the_script_that_trains_is_found(files: dict[str, bytes], script: str | None) -> None:
    assert detect(files).script == script


@pytest.mark.parametrize(
    ("code", "metric", "goal"),
    [
        ("mlflow.log_metric(key='rmse', value=1)", "rmse", Goal.MINIMIZE),
        ("mlflow.log_metrics(metrics={'val_loss': 1, 'loss': 1})", "val_loss", Goal.MINIMIZE),
        ("mlflow.log_metric('latency_ms', 1)", "latency_ms", Goal.MINIMIZE),
        ("mlflow.log_metric('accuracy', 1); mlflow.log_metric('steps', 1)", "accuracy", Goal.MAXIMIZE),
        ("mlflow.log_metric(name, 1)", None, Goal.MAXIMIZE),
        ("mlflow.log_metric('two words', 1)", None, Goal.MAXIMIZE),
    ],
)
def test_the_metric_to_judge_by_and_its_direction(code: str, metric: str | None, goal: Goal) -> None:
    found = detect({"train.py": f"import mlflow\n{code}".encode()})
    assert (found.primary.name if found.primary else None, found.goal) == (metric, goal)


def test_metrics_json_counts_without_mlflow() -> None:
    code = b"import json\njson.dump({'val_f1': 1, 'n': 2}, open('metrics.json', 'w'))"
    found = detect({"train.py": code})
    assert found.mlflow is None
    assert found.primary == Seen(name="val_f1", file="train.py", line=2)


def test_a_module_that_logs_for_the_script_counts() -> None:
    found = detect({"train.py": b"import track", "track.py": b"import mlflow as m\nm.log_metric('auc', 1)"})
    assert (found.script, found.primary) == ("train.py", Seen(name="auc", file="track.py", line=2))


@pytest.mark.parametrize(
    ("files", "python"),
    [
        ({"pyproject.toml": b'[project]\nrequires-python = ">=3.11,<3.13"'}, "3.11"),
        ({"pyproject.toml": b"[broken"}, None),
        ({"pyproject.toml": b"project = 3"}, None),
        ({".python-version": b"pypy\n", "pyproject.toml": b'[project]\nrequires-python = "==3.12.*"'}, "3.12"),
        ({}, None),
    ],
)
def test_the_python_version(files: dict[str, bytes], python: str | None) -> None:
    assert detect(files).python == python


def test_a_lock_file_of_another_tool_is_named() -> None:
    found = detect({"poetry.lock": b"", "pyproject.toml": b""})
    assert (found.lockfile, found.other_lockfile) == ("pyproject.toml", "poetry.lock")


@pytest.mark.parametrize("data", [b"def (", b"\x00", b"\xff\xfe", b"(" * 5000, b"x = " + b"-" * 100_000 + b"1"])
def test_an_unreadable_script_is_no_obstacle(data: bytes) -> None:
    assert detect({"train.py": data}).script == "train.py"


@pytest.mark.parametrize(
    ("folder", "name"), [("churn", "churn"), ("My Project!", "My-Project"), ("...", "model"), ("é" * 9, "model")]
)
def test_a_folder_gives_the_project_its_name(folder: str, name: str) -> None:
    assert project_name(folder) == name
