from pathlib import Path

import pytest

from contracts.builder import BuilderContract
from fakes.builder import FakeBuilder


class TestFakeBuilder(BuilderContract):
    @pytest.fixture
    def builder(self, tmp_path: Path) -> FakeBuilder:
        return FakeBuilder(tmp_path / "environments")
