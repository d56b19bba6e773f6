"""Whose token goes to whom: a journal is delivered with the token of its own server, never with another's."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.cli.credentials import keep_token
from headway.cli.doors import Kept
from headway.cli.outside import tracker_of

HERE, THERE = "https://here.example", "https://there.example"


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HEADWAY_URL", "HEADWAY_TOKEN", "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def _kept(url: str, folder: Path, data: Path | None = None) -> Kept:
    return Kept(
        id="one", folder=folder, url=url, data=data, command="x", at=0, waiting_bytes=0, refused=0, is_open=False
    )


def test_the_token_of_one_server_is_not_sent_to_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`headway journal deliver` takes all journals, whichever server HEADWAY_URL names today."""
    monkeypatch.setenv("HEADWAY_URL", HERE)
    monkeypatch.setenv("HEADWAY_TOKEN", "hw_of_here")
    (tmp_path / "admin-token").write_text("hw_own")
    assert tracker_of(_kept(HERE, tmp_path)).token == "hw_of_here"
    assert tracker_of(_kept(THERE, tmp_path)).token == ""
    assert tracker_of(_kept("http://127.0.0.1:1", tmp_path, tmp_path)).token == "hw_own"
    keep_token(THERE, "hw_of_there")
    assert tracker_of(_kept(THERE, tmp_path)).token == "hw_of_there"


def test_a_token_that_is_named_for_no_server_is_for_the_one_that_is_meant(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HEADWAY_TOKEN", "hw_given")
    assert tracker_of(_kept(THERE, tmp_path)).token == "hw_given"
    assert tracker_of(_kept("http://127.0.0.1:1", tmp_path, tmp_path)).token == "hw_given"
