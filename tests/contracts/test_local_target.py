"""Local processes keep the promises of a target."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.target import NAME, TargetContract
from headway.serving.local import LocalTarget
from headway.serving.model import Deployment, Route
from serving.models import deployment, route, write_model


class TestLocalTarget(TargetContract):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    @pytest.fixture
    def target(self, tmp_path: Path) -> Iterator[LocalTarget]:
        target = LocalTarget(tmp_path / "endpoints")
        yield target
        target.remove(NAME)

    def good(self, version: int, weight: int = 100) -> Route:
        return route(version, weight, write_model(self.folder / f"good{version}"))

    def bad(self, version: int, weight: int = 100) -> Route:
        return route(version, weight, write_model(self.folder / "bad", load="fails"))

    def wanted(self, *routes: Route, revision: int = 1) -> Deployment:
        return deployment(*routes, revision=revision)

    def restarted(self, target: LocalTarget) -> LocalTarget:
        return LocalTarget(target.root)
