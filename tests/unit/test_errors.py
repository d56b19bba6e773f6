from __future__ import annotations

from datetime import UTC, datetime

import pytest

from headway import errors
from headway.errors import ConfigError, HeadwayError, StorageFull, Throttled, Unreachable, UsageError

KINDS = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, HeadwayError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_says_three_things_and_how_to_leave(kind):
    more = {"until": datetime(2026, 11, 20, tzinfo=UTC)} if kind is Throttled else {}
    error = kind("it broke", cause="a stone", hint="mend it", **more)
    assert (error.message, error.cause, error.hint) == ("it broke", "a stone", "mend it")
    assert str(error) == "it broke"
    assert 400 <= error.status < 600
    assert 1 <= error.exit_code <= 6


def test_codes_are_distinct():
    assert len({kind.code for kind in KINDS}) == len(KINDS)


def test_the_tree_in_the_docstring_is_the_tree():
    for kind in KINDS:
        assert kind.__name__ in errors.__doc__
        if kind is not HeadwayError:
            line = next(each for each in errors.__doc__.splitlines() if f"─ {kind.__name__} " in each)
            assert f" {kind.status} " in line
            assert f"exit {kind.exit_code}" in line


def test_a_wrong_file_is_a_wrong_request():
    assert issubclass(ConfigError, UsageError)
    assert ConfigError("x").exit_code == 2


def test_only_what_may_pass_by_itself_is_worth_another_try():
    assert {kind for kind in KINDS if kind.retryable} == {Unreachable, Throttled, StorageFull}


def test_cause_and_hint_may_be_left_out():
    assert (HeadwayError("x").cause, HeadwayError("x").hint) == ("", "")
