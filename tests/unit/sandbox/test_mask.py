"""A secret never reaches the log, however the stream is cut; everything else does, byte for byte."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mask import Mask
from output import LogPump

from headway.logs import forms_of

SECRET = "hunter2-éß/ab+cd"


def through(hidden: list[str], parts: list[bytes]) -> bytes:
    mask = Mask(hidden)
    return b"".join([*(mask.take(each) for each in parts), mask.end()])


@given(cuts=st.lists(st.integers(0, 200), max_size=8), before=st.binary(max_size=20), after=st.binary(max_size=20))
def test_no_form_of_a_secret_survives_any_cut(cuts: list[int], before: bytes, after: bytes) -> None:
    """Rule 23: also in the log that lies on the disk."""
    forms = sorted(forms_of(SECRET))
    for form in forms:
        whole = before + form.encode() + after
        places = sorted({min(cut, len(whole)) for cut in cuts})
        parts = [whole[start:end] for start, end in zip([0, *places], [*places, len(whole)], strict=True)]
        found = through(forms, parts)
        assert form.encode() not in found
        assert b"***" in found


@given(st.lists(st.binary(max_size=30), max_size=6))
@example([b"abca", b"bcab", b"cabcd"])
def test_cutting_makes_no_difference(parts: list[bytes]) -> None:
    hidden = ["abcabd", "abca", "xyz", "bca"]
    whole = b"".join(parts)
    assert (
        through(hidden, parts)
        == through(hidden, [whole])
        == through(hidden, [whole[n : n + 1] for n in range(len(whole))])
    )


@given(st.lists(st.sampled_from([b"a", b"ab", b"abc", b"c", b"ca", b"b\n", b"bd"]), max_size=12))
def test_overlapping_forms_are_replaced_the_same_however_they_are_cut(parts: list[bytes]) -> None:
    hidden = ["abcabd", "abca", "bca"]
    whole = b"".join(parts)
    assert through(hidden, parts) == through(hidden, [whole])
    assert b"abca" not in through(hidden, parts)


@given(st.lists(st.binary(max_size=30), max_size=6))
def test_without_secrets_everything_passes_at_once(parts: list[bytes]) -> None:
    mask = Mask([])
    assert [mask.take(each) for each in parts] == parts


def test_a_line_is_not_held_back_once_it_is_no_secret() -> None:
    mask = Mask(["hunter2", "\nhunter2"])
    assert mask.take(b"who hunts h") == b"who hunts "
    assert mask.take(b"unter2 and more\n") == b"*** and more\n"
    assert mask.take(b"the hunter3") == b"the hunter3"
    assert mask.take(b"hunt") == b""
    assert mask.end() == b"hunt"


def test_the_pump_writes_what_the_mask_lets_through_and_counts_to_its_limit(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    pump = LogPump(read_end, tmp_path / "log", limit=40, hidden=["hunter2"])
    pump.start()
    for part in (b"key=hun", b"ter2\n", b"x" * 60):
        os.write(write_end, part)
    os.close(write_end)
    pump.join()
    os.close(read_end)
    written = (tmp_path / "log").read_bytes()
    assert written.startswith(b"key=***\nxxxx")
    assert b"hunter2" not in written
    assert pump.dropped == 8 + 60 - 40


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_what_is_no_text_hides_nothing(text: str) -> None:
    assert through([text], [b"a \n b"]) == b"a \n b"
