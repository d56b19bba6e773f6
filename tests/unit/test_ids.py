from __future__ import annotations

import time
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.errors import UsageError
from headway.ids import checked_name, digest_bytes, digest_file, digest_of, new_id

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    name: str
    sizes: dict[str, int]


def test_ids_are_ulids_that_sort_by_time():
    first = new_id()
    time.sleep(0.005)
    second = new_id()
    assert first < second
    assert len(first) == 26
    assert set(first) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")


def test_ids_carry_the_time_of_their_making():
    before = time.time_ns() // 1_000_000
    made = new_id()
    after = time.time_ns() // 1_000_000
    millis = 0
    for letter in made[:10]:
        millis = millis * 32 + "0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(letter)
    assert before <= millis <= after


def test_ids_of_one_moment_differ():
    assert len({new_id() for _ in range(1000)}) == 1000


@pytest.mark.parametrize("name", ["a", "churn", "Churn-2", "a.b_c", "9lives", "a" * 63])
def test_usable_names_come_back_as_they_are(name):
    assert checked_name(name, what="project") == name


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "-x", ".x", "_x", "a b", "a\n", "é", "a" * 64, "a\x00"])
def test_names_that_could_be_a_path_or_an_option_are_refused(name):
    """Rule 25: one validator for every name that can become a path, a flag or an address."""
    with pytest.raises(UsageError) as caught:
        checked_name(name, what="project")
    assert "project" in caught.value.message
    assert caught.value.hint


@given(st.text(max_size=80))
def test_whatever_is_usable_leads_nowhere(name):
    try:
        checked_name(name, what="x")
    except UsageError:
        return
    assert name.isascii()
    assert "/" not in name
    assert not name.startswith((".", "-"))


def test_bytes_and_files_of_equal_content_have_one_digest(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"weather")
    assert digest_file(path) == digest_bytes(b"weather")
    assert digest_bytes(b"") == EMPTY


def test_the_order_of_keys_is_no_difference():
    one = _Record(name="a", sizes={"x": 1, "y": 2})
    other = _Record(name="a", sizes={"y": 2, "x": 1})
    assert digest_of(one) == digest_of(other)
    assert digest_of(one) == digest_of({"sizes": {"x": 1, "y": 2}, "name": "a"})


@pytest.mark.parametrize(
    ("one", "other"), [(1, 1.0), (1, True), (1, "1"), (None, ""), ([], {}), (["a", "b"], ["b", "a"])]
)
def test_unlike_values_have_unlike_digests(one, other):
    assert digest_of(one) != digest_of(other)
