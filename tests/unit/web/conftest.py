"""Sites for the pages: one that everybody only reads, and fresh ones for those who write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.site import Site, empty_site, filled_site


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = filled_site(tmp_path_factory.mktemp("full"))
    yield site
    site.app.close()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Site]:
    site = filled_site(tmp_path)
    yield site
    site.app.close()


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Site]:
    site = empty_site(tmp_path)
    yield site
    site.app.close()


@pytest.fixture(scope="session")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An empty site for those who only come in and go out."""
    site = empty_site(tmp_path_factory.mktemp("door"))
    yield site
    site.app.close()
