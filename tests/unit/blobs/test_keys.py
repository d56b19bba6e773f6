import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.blobs.keys import checked_key, decoded_key, is_part, joined_key, parents
from headway.errors import UsageError


def test_a_good_key_comes_back_unchanged() -> None:
    assert checked_key("0/abc/artifacts/model/MLmodel") == "0/abc/artifacts/model/MLmodel"


def test_the_error_names_the_key_the_reason_and_the_fix() -> None:
    with pytest.raises(UsageError) as caught:
        checked_key("models/../secret")
    assert "models/../secret" in caught.value.message
    assert "'..'" in caught.value.cause
    assert caught.value.hint


def test_a_long_key_is_not_repeated_in_full() -> None:
    with pytest.raises(UsageError) as caught:
        checked_key("x" * 10_000_000)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    "raw", ["%2e%2e%2fx", "%252e%252e%252fx", "a%5cb", "a%00", "%c0%ae%c0%ae/x", "%2Fetc", "..%2f"]
)
def test_decoding_happens_once_and_leftovers_are_refused(raw: str) -> None:
    with pytest.raises(UsageError):
        decoded_key(raw)


def test_an_encoded_space_is_decoded() -> None:
    assert decoded_key("a%20b/c%C3%A9") == "a b/cé"


@pytest.mark.parametrize(
    "key",
    ["cafe\u0301", "ﬁle", "a\ud800", "a\u2028", "a ", " a", "a.", "x/a./y", "a\x7f", "a|b", "x/C:/y"],
)
def test_lookalikes_and_troublesome_names_are_refused(key: str) -> None:
    with pytest.raises(UsageError):
        checked_key(key)


def test_joining_checks_both_sides() -> None:
    assert joined_key("0/r/artifacts", "m/x") == "0/r/artifacts/m/x"
    assert joined_key("0/r/artifacts", "") == "0/r/artifacts"
    for relative in ("../x", "/x", "C:x"):
        with pytest.raises(UsageError):
            joined_key("0/r/artifacts", relative)


def test_parents_are_told_nearest_first() -> None:
    assert list(parents("a/b/c")) == ["a/b", "a"]
    assert list(parents("a")) == []


@given(st.text(max_size=40))
def test_no_accepted_key_can_leave_a_folder(text: str) -> None:
    try:
        key = decoded_key(text)
    except UsageError:
        return
    assert not key.startswith("/")
    assert all(is_part(part) and part not in {".", ".."} for part in key.split("/"))
    assert "\\" not in key
    assert "\0" not in key
    assert decoded_key(key) == key  # a second decoding finds nothing more
