"""Patterns of branches: nothing fits that GitHub itself would not let through."""

from __future__ import annotations

import pytest

from headway.forges.patterns import fits


@pytest.mark.parametrize(
    ("pattern", "branch"),
    [
        ("main", "main"),
        ("*", "main"),
        ("release-*", "release-1"),
        ("release/*", "release/1"),
        ("release/*/*", "release/1/2"),
        ("qa/**/*", "qa/a"),
        ("qa/**/*", "qa/a/b/c"),
        ("**/fix", "fix"),
        ("**/fix", "a/b/fix"),
        ("v[0-9]", "v1"),
        ("v[^0-9]", "vx"),
        ("v[!0-9]", "vx"),
    ],
)
def test_what_fits(pattern: str, branch: str) -> None:
    assert fits(branch, pattern)


@pytest.mark.parametrize(
    ("pattern", "branch"),
    [
        ("*", "feature/x"),
        ("release*", "release/of/mine"),
        ("release/*", "release/1/2"),
        ("release/*", "release"),
        ("release/*/*", "release/1"),
        ("release/**", "release/1/2"),
        ("qa/**/*", "qa"),
        ("**/fix", "a/fixed"),
        ("v[^0-9]", "v1"),
        ("main", "Main"),
        ("", "main"),
    ],
)
def test_what_does_not(pattern: str, branch: str) -> None:
    assert not fits(branch, pattern)


def test_many_folders_of_any_number_take_no_time() -> None:
    assert not fits("a/" * 120 + "b", "**/a/" * 30 + "c")
