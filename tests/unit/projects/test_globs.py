from __future__ import annotations

import time

import pytest

from headway.projects.globs import matches


@pytest.mark.parametrize(
    ("glob", "path", "fits"),
    [
        ("**.py", "train.py", True),
        ("**.py", "src/deep/train.py", True),
        ("**/*.py", "train.py", True),
        ("**/*.py", "a/b/c.py", True),
        ("*.py", "train.py", True),
        ("*.py", "src/train.py", False),
        ("src", "src/a/b.py", True),
        ("src/", "src/a/b.py", True),
        ("src/**", "src/a/b.py", True),
        ("src/*", "src/a.py", True),
        ("src/*", "src/a/b.py", False),
        ("src/**.sql", "src/q/a.sql", True),
        ("src/**/x/*.py", "src/a/b/x/c.py", True),
        ("src/**/x/*.py", "src/x/c.py", True),
        ("src/**/x/*.py", "src/x/y/c.py", False),
        ("headway.yaml", "headway.yaml", True),
        ("headway.yaml", "other/headway.yaml", False),
        ("./src/a?.py", "src/ab.py", True),
        ("src/[ab].py", "src/c.py", False),
        ("**", "anything/at/all", True),
        ("a/**/b/**/c", "a/x/b/y/b/z/c", True),
        ("a/**/b/**/c", "a/x/b/y/z", False),
    ],
)
def test_globs(glob: str, path: str, fits: bool) -> None:  # noqa: FBT001  # a column of the table
    assert matches(glob, path) is fits


def test_hostile_globs_cost_little() -> None:
    started = time.process_time()
    assert not matches("**/a" * 60 + "/b", "/".join(["a"] * 2000))
    assert not matches("*a" * 90 + "b", "a" * 4000)
    assert time.process_time() - started < 5
