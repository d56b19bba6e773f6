"""Errors of a first day are told with what to do."""

from __future__ import annotations

import pytest

from headway.flow.crash_hints import first_day_hint

MISSING = "Traceback (most recent call last):\n  ...\nFileNotFoundError: [Errno 2] No such file or directory: '{}'\n"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("customers.csv", "customers.csv is not in this commit"),
        ("./data/there.csv", "is in the commit: the step starts in the project's folder"),
        ("/home/maria/customers.csv", "name it under data: in headway.yaml and read ${data.NAME}"),
    ],
)
def test_a_file_that_is_not_there(path: str, said: str) -> None:
    assert said in first_day_hint(MISSING.format(path), project_files=("train.py", "data/there.csv"))


def test_trees_that_mlflow_does_not_trust() -> None:
    line = "mlflow.exceptions.MlflowException: The saved sklearn model references untrusted types. If you are sure"
    assert 'serialization_format="cloudpickle"' in first_day_hint(f"{line}\n\n- sklearn.tree._tree.Tree: ...\n")


def test_other_ends_have_no_hint_here() -> None:
    assert first_day_hint("ValueError: no\n") == ""
