from __future__ import annotations

import pytest

from headway.environments.python_version import choose_python, exact_python
from headway.errors import UsageError


@pytest.mark.parametrize(
    ("text", "version"), [("3.12", "3.12"), ("3.12.4", "3.12"), ("cpython-3.11", "3.11"), (" 3.9\n", "3.9")]
)
def test_versions_as_people_write_them(text: str, version: str) -> None:
    assert exact_python(text, where="env.python") == version


@pytest.mark.parametrize("text", ["3", "2.7", "latest", "pypy-3.9", "3.x", ""])
def test_what_is_no_version_is_said(text: str) -> None:
    with pytest.raises(UsageError, match=r"env\.python"):
        exact_python(text, where="env.python")


@pytest.mark.parametrize(
    ("requires", "chosen"),
    [
        ("", "3.11"),
        (">=3.9", "3.11"),
        (">=3.9,<3.11", "3.10"),
        (">=3.12", "3.12"),
        (">3.11", "3.12"),
        (">=3.11.4", "3.11"),
        ("<3.11.4", "3.11"),
        ("<3.11.0", "3.10"),
        ("~=3.10", "3.11"),
        ("~=3.10.2", "3.10"),
        ("==3.9.*", "3.9"),
        ("==3.*", "3.11"),
        (">=3", "3.11"),
        ("!=3.11.*", "3.10"),
        ("!=3.11.2", "3.11"),
        (">=3.8, <4", "3.11"),
        (">=3.13,<3.14", "3.13"),
        ("<=3.10", "3.10"),
    ],
)
def test_the_default_where_it_is_admitted_else_the_nearest(requires: str, chosen: str) -> None:
    assert choose_python(requires, default="3.11") == chosen


def test_what_admits_nothing_or_cannot_be_read_is_said() -> None:
    with pytest.raises(UsageError, match="admits no Python"):
        choose_python(">=3.12,<3.10", default="3.11")
    with pytest.raises(UsageError, match="unreadable"):
        choose_python("new enough", default="3.11")
