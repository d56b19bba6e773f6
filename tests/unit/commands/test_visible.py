from __future__ import annotations

import pytest

from headway.commands.grammar import parse_comment
from headway.commands.visible import visible_lines


def runs(text: str) -> list[int]:
    return [found.line for found in parse_comment(text)]


@pytest.mark.parametrize(
    "text",
    [
        "```\n/train\n```",
        "```sh\n/train\n```",
        "~~~\n/train\n~~~",
        "````\n```\n/train\n```\n````",
        "```\n/train",  # never closed
        "   ```\n/train\n   ```",
        "```\n/train\n``` not closed\n/train",
        "```\n/train\n~~~\n/train",
        "- ```\n  /train\n  ```",
        "1. ~~~\n   /train\n   ~~~",
        "\u200b```\n/train\n```",
        "```\n\u200b```\n/train",  # the second mark closes nothing on the forge
        "    /train",
        "\t/train",
        "     /train\n",
        "> /train",
        ">/train",
        "  > /train",
        "> > /train",
        "- > /train",
        "> please do not run\n/train on this",  # the quote goes on: a mail program broke its line
        "> On Monday X wrote:\n> /train\n/train",
        "<!-- /train -->",
        "<!--\n/train\n-->",
        "<!--\n/train",
        "<!-->\n/train",
        "hello <!--\n/train",
        "hello <!-- a --\u200b>\n/train",
        "<\u200b!-- x\n/train",
        "<!-- a --> <!-- b\n/train",
        "-->/train",
        "<!--\n--> /train",
        "<pre>\n/train\n</pre>",
        "<PRE class=x>\n/train",
        "<script>\n/train\n</script>",
        "<?php\n/train\n?>",
        "<![CDATA[\n/train\n]]>",
    ],
)
def test_code_quotes_and_hidden_text_hold_no_commands(text: str) -> None:
    """Rule 8: only lines that a person wrote as such, outside of code, quotes and hidden text."""
    assert runs(text) == []


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("```\ncode\n```\n/train", [4]),
        ("```\ncode\n`````  \n/train", [4]),
        ("```inline``` text\n/train", [2]),  # a code span, no fence
        ("``\n/train", [2]),
        ("> quote\n\n/train", [3]),
        (">\n/train", [2]),
        ("> quote\n# title\n/train", [3]),
        ("<!-- note -->\n/train", [2]),
        ("/train <!-- note -->", [1]),
        ("/train <!-- note\n/deploy\n-->\n/stop", [1, 4]),
        ("<pre>x</pre>\n/train", [2]),
        ("<details>\n\n/train\n</details>", [3]),
        ("\ufeff/train", [1]),
        ("\u200b/tr\u200cain\u2060", [1]),
        ("\u00a0/train\u00a0lr=1", [1]),
        ("a\r/train\r\n/stop", [2, 3]),
        ("   /train", [1]),
        ("don`t\n/train", [2]),
    ],
)
def test_text_around_them_is_read(text: str, lines: list[int]) -> None:
    assert runs(text) == lines


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_only_what_ends_a_line_on_the_forge_ends_one_here(separator: str) -> None:
    assert runs(f"prose{separator}/train") == []


def test_lines_keep_their_numbers() -> None:
    assert [(line.number, line.text) for line in visible_lines("a\n```\nb\n```\n> c\n\nd <!-- e -->f")] == [
        (1, "a"),
        (6, ""),
        (7, "d f"),
    ]
