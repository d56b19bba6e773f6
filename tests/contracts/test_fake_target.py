"""The fake keeps the promises of a target."""

from __future__ import annotations

import pytest

from contracts.target import TargetContract
from fakes.target import FakeTarget
from headway.serving.model import Deployment, Route
from serving.models import deployment


class TestFakeTarget(TargetContract):
    @pytest.fixture
    def target(self) -> FakeTarget:
        return FakeTarget()

    def good(self, version: int, weight: int = 100) -> Route:
        return Route(model="adder", version=version, weight=weight, source=f"/m/{version}", digest="d", env_path="/e")

    def bad(self, version: int, weight: int = 100) -> Route:
        return Route(model="adder", version=version, weight=weight, source="/m/bad", digest="d", env_path="/e")

    def wanted(self, *routes: Route, revision: int = 1) -> Deployment:
        return deployment(*routes, revision=revision)

    def restarted(self, target: FakeTarget) -> FakeTarget:
        return FakeTarget(target.world)
