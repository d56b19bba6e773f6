"""What is taken from the folder that foreign code has written: names that can be kept, and nothing through a link."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from headway.errors import Refused
from headway.flow.collect import _logged, own_folder, read_metrics


@dataclass
class _Spec:
    directory: str
    cwd: str


def _spec(folder: Path, inner: str = "work/sub") -> Any:
    return cast("Any", _Spec(directory=str(folder), cwd=str(folder / inner)))


@pytest.mark.parametrize("name", ["@acme/leads <!-- x -->", "a|b", "../up", "", "x" * 251, "\ud800", "a\x00b", "/a"])
def test_a_name_that_cannot_be_kept_is_told_and_not_kept(tmp_path: Path, name: str) -> None:
    """One such name kept its job open for ever."""
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps({name: 1.0, "score": 0.5}))
    found = read_metrics(path)
    assert found.metrics == {"score": 0.5}
    assert found.problem.startswith("metrics.json: ")
    found.problem.encode()


def test_nothing_is_taken_through_a_link_in_place_of_the_project_s_folder(tmp_path: Path) -> None:
    """A project in a subfolder can be swapped for a link by its own code: then every output would be another's file."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "metrics.json").write_text('{"stolen": 1}')
    attempt = tmp_path / "attempt"
    (attempt / "work").mkdir(parents=True)
    (attempt / "work" / "sub").symlink_to(secret)
    with pytest.raises(Refused, match="replaced by a link"):
        own_folder(_spec(attempt))
    assert _logged(_spec(attempt)).metrics == {}
    (attempt / "work" / "deep").symlink_to(tmp_path)
    with pytest.raises(Refused):
        own_folder(_spec(attempt, "work/deep/secret"))
    (attempt / "work" / "good").mkdir()
    assert own_folder(_spec(attempt, "work/good")) == attempt / "work" / "good"
    assert own_folder(_spec(attempt, "work")) == attempt / "work"
