"""Words, lines and tables as the terminal prints them."""

from __future__ import annotations

import pytest

from headway.cli.output import clean_line, count, cut, in_terminal, megabytes, table, when
from headway.cli.progress import Progress, numbers_text


@pytest.mark.parametrize(
    ("comment", "typed"),
    [
        ("/deploy requests one", "headway deploy requests one"),
        ("/rollback --project NAME", "headway rollback --project NAME"),
        ("/train lr=0.1 tries one value", "headway train --set lr=0.1 tries one value"),
        ("/train lr=0.1 depth=3", "headway train --set lr=0.1 --set depth=3"),
        ("/train @0123456789abcdef", "headway train 0123456789abcdef"),
        ("`/train`", "`headway train`"),
        ("http://127.0.0.1:7474/why/3", "http://127.0.0.1:7474/why/3"),
        ("tests/train.py and ./plan", "tests/train.py and ./plan"),
        ("/tmp/train", "/tmp/train"),
        ("headway change comment 1 /train", "headway change comment 1 /train"),
        ('headway change comment 12 "/train lr=0.2"', 'headway change comment 12 "/train lr=0.2"'),
        (
            "mend what failed, or accept it: /override CHECK REASON",
            "mend what failed, or accept it: headway override CHANGE CHECK REASON",
        ),
    ],
)
def test_words_of_a_comment_become_words_of_the_terminal(comment: str, typed: str) -> None:
    assert in_terminal(comment) == typed


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        (" 10%\r 50%\r100%", "100%"),
        ("a\x07b\u202ec", "a�b�c"),
    ],
)
def test_foreign_text_cannot_rewrite_the_terminal(raw: str, shown: str) -> None:
    assert clean_line(raw) == shown


def test_a_table_is_aligned_numbers_to_the_right(capsys) -> None:
    table(["name", "value"], [["a", 1.5], ["longer", None]], empty="nothing")
    assert capsys.readouterr().out == "name    value\na         1.5\nlonger      –\n"


def test_small_sizes_are_not_nothing() -> None:
    assert [megabytes(size) for size in (812, 250_000, 3e9)] == ["0.8 KB", "0.2 MB", "3.0 GB"]


def test_an_empty_table_says_what_to_do_on_standard_error(capsys) -> None:
    table(["name"], [], empty="nothing yet: headway train")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "nothing yet: headway train\n")


def test_a_pipe_gets_plain_lines_and_each_state_once(capsys) -> None:
    progress = Progress(is_quiet=False)
    for _ in range(3):
        progress.state("train: running", "val_auc 0.7")
    progress.line("hello\x1b[2J")
    progress.clear()
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "· train: running\n  hello\n"


def test_quiet_progress_says_nothing(capsys) -> None:
    progress = Progress(is_quiet=True)
    progress.state("train: running")
    progress.line("hello")
    assert capsys.readouterr().err == ""


def test_small_things() -> None:
    assert (count(1, "step"), count(2, "step")) == ("1 step", "2 steps")
    assert (megabytes(2_100_000), megabytes(3.2e9)) == ("2.1 MB", "3.2 GB")
    assert when("2026-01-02T03:04:05.678Z") == "2026-01-02 03:04:05"
    assert (cut("abcdef", 4), cut("abc", 4), cut("abcdef", 0)) == ("abc…", "abc", "abcdef")
    assert numbers_text({"a": 0.123456, "b": 2.0}) == "a 0.1235  b 2"
