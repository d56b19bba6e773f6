from __future__ import annotations

import pytest

from headway.errors import UsageError
from headway.pipelines.params import as_text, merge_params
from headway.projects.model import ParamValue

DEFAULTS: dict[str, ParamValue] = {"lr": 0.05, "depth": 6, "fast": False, "kind": "tree"}


def merge(**overrides: ParamValue) -> dict[str, ParamValue]:
    return merge_params(DEFAULTS, overrides, known=DEFAULTS)


def test_overrides_win_and_take_the_type_of_the_default() -> None:
    merged = merge(lr="0.1", depth="8", fast="true", kind=3)
    assert merged == {"lr": 0.1, "depth": 8, "fast": True, "kind": "3"}
    assert [type(value) for value in merged.values()] == [float, int, bool, str]


def test_a_whole_number_is_a_float_where_a_float_is_wanted() -> None:
    value = merge(lr=1)["lr"]
    assert type(value) is float
    assert merge(depth=8.0)["depth"] == 8


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", "fast"),
        ("lr", "nan"),
        ("lr", "inf"),
        ("depth", "1.5"),
        ("depth", 1.5),
        ("fast", "1"),
        ("depth", True),
        ("lr", True),
    ],
)
def test_another_type_is_refused_with_the_default_beside_it(name: str, value: ParamValue) -> None:
    with pytest.raises(UsageError) as caught:
        merge(**{name: value})
    assert f"param {name}=" in caught.value.message
    assert as_text(DEFAULTS[name]) in caught.value.cause


def test_an_unknown_param_gets_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="did you mean 'depth'") as caught:
        merge(dept=3)
    assert "depth, fast, kind, lr" in caught.value.cause


def test_large_whole_numbers_keep_their_digits() -> None:
    assert merge(depth="9007199254740993")["depth"] == 9007199254740993
