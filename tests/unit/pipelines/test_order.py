from __future__ import annotations

import pytest

from headway.errors import UsageError
from headway.pipelines.order import in_order


def test_each_comes_after_what_it_needs_and_ties_stay_as_written() -> None:
    needs = {"report": ["evaluate"], "evaluate": ["train"], "extra": [], "train": ["prepare"], "prepare": []}
    assert in_order(needs) == ("extra", "prepare", "train", "evaluate", "report")


def test_nothing_is_in_order() -> None:
    assert in_order({}) == ()


def test_a_circle_is_named_without_what_only_leads_to_it() -> None:
    with pytest.raises(UsageError, match=r"circle: (b -> c -> b|c -> b -> c)"):
        in_order({"a": ["b"], "b": ["c"], "c": ["b"]})


def test_a_step_that_needs_itself_is_a_circle() -> None:
    with pytest.raises(UsageError, match="a -> a"):
        in_order({"a": ["a"]})


def test_an_unknown_need_is_named() -> None:
    with pytest.raises(UsageError, match="'a' needs 'z'"):
        in_order({"a": ["z"]})
